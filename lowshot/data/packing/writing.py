"""Pack a dataset: decode its media once, in parallel. A killed process leaves the store valid."""

import contextlib
import csv
import itertools
import multiprocessing
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from safetensors.numpy import save_file

from lowshot.data.dataset import Dataset
from lowshot.data.manifest import write_manifest
from lowshot.data.packing.pack import (
    STORE,
    FaceForm,
    PackRecord,
    Shard,
    file_sha256,
    other_setting,
    read_record,
    rows_digest,
)
from lowshot.data.packing.shards import ShardMade, ShardTask, begin_packing, make_shard
from lowshot.data.voice import SAMPLE_RATE, LogMel
from lowshot.errors import RequestError, RunError
from lowshot.files import atomic_path, no_formula
from lowshot.schema import MANIFEST, MODALITIES, PACK, PACK_INDEX, UNREADABLE, VOX1_META, WORLD_FILES
from lowshot.settings import FaceConfig, VoiceConfig
from lowshot.workers import signals_held

# Each process opens each shard. The usual limit is 1,024 open files.
_MOST_SHARDS = 128
# Least rows of a shard: worth a task, but few enough to share small datasets among processes.
_LEAST_ROWS = {"voice": 16, "face": 64}
# Other files of a dataset that evaluation reads: the truth of an embedded world, and VoxCeleb's table of people.
_COMPANIONS = (*WORLD_FILES, VOX1_META)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Unreadable:
    """A row whose file cannot be decoded: its number within the modality, path and error."""

    modality: str
    row: int
    path: str
    fault: str


@dataclass(frozen=True)
class Packed:
    """Outcome of packing.

    Attributes:
        record: content of pack.json. It is unfinished if files are unreadable and may not be skipped.
        rows: number of rows of the dataset.
        kept: number of shards that an earlier command made.
        unreadable: rows with unreadable files, in their order.
    """

    record: PackRecord
    rows: int
    kept: int
    unreadable: list[Unreadable]


def pack_dataset(
    dataset: Dataset,
    out: Path,
    voice: VoiceConfig,
    face: FaceConfig,
    faces: FaceForm = "pixels",
    jobs: int | None = None,
    skip_unreadable: bool = False,
    progress: Progress = lambda done, total: None,
) -> Packed:
    """Decode all media of a dataset into a pack, or continue a pack.

    The content does not depend on the number of processes, nor on interruptions. Finished shards are compared with
    their hashes and kept if they are whole. Shards with unreadable files, and shards of files that have changed, are
    made anew.

    Args:
        dataset: of media files.
        out: directory to make, or to continue.
        voice, face: settings of decoding.
        faces: keep faces as decoded squares (`pixels`), or as the bytes of their files (`jpeg`).
        jobs: number of processes; if None, the number of CPUs, at most 8.
        skip_unreadable: skip rows whose files cannot be decoded. Otherwise such files leave the pack unfinished.
        progress: called with (files done, files in all).

    Raises:
        RequestError: the dataset has no media files, `out` holds something else or a pack of other data or settings,
            or another process is packing into it.
        RunError: a worker died.
    """
    for held, what in ((dataset.has_features, "feature vectors"), (dataset.has_pack, "a pack")):
        if held:
            raise RequestError(f"{dataset.root}: holds {what}; only media files are packed")
    record = _wanted(dataset, voice, face, faces)
    _claim(out, record)
    try:
        with FileLock(out / STORE / ".lock", timeout=0):
            for left in (out / STORE).glob(".*.part"):
                left.unlink()
            # Until it is whole again, the record says so.
            record.write(out)
            return _pack(dataset, out, record, jobs or min(os.cpu_count() or 1, 8), skip_unreadable, progress)
    except Timeout as error:
        raise RequestError(
            f"`out` {out}: another process is packing into it; wait for it, or name another directory"
        ) from error


