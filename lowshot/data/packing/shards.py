"""Make the shards of a pack; each is one task of a worker."""

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
    """A shard to make. `paths` are the files of its rows, from row `first` on."""

    path: Path
    modality: str
    first: int
    paths: list[Path]
    record: PackRecord


@dataclass
class ShardMade:
    """Record of a finished shard; a JSON file beside the shard holds it.

    Attributes:
        sha256: of its bytes.
        bytes: its size.
        sizes: number of items of each row.
        silence: padding value of each voice.
        faults: (row, error) of each skipped row.
        sources: hash of the files it was made of, see `_sources`; "" if unknown.
        kept: whether an earlier command made it.
    """

    sha256: str = ""
    bytes: int = 0
    sizes: list[int] = field(default_factory=list)
    silence: list[float] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)
    sources: str = ""
    kept: bool = False


# Its event tells workers to stop at the next file.
_stop: list[Event] = []


def begin_packing(stop: Event) -> None:
    """Make this process a worker that stops at the next file once `stop` is set."""
    begin_worker()
    _stop[:] = [stop]


def make_shard(task: ShardTask) -> ShardMade:
    """Make one shard and its record, unless both are there, whole, and up to date.

    A file that cannot be decoded is skipped and recorded.
    """
    record = task.path.with_suffix(".json")
    # Before any file is read, to notice a file that changes meanwhile.
    sources = _sources(task.paths)
    found = _whole(task, record, sources)
    if found:
        return found
    # A shard without a record does not count. No record may describe a file that is being replaced.
    record.unlink(missing_ok=True)
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
    write_text(record, json.dumps(asdict(made)) + "\n")
    return made


def _sources(paths: list[Path]) -> str:
    """Hash the sizes and times of change of files; "" if one is missing."""
    try:
        found = [path.stat() for path in paths]
    except OSError:
        return ""
    return hashlib.sha256(json.dumps([[file.st_size, file.st_mtime_ns] for file in found]).encode()).hexdigest()


def _whole(task: ShardTask, record: Path, sources: str) -> ShardMade | None:
    """Return the record of a shard, if the shard matches it, has every row, and its files have not changed.

    Files may be deleted after they were packed: then the shard is valid.
    """
    try:
        facts: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
        made = ShardMade(**facts | {"kept": True})
    except (OSError, ValueError, TypeError):
        return None
    if made.faults or len(made.sizes) != len(task.paths) or not task.path.is_file():
        return None
    if sources and made.sources not in ("", sources):
        return None
    return made if file_sha256(task.path) == made.sha256 else None


def _decoded(task: ShardTask, path: Path) -> tuple[np.ndarray, float]:
    """Return the items of a row as they are stored, and the padding value of a voice."""
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
    # Only to check that it is an image.
    _decoder(record.voice, record.face).face(path, content)
    return np.frombuffer(content, np.uint8), 0.0


@lru_cache(maxsize=1)
def _decoder(voice: VoiceConfig, face: FaceConfig) -> Decoder:
    return Decoder(voice, face)
