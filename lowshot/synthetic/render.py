"""Render a world to disk in the layout of VoxCeleb1, with manifest and truth, and keep it in a cache."""

import contextlib
import csv
import functools
import io
import json
import multiprocessing
import os
import shutil
import tempfile
import wave
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from lowshot.errors import RequestError, RunError
from lowshot.files import cache_root
from lowshot.schema import ATTRIBUTES, IDENTITY_SPLITS, LATENTS, MANIFEST, MANIFEST_COLUMNS, TRUTH, VOX1_META, WORLD
from lowshot.synthetic.face_traits import face_traits, film_scene
from lowshot.synthetic.faces import render_face
from lowshot.synthetic.voices import synthesise, voice_traits
from lowshot.synthetic.world import (
    FACE,
    SHARED,
    SIZES,
    STREAM_FACE_SCENE,
    STREAM_FACE_TRAITS,
    STREAM_VOICE_CLIP,
    STREAM_VOICE_TRAITS,
    VOICE,
    World,
    WorldConfig,
    build_world,
    config_hash,
    latent_model,
    random_stream,
)

RENDER_VERSION = 5
"""Version of the bytes of a rendered world, so that no cache mixes two versions."""

TRUTH_COLUMNS = ("video", "face_identity", "voice_identity", "deviates")

Progress = Callable[[int, int], None]


def _frame_numbers(world: World, row: int) -> list[int]:
    """Return rising frame numbers of a video's face images, at least a second (25 frames) apart."""
    video = world.videos[row]
    rng = random_stream(world.config.stream_seed, STREAM_FACE_SCENE, video.identity, video.number, 1)
    return (25 * np.cumsum(rng.integers(1, 12, world.config.frames))).tolist()


def _voice_path(world: World, row: int) -> str:
    video = world.videos[row]
    return f"wav/{world.ids[video.identity]}/{video.name}/00001.wav"


def _face_paths(world: World, row: int) -> list[str]:
    video = world.videos[row]
    folder = f"unzippedFaces/{world.names[video.identity]}/1.6/{video.name}"
    return [f"{folder}/{number:07d}.jpg" for number in _frame_numbers(world, row)]


def _write_wav(path: Path, samples: np.ndarray, rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


def _render_video(world: World, row: int, root: Path) -> None:
    config, video = world.config, world.videos[row]
    speaker = video.voice_identity
    traits = voice_traits(world.voice[speaker], random_stream(config.stream_seed, STREAM_VOICE_TRAITS, speaker))
    clip = synthesise(
        traits,
        random_stream(config.stream_seed, STREAM_VOICE_CLIP, video.identity, video.number),
        seconds=config.seconds,
        snr_db=config.snr_db,
        sample_rate=config.sample_rate,
    )
    path = root / _voice_path(world, row)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_wav(path, clip, config.sample_rate)
    face = face_traits(
        world.face[video.identity], random_stream(config.stream_seed, STREAM_FACE_TRAITS, video.identity)
    )
    rng = random_stream(config.stream_seed, STREAM_FACE_SCENE, video.identity, video.number)
    scene = film_scene(face, rng, jpeg_quality=config.jpeg_quality)
    for relative in _face_paths(world, row):
        buffer = io.BytesIO()
        render_face(face, scene, rng, size=config.image_size).save(buffer, "JPEG", quality=scene.quality)
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())


@functools.lru_cache(maxsize=1)
def _world_of(config: WorldConfig) -> World:
    """Build a worker's own copy once: a configuration is smaller to send with each task than a world."""
    return build_world(config)


def _render_rows(config: WorldConfig, rows: Sequence[int], root: str) -> int:
    for row in rows:
        _render_video(_world_of(config), row, Path(root))
    return len(rows)