def _wanted(dataset: Dataset, voice: VoiceConfig, face: FaceConfig, faces: FaceForm) -> PackRecord:
    silence, _ = LogMel(voice)(np.zeros(SAMPLE_RATE, np.float32))
    counts = {modality: len(dataset.rows(modality)) for modality in MODALITIES}
    return PackRecord(
        manifest_sha256=file_sha256(dataset.manifest_path),
        voice=voice,
        face=face,
        faces=faces,
        voice_type=silence.dtype.newbyteorder("<").str,
        voice_order="F" if silence.flags.fnc else "C",
        shard_rows={name: max(_LEAST_ROWS[name], -(-count // _MOST_SHARDS)) for name, count in counts.items()},
    )


def _claim(out: Path, record: PackRecord) -> None:
    """Make the directory of a pack, or find the same pack there."""
    if (out / PACK).is_file():
        there = read_record(out)
        if there.manifest_sha256 != record.manifest_sha256:
            raise RequestError(f"`out` {out}: holds a pack of another manifest; name another directory")
        if there.faces != record.faces:
            raise RequestError(f"`out` {out}: holds a pack with `faces={there.faces}`; name another directory")
        if other := other_setting(there, record.voice, record.face):
            raise RequestError(f"`out` {out}: holds a pack with {other[0]}={other[1]}; name another directory")
    elif out.exists() and not (out.is_dir() and all(path.name == STORE for path in out.iterdir())):
        raise RequestError(f"`out` {out}: exists and holds no pack; name a directory to make")
    (out / STORE).mkdir(parents=True, exist_ok=True)


def _pack(
    dataset: Dataset, out: Path, record: PackRecord, jobs: int, skip_unreadable: bool, progress: Progress
) -> Packed:
    made: dict[Path, tuple[ShardTask, ShardMade]] = {}
    done, total = 0, len(dataset.voices) + len(dataset.faces)
    with contextlib.closing(_made(dataset, out, record, jobs)) as shards:
        for task, shard in shards:
            made[task.path] = task, shard
            done += len(task.paths)
            progress(done, total)
    ordered = [made[path] for path in sorted(made, key=lambda path: (made[path][0].modality, made[path][0].first))]
    unreadable = [
        Unreadable(task.modality, row, dataset.rows(task.modality)["path"].iloc[row], fault)
        for modality in MODALITIES
        for task, shard in ordered
        if task.modality == modality
        for row, fault in shard.faults
    ]
    _write_unreadable(out / UNREADABLE, unreadable)
    if not unreadable or skip_unreadable:
        record = _finish(dataset, out, record, ordered, unreadable)
    return Packed(record, total, sum(shard.kept for _, shard in ordered), unreadable)


def _tasks(dataset: Dataset, out: Path, record: PackRecord) -> Iterator[ShardTask]:
    for modality in MODALITIES:
        rows, count = record.shard_rows[modality], len(dataset.rows(modality))
        for number, first in enumerate(range(0, count, rows)):
            paths = [dataset.path(modality, row) for row in range(first, min(first + rows, count))]
            path = out / STORE / f"{modality}-{number:04d}.bin"
            yield ShardTask(path, modality, first, paths, record)


def _made(
    dataset: Dataset, out: Path, record: PackRecord, jobs: int
) -> Generator[tuple[ShardTask, ShardMade], None, None]:
    """Make all shards; give each when it is ready."""
    tasks = _tasks(dataset, out, record)
    if jobs == 1:
        for task in tasks:
            yield task, make_shard(task)
        return
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(jobs, context, begin_packing, (stop,)) as pool:
        pending: dict[Future[ShardMade], ShardTask] = {}
        try:
            while True:
                with signals_held():
                    # A few more tasks than processes: no process waits, and Ctrl-C leaves little to cancel.
                    for task in itertools.islice(tasks, 2 * jobs - len(pending)):
                        pending[pool.submit(make_shard, task)] = task
                if not pending:
                    return
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    yield pending.pop(future), future.result()
        except BrokenProcessPool as error:
            raise RunError(
                "a decoding process died, perhaps because memory ran out; finished shards are kept. Give the same "
                "command again, with fewer `jobs` if need be"
            ) from error
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


def _finish(
    dataset: Dataset,
    out: Path,
    record: PackRecord,
    made: list[tuple[ShardTask, ShardMade]],
    unreadable: list[Unreadable],
) -> PackRecord:
    """Write the index, the manifest and last the finished record."""
    sizes = {
        modality: np.array([size for task, shard in made if task.modality == modality for size in shard.sizes], "i8")
        for modality in MODALITIES
    }
    silence = np.array([value for _, shard in made for value in shard.silence], np.float64)
    with atomic_path(out / STORE / PACK_INDEX) as temporary:
        save_file({**sizes, "silence": silence}, temporary)
    for name in _COMPANIONS:
        if (dataset.root / name).is_file():
            with atomic_path(out / name) as temporary:
                shutil.copyfile(dataset.root / name, temporary)
    if unreadable:
        manifest = _without(dataset.manifest, unreadable)
        write_manifest(manifest, out / MANIFEST)
    else:
        # The same bytes, so that the pack counts as the same dataset (`Dataset.sha`).
        manifest = dataset.manifest
        with atomic_path(out / MANIFEST) as temporary:
            shutil.copyfile(dataset.manifest_path, temporary)
    shards = tuple(
        Shard(
            name=task.path.name, modality=task.modality, rows=len(shard.sizes), bytes=shard.bytes, sha256=shard.sha256
        )
        for task, shard in made
        if shard.sizes
    )
    facts = {
        "rows_sha256": rows_digest(manifest),
        "index_sha256": file_sha256(out / STORE / PACK_INDEX),
        "shards": shards,
    }
    record = record.model_copy(update={**facts, "finished": True})
    record.write(out)
    return record


def _without(manifest: pd.DataFrame, unreadable: list[Unreadable]) -> pd.DataFrame:
    number = manifest.groupby("modality").cumcount()
    skipped = pd.MultiIndex.from_tuples([(entry.modality, entry.row) for entry in unreadable])
    return manifest[~pd.MultiIndex.from_arrays([manifest["modality"], number]).isin(skipped)]


def _write_unreadable(path: Path, unreadable: list[Unreadable]) -> None:
    """List the files that cannot be decoded; remove the list if there are none."""
    if not unreadable:
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["modality", "path", "fault"])
        writer.writerows([entry.modality, no_formula(entry.path), entry.fault] for entry in unreadable)
