"""Open sound files by their content: WAV, FLAC, OGG and MP3 by soundfile, videos and the like by PyAV."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import soundfile

from lowshot.data.sound import PREROLL_S, Sound, check_whole, mean_of
from lowshot.errors import RequestError, reason

# Samples of each channel decoded at a time. A header may claim any length.
BLOCK = 1 << 16
SUFFIXES = (
    *(".m4a", ".m4b", ".m4v", ".mp4", ".mov", ".3gp", ".3g2", ".webm", ".mkv", ".mka", ".aac", ".ac3", ".amr"),
    *(".avi", ".flv", ".mpg", ".mpeg", ".ts", ".m2ts", ".wma", ".wmv"),
)
"""Endings of names of files that PyAV reads, in small letters."""
# libsndfile's errors for an unknown format, and for a file named .mp3 without an MPEG frame.
_UNKNOWN_FORMAT, _NO_MPEG = 1, 7
# A writer that cannot return to the header of a WAV leaves the greatest size in it.
_UNKNOWN_SIZE = 0x7FFF0000
# More samples than any recording has: the header of a FLAC leaves their number open.
_UNKNOWN_LENGTH = 1 << 48
# Bytes of one sample of one channel, of formats with a fixed number.
_BYTES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1}


@contextmanager
def open_sound(path: Path) -> Iterator[Sound]:
    """Open a sound file by its content; the ending of its name does not matter.

    Args:
        path: a file that soundfile reads (WAV, FLAC, OGG, MP3, AIFF and more) or PyAV: the first sound track of M4A,
            MP4, MOV, WebM, MKV, AAC, AVI and the like.

    Raises:
        RequestError: the file is missing, empty, without sound, damaged or truncated, or it needs PyAV, which is not
            installed.
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
    # A decoder may raise anything at damaged bytes.
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
    """Open a file by PyAV. Its own error is shown only if the file's name promised such a format."""
    named = path.suffix.lower() in SUFFIXES
    unknown = ValueError("unknown format")
    with ExitStack() as stack:
        try:
            from lowshot.data.film import open_film

            film = stack.enter_context(open_film(path))
        except ImportError as error:
            if named:
                raise RequestError(f'{path}: reading {path.suffix} needs PyAV: pip install "lowshot[codec]"') from error
            raise unknown from error
        except Exception as error:
            raise (error if named else unknown) from error
        yield film


class StraightFile(soundfile.SoundFile):
    """A file that is read without seeking: soundfile seeks after each block, and an MP3 is silent after that."""

    def seekable(self) -> bool:
        return False


class _SoundFile:
    """A sound opened by soundfile."""

    def __init__(self, path: Path, file: soundfile.SoundFile) -> None:
        if file.frames >= _UNKNOWN_LENGTH:
            raise ValueError("its header does not tell its length; convert it to WAV")
        self.file = file
        self.rate: int = file.samplerate
        # libsndfile takes a truncated WAV for a shorter one, and guesses the length of an MP3 without an index.
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
    """Return the size of a WAV's samples by its header; 0 for other files, and if it is unknown."""
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
    """Tell whether the first frame of an MP3 holds the number of frames; tags may come before it."""
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":
            file.seek(10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)))
        else:
            file.seek(0)
        frame = file.read(200)
    return b"Xing" in frame or b"Info" in frame