def _rendered(world: World, rows: Sequence[int], root: Path, workers: int) -> Generator[int, None, None]:
    """Render the media of some videos; yield the number of further ones each time."""
    if workers == 1:
        for row in rows:
            _render_video(world, row, root)
            yield 1
        return
    # Small enough for a lively progress bar, large enough to hand over cheaply.
    chunks = [list(rows[start : start + 16]) for start in range(0, len(rows), 16)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        pending = {pool.submit(_render_rows, world.config, chunk, str(root)) for chunk in chunks}
        try:
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool:
            raise RunError(
                "a rendering process died; render with workers=1, or call it under `if __name__ == '__main__':`"
            ) from None
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], delimiter: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_tables(world: World, root: Path) -> None:
    manifest: list[tuple[object, ...]] = []
    for row, video in enumerate(world.videos):
        i = video.identity
        about = (
            video.name,
            world.ids[i],
            video.split,
            world.genders[i],
            world.nationalities[i],
            world.ages[i],
        )
        manifest.append((_voice_path(world, row), "voice", *about))
        manifest += [(path, "face", *about) for path in _face_paths(world, row)]
    _write_csv(root / MANIFEST, (*MANIFEST_COLUMNS, *ATTRIBUTES), manifest)
    truth = (
        (v.name, world.ids[v.identity], world.ids[v.voice_identity], int(v.voice_identity != v.identity))
        for v in world.videos
    )
    _write_csv(root / TRUTH, TRUTH_COLUMNS, truth)
    meta = zip(
        world.ids,
        world.names,
        world.genders,
        world.nationalities,
        ["test" if split == "test" else "dev" for split in world.splits],
        strict=True,
    )
    header = ("VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set")
    _write_csv(root / VOX1_META, header, meta, delimiter="\t")
    codes = {"train": 1, "val": 2, "test": 4}
    lines = [f"{name} {codes[split]} \n" for name, split in zip(world.names, world.splits, strict=True)]
    (root / IDENTITY_SPLITS).write_text("".join(lines), encoding="utf-8", newline="\n")


def _write_truth(world: World, root: Path) -> None:
    arrays = {"shared": world.shared, "voice": world.voice, "face": world.face} | vars(latent_model())
    names = {"identities": world.ids, "shared": list(SHARED), "voice": list(VOICE), "face": list(FACE)}
    save_file(
        {key: np.ascontiguousarray(value) for key, value in arrays.items()},
        root / LATENTS,
        # One entry: the writer keeps several in no fixed order.
        metadata={"names": json.dumps(names)},
    )
    description = {"render_version": RENDER_VERSION, "config": asdict(world.config)}
    (root / WORLD).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8", newline="\n")


def render_world(
    config: WorldConfig,
    out: Path,
    workers: int | None = None,
    progress: Progress | None = None,
    splits: Sequence[str] | None = None,
) -> None:
    """Render a world's media, manifest and truth into a new directory, all or nothing.

    Args:
        config: The world.
        out: Directory to make. It is built beside this place, then moved here.
        workers: Number of processes, >= 1; if None, the number of CPUs, at most 8. The bytes do not depend on it.
        progress: Called with (videos done, videos in all).
        splits: Splits whose media are rendered; all if None. Every other file is that of the whole world.

    Raises:
        RequestError: `out` exists and is not an empty directory, or `workers` is below one.
    """
    if workers is None:
        workers = min(os.cpu_count() or 1, 8)
    if workers < 1:
        raise RequestError(f"workers = {workers}: rendering needs at least one process")
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RequestError(f"{out}: exists and is not an empty directory; choose another place or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        building.chmod(0o755)
        world = build_world(config)
        rows = [row for row, video in enumerate(world.videos) if splits is None or video.split in splits]
        done = 0
        # Closed at once if something fails, so that no worker writes while the directory is removed.
        with contextlib.closing(_rendered(world, rows, building, workers)) as rendered:
            for count in rendered:
                done += count
                if progress is not None:
                    progress(done, len(rows))
        _write_tables(world, building)
        _write_truth(world, building)
        _move_into_place(building, out)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _move_into_place(building: Path, out: Path) -> None:
    if out.is_dir() and not any(out.iterdir()):
        out.rmdir()
    try:
        building.rename(out)
    except OSError:
        # Another process finished the same world first. Its bytes are the same.
        if not (out / MANIFEST).is_file():
            raise


def ensure_world(
    size: str,
    seed: int = 0,
    cache: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    splits: Sequence[str] | None = None,
) -> Path:
    """Return the directory of an embedded world; render it on first use.

    Args:
        size: A key of `world.SIZES`.
        seed: Seed of the world, >= 0.
        cache: Folder of worlds; `cache_root()` if None.
        workers, progress: As in `render_world`.
        splits: Splits whose media are needed; all if None. A whole world serves, too.

    Returns:
        The dataset directory.

    Raises:
        RequestError: There is no such size, or the seed is negative.
    """
    if size not in SIZES:
        raise RequestError(f"no embedded world is called {size!r}; choose one of {', '.join(SIZES)}")
    if seed < 0:
        raise RequestError(f"seed = {seed}: give a seed of 0 or more")
    config = replace(SIZES[size], seed=seed)
    key = f"{size}-{seed}-{config_hash(config, RENDER_VERSION)}"
    worlds = (cache_root() if cache is None else Path(cache)) / "worlds"
    out = worlds / key
    if splits is not None and not (out / MANIFEST).is_file():
        out = worlds / "-".join([key, *sorted(split or "unsplit" for split in splits)])
    if not (out / MANIFEST).is_file():
        render_world(config, out, workers, progress, splits)
    return out
