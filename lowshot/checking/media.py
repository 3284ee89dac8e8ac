"""Check one media file: its issues, and the hash of its bytes."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from lowshot.checking.issues import (
    CLIPPED_SHARE,
    FAULTS,
    FULL_SCALE,
    LEAST_SECONDS,
    LEAST_SIDE,
)
from lowshot.data.codec import StraightFile, has_index, open_sound
from lowshot.data.face import read_face
from lowshot.data.sound import SILENT_PEAK, TOLERANCE_S, mean_of
from lowshot.data.voice import LOUDEST, SAMPLE_RATE, check_rate, read_waveform
from lowshot.errors import RequestError
from lowshot.settings import FaceConfig, VoiceConfig

_BLOCK = 1 << 14
# Seconds of a video's sound held at a time; at its end up to twice as many.
_PART_S = 60
# A writer that cannot return to the header leaves a length of 0, or one near the greatest.
_UNKNOWN_LENGTH = 0x7FFFF000
# Chunks of a WAV that are searched for its samples.
_MOST_CHUNKS = 100
_CUT_OFF = re.compile("truncat|broken data stream|premature end|unexpected end", re.IGNORECASE)


@dataclass(frozen=True)
class Opened:
    """Outcome of opening a file.

    Attributes:
        found: (kind, detail) of each issue.
        digest: hash of the bytes; None for a file at fault.
    """

    found: list[tuple[str, str]] = field(default_factory=list)
    digest: bytes | None = None


def open_file(path: Path, modality: str) -> Opened:
    """Open a file as a run does and report its issues.

    Args:
        path: the file.
        modality: `voice` or `face`.
    """
    # Reading a folder, a pipe or a loop of links would fail or never end.
    if not path.is_file():
        return Opened([("missing", "the file is missing")])
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
        found = _voice(path) if modality == "voice" else _face(path)
    except (RequestError, OSError) as error:
        reason = str(error).removeprefix(f"{path}: ")
        found = [("truncated" if _CUT_OFF.search(reason) else "unreadable", reason)]
    return Opened(found, None if any(kind in FAULTS for kind, _ in found) else digest)


@dataclass
class _Heard:
    """Figures of a clip, gathered block by block."""

    samples: int = 0
    peak: float = 0.0
    loudest: float = 0.0
    full: int = 0
    values: int = 0
    finite: bool = True

    def hear(self, block: np.ndarray) -> None:
        """Add samples [n, channels]."""
        self.finite = self.finite and bool(np.isfinite(block).all())
        self.samples += len(block)
        self.values += block.size
        level, mono = np.abs(block), mean_of(block, 1)
        self.full += int((level >= FULL_SCALE).sum())
        self.loudest = max(self.loudest, float(level.max(initial=0.0)))
        # As a run reads it: channels that cancel each other are silence.
        self.peak = max(self.peak, float(np.abs(mono).max(initial=0.0)))


def _voice(path: Path) -> list[tuple[str, str]]:
    heard = _Heard()
    try:
        file = StraightFile(path)
    except (soundfile.LibsndfileError, TypeError):
        # Another format, samples without a header, or an error that names the file.
        _hear_film(path, heard)
        rate, promised = SAMPLE_RATE, heard.samples
    else:
        with file:
            rate, promised = file.samplerate, _promised_samples(path, file)
            check_rate(path, rate)
            try:
                while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
                    heard.hear(block)
            except soundfile.LibsndfileError as error:
                if heard.samples >= promised:
                    raise RequestError(f"{path}: cannot be read as audio ({error})") from error
    if heard.samples < promised:
        return [("truncated", f"{heard.samples} of {promised} samples can be read")]
    return _of_sound(heard, rate) if heard.samples else [("unreadable", "holds no samples")]


def _hear_film(path: Path, heard: _Heard) -> None:
    """Decode the sound of a video in parts, because it may last hours; the last part takes the rest."""
    with open_sound(path) as sound:
        parts = max(1, int(sound.seconds / _PART_S))
    for part in range(parts):
        rest = part == parts - 1
        heard.hear(read_waveform(path, part * _PART_S, None if rest else _PART_S)[:, None])


def _of_sound(heard: _Heard, rate: int) -> list[tuple[str, str]]:
    if not heard.finite:
        return [("not-finite", "holds samples that are not finite")]
    if heard.loudest > LOUDEST:
        return [("unreadable", f"holds samples of {heard.loudest:.0e} times full scale")]
    found = []
    seconds = heard.samples / rate
    voice = VoiceConfig()
    crop = voice.frames * voice.hop_ms / 1000
    if seconds < LEAST_SECONDS:
        found.append(("too-short", f"{seconds:.3f} s"))
    elif seconds < crop:
        found.append(("short", f"{seconds:.2f} s; a crop of the default settings has {crop:g} s"))
    if heard.peak < SILENT_PEAK:
        found.append(("silent", f"peak {heard.peak:.1g} of full scale"))
    elif heard.full > CLIPPED_SHARE * heard.values:
        found.append(("clipped", f"{heard.full / heard.values:.1%} of the samples at full scale"))
    return found


def _promised_samples(path: Path, file: soundfile.SoundFile) -> int:
    """Return the samples per channel by the header; 0 if unknown. libsndfile gives only those that a WAV holds."""
    if file.format == "FLAC":
        return int(file.frames)
    if file.format == "MP3" and has_index(path):
        # A run tolerates as much.
        return max(0, int(file.frames) - round(TOLERANCE_S * file.samplerate))
    if file.format not in {"WAV", "WAVEX"}:
        return 0
    with path.open("rb") as stream:
        stream.seek(12)
        block_align = 0
        for _ in range(_MOST_CHUNKS):
            head = stream.read(8)
            name, size = head[:4], int.from_bytes(head[4:], "little")
            if name == b"data":
                return size // block_align if block_align and size < _UNKNOWN_LENGTH else 0
            start = stream.tell()
            if name == b"fmt ":
                block_align = int.from_bytes(stream.read(14)[12:], "little")
            # Chunks begin at even places.
            stream.seek(start + size + size % 2)
    return 0


def _face(path: Path) -> list[tuple[str, str]]:
    read_face(path, FaceConfig())
    with Image.open(path) as image:
        width, height = image.size
    return [("tiny", f"{width} x {height} pixels")] if min(width, height) < LEAST_SIDE else []
