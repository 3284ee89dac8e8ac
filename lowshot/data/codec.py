"""Sound files, opened by what they hold: WAV, FLAC, OGG and MP3 by soundfile, films and their like by PyAV."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import soundfile

from lowshot.data.sound import PREROLL_S, Sound, check_whole, mean_of
from lowshot.errors import RequestError, reason

# Samples of each channel that are decoded at a time, whatever length a header claims.
BLOCK = 1 << 16
SUFFIXES = (
    *(".m4a", ".m4b", ".m4v", ".mp4", ".mov", ".3gp", ".3g2", ".webm", ".mkv", ".mka", ".aac", ".ac3", ".amr"),
    *(".avi", ".flv", ".mpg", ".mpeg", ".ts", ".m2ts", ".wma", ".wmv"),
)
"""What names of files end in that PyAV reads, in small letters."""
# libsndfile's numbers for a format it does not know, and for a file named .mp3 that holds no MPEG frame.
_UNKNOWN_FORMAT, _NO_MPEG = 1, 7
# Writers that cannot go back to the header of a WAV leave the greatest sizes in it.
_UNKNOWN_SIZE = 0x7FFF0000
# More samples than any recording has: the header of a FLAC does not say how many there are.
_UNKNOWN_LENGTH = 1 << 48
# Bytes of one sample of one channel, where all have as many.
_BYTES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1}


@contextmanager
def open_sound(path: Path) -> Iterator[Sound]:
    """Open a sound file, whatever its name ends in.

    Args:
        path: what soundfile reads (WAV, FLAC, OGG, MP3, AIFF and more), or what PyAV reads: the first sound track of
            M4A, MP4, MOV, WebM, MKV, AAC, AVI and the like.

    Raises:
        RequestError: the file is missing, empty, no sound, damaged or truncated, or PyAV is needed and not there.
    """
    try:
        if not path.is_file():
            raise ValueError("it is a folder" if path.is_dir() else "no such file")
        if not path.stat().st_size:
            raise ValueError("the file is empty")
        with _opened(path) as sound:
            yield sound
    except RequestError:
        raise
    # A decoder that trips over the bytes of a file raises whatever it happens to run into.
    except Exception as error:
        raise RequestError(f"{path}: cannot be read as audio ({reason(error)})") from error


@contextmanager
def _opened(path: Path) -> Iterator[Sound]:
    try:
        file = StraightFile(path)
    except TypeError as error:
        raise ValueError("samples without a header; convert it to WAV") from error
    except soundfile.LibsndfileError as error:
        if error.code not in {_UNKNOWN_FORMAT, _NO_MPEG}:
            raise
        with _film(path) as film:
            yield film
    else:
        with file:
            yield _SoundFile(path, file)


@contextmanager
def _film(path: Path) -> Iterator[Sound]:
    """What PyAV reads. Its reasons for not reading a file are of interest where the file's name promised it."""
    named = path.suffix.lower() in SUFFIXES
    unknown = ValueError("its format is none that is read")
    with ExitStack() as stack:
        try:
            from lowshot.data.film import open_film

            film = stack.enter_context(open_film(path))
        except ImportError as error:
            if named:
                raise RequestError(f'{path}: {path.suffix} is read by PyAV: pip install "lowshot[codec]"') from error
            raise unknown from error
        except Exception as error:
            raise (error if named else unknown) from error
        yield film


class StraightFile(soundfile.SoundFile):
    """A file read block after block without the jump that soundfile makes after each: an MP3 is silent after one."""

    def seekable(self) -> bool:
        return False


class _SoundFile:
    """What soundfile reads."""

    def __init__(self, path: Path, file: soundfile.SoundFile) -> None:
        if file.frames >= _UNKNOWN_LENGTH:
            raise ValueError("its header does not say how long it is; convert it to WAV")
        self.file = file
        self.rate: int = file.samplerate
        # libsndfile takes a WAV that was cut off for a shorter one, and guesses the length of an MP3 that has no index.
        width = file.channels * _BYTES.get(file.subtype, 0)
        promised = _promised_bytes(path) // width if width else 0
        self.exact = file.format != "MP3" or has_index(path)
        self.frames: int = max(file.frames, promised)

    @property
    def seconds(self) -> float:
        return self.frames / self.rate

    def read(self, first: int = 0, count: int | None = None) -> np.ndarray:
        there = max(0, self.frames - first)
        wanted = there if count is None else min(count, there)
        early = min(first, round(PREROLL_S * self.rate)) if self.file.format == "MP3" else 0
        blocks = [np.empty(0, np.float32)]
        missing = early + wanted
        try:
            self.file.seek(min(first - early, self.file.frames))
            while missing:
                block = self.file.read(min(BLOCK, missing), dtype="float32", always_2d=True)
                if not len(block):
                    break
                blocks.append(mean_of(block, 1))
                missing -= len(block)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"it is damaged or truncated: {reason(error)}") from error
        if self.exact:
            check_whole(wanted - missing, wanted, self.rate)
        return np.concatenate(blocks)[early:]


def _promised_bytes(path: Path) -> int:
    """The size of a WAV's samples as its header has it; 0 for other files, and where it is not known."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0
        while len(chunk := file.read(8)) == 8:
            size = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                return 0 if size >= _UNKNOWN_SIZE else size
            file.seek(size + size % 2, 1)
    return 0


def has_index(path: Path) -> bool:
    """Whether the first frame of an MP3 counts its frames, as encoders write it; tags may come before."""
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":
            file.seek(10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)))
        else:
            file.seek(0)
        frame = file.read(200)
    return b"Xing" in frame or b"Info" in frame
