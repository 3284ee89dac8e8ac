"""Shards of a pack: one task of a worker each."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np

from lowshot.data.packing.pack import PackRecord, file_sha256
from lowshot.data.readers.media import Decoder
from lowshot.errors import RequestError
from lowshot.files import atomic_path, write_text
from lowshot.settings import FaceConfig, VoiceConfig
from lowshot.workers import begin_worker


@dataclass(frozen=True)
class ShardTask:
    """One shard of a pack to make: `paths` are its rows' files, of which the first is row `first`."""

    path: Path
    modality: str
    first: int
    paths: list[Path]
    record: PackRecord


@dataclass
class ShardMade:
    """What is known of a shard, and written beside it.

    Attributes:
        sha256: of its bytes.
        sizes: items of each row.
        silence: of each voice.
        faults: (row, what is wrong) of those left out.
        sources: of the files it was made of, see `_sources`; "" where that is not known.
    """

    sha256: str = ""
    bytes: int = 0
    sizes: list[int] = field(default_factory=list)
    silence: list[float] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)
    sources: str = ""
    kept: bool = False


# Set when workers are to stop at the next file.
_stop: list[Event] = []


def begin_packing(stop: Event) -> None:
    """Make this process a worker that stops at the next file when `stop` is set."""
    begin_worker()
    _stop[:] = [stop]


def make_shard(task: ShardTask) -> ShardMade:
    """Make one shard and the note beside it, unless both are there and whole, and of the files as they are.

    What cannot be decoded is left out and noted.
    """
    note = task.path.with_suffix(".json")
    # Before any is read: a file that changes meanwhile is found to have changed.
    sources = _sources(task.paths)
    found = _whole(task, note, sources)
    if found:
        return found
    # Without its note a shard counts for nothing: none may describe a file that is being replaced.
    note.unlink(missing_ok=True)
    made, digest = ShardMade(sources=sources), hashlib.sha256()
    with atomic_path(task.path) as temporary, temporary.open("wb") as file:
        for row, path in enumerate(task.paths, start=task.first):
            if any(stop.is_set() for stop in _stop):
                raise KeyboardInterrupt
            try:
                data, silence = _decoded(task, path)
            except RequestError as error:
                made.faults.append((row, str(error)))
                continue
            made.sizes.append(data.size)
            if task.modality == "voice":
                made.silence.append(silence)
            block = data.tobytes()
            digest.update(block)
            made.bytes += file.write(block)
    made.sha256 = digest.hexdigest()
    write_text(note, json.dumps(asdict(made)) + "\n")
    return made


def _sources(paths: list[Path]) -> str:
    """Hash of the sizes of files and of when they were last changed; "" where one is missing: none is told from it."""
    try:
        found = [path.stat() for path in paths]
    except OSError:
        return ""
    return hashlib.sha256(json.dumps([[file.st_size, file.st_mtime_ns] for file in found]).encode()).hexdigest()


def _whole(task: ShardTask, note: Path, sources: str) -> ShardMade | None:
    """What the note beside a shard says, if the shard is what it says, has every row, and its files have not changed.

    Files may be gone once they are packed: then the shard is all there is.
    """
    try:
        facts: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        made = ShardMade(**facts | {"kept": True})
    except (OSError, ValueError, TypeError):
        return None
    if made.faults or len(made.sizes) != len(task.paths) or not task.path.is_file():
        return None
    if sources and made.sources not in ("", sources):
        return None
    return made if file_sha256(task.path) == made.sha256 else None


def _decoded(task: ShardTask, path: Path) -> tuple[np.ndarray, float]:
    """The items of a row as they are stored, and of a voice what it is padded with."""
    record = task.record
    if task.modality == "voice":
        log_mel, silence = _decoder(record.voice, record.face).voice(path)
        return log_mel.astype(record.voice_type, copy=False).ravel(order=record.voice_order), silence
    if record.faces == "pixels":
        return _decoder(record.voice, record.face).face(path), 0.0
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror})") from error
    # Only to see that it is an image.
    _decoder(record.voice, record.face).face(path, content)
    return np.frombuffer(content, np.uint8), 0.0


@lru_cache(maxsize=1)
def _decoder(voice: VoiceConfig, face: FaceConfig) -> Decoder:
    return Decoder(voice, face)
