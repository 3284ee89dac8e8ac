"""Packing against one process that decodes file by file with librosa, and batches from a pack against from files.

    python -P benchmarks/pack.py [--data synth:demo] [--videos 2500] [--jobs 2] [--rounds 3] [--batches 20]

(`pip install librosa` first; -P because its numba would take coverage.py, beside this file, for the library of that
name.)

The files are copied to a temporary directory first, and every round reads them from the system's memory for files, so
that no way pays for the disk. The time of a way is the least over the rounds. Packing is the whole of it: starting the
processes, decoding, hashing, writing; and once more from its first shard to its last, which is what counts where there
is much to pack. librosa decodes, makes the same log-mel and shrinks the faces, and keeps nothing; its first call, which
compiles, is not counted. Decoded media that `lowshot` keeps in memory are not counted on either:
batches from files are timed with an empty memory, as of a dataset that exceeds it, and once more with a full one.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import librosa
import numpy as np
import torch
from PIL import Image

from lowshot.config import Config, build_config, read_preset
from lowshot.data.dataset import Dataset
from lowshot.data.face import stored_size
from lowshot.data.manifest import write_manifest
from lowshot.data.packing.writing import pack_dataset
from lowshot.data.pairs import PairBatches, videos_of
from lowshot.data.readers.media import MediaReader
from lowshot.data.voice import POWER_FLOOR, SAMPLE_RATE


def decode_voice(path: Path, config: Config) -> np.ndarray:
    """Log-mel about its mean, as librosa makes it: the front end `centred`."""
    window, hop = (round(SAMPLE_RATE * ms / 1000) for ms in (config.voice.window_ms, config.voice.hop_ms))
    samples, _ = librosa.load(path, sr=SAMPLE_RATE)
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=SAMPLE_RATE,
        n_fft=max(512, 1 << (window - 1).bit_length()),
        win_length=window,
        hop_length=hop,
        n_mels=config.voice.mel_bands,
        htk=True,
        norm=None,
    )
    log_power = np.log(np.maximum(power, POWER_FLOOR))
    return log_power - log_power.mean()


def decode_face(path: Path, config: Config) -> np.ndarray:
    """The image as a square."""
    side = stored_size(config.face)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))


def file_by_file(dataset: Dataset, config: Config) -> None:
    """What one plain process does."""
    for modality, decode in (("voice", decode_voice), ("face", decode_face)):
        for row in range(len(dataset.rows(modality))):
            decode(dataset.path(modality, row), config)


def copied(source: Dataset, videos: int, out: Path) -> Dataset:
    """The first training videos of a dataset, as a dataset of their own."""
    rows = source.manifest[source.manifest["split"] == "train"]
    rows = rows[rows["video"].isin(rows["video"].unique()[:videos])]
    for path in rows["path"]:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.root / path, out / path)
    write_manifest(rows, out / "manifest.csv")
    return Dataset.open(out)


def read_batches(reader: MediaReader, config: Config, steps: Sequence[int]) -> None:
    """Make some training batches."""
    videos = videos_of(reader.dataset, "train")
    batches = PairBatches(videos, reader, config.train.batch_size, 0, config.voice, config.face, config.augment)
    for step in steps:
        batches.batch(step)


def least_seconds(work: Callable[[int], object], rounds: int) -> float:
    """The least time of several rounds; `work` is told which one it is."""
    seconds = []
    for turn in range(rounds):
        started = time.perf_counter()
        work(turn)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="synth:demo")
    parser.add_argument("--videos", type=int, default=2500)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--preset", default="demo", help="whose settings of voice and face; with the front end centred")
    options = parser.parse_args()
    config = build_config([read_preset(options.preset)])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        dataset = copied(Dataset.open(options.data), options.videos, root / "files")
        files = len(dataset.manifest)
        decode_voice(dataset.path("voice", 0), config)

        running = dict.fromkeys(sorted({1, options.jobs}), 0.0)

        def pack(jobs: int) -> Callable[[int], object]:
            def work(turn: int) -> None:
                shards: list[tuple[float, int]] = []
                pack_dataset(
                    dataset,
                    root / f"{jobs}-{turn}",
                    config.voice,
                    config.face,
                    jobs=jobs,
                    progress=lambda done, total: shards.append((time.perf_counter(), done)),
                )
                (first, before), (last, after) = shards[0], shards[-1]
                running[jobs] = max(running[jobs], (after - before) / (last - first))

            return work

        print(f"{options.data}, {files} files, {options.rounds} rounds, {torch.get_num_threads()} threads")
        ways: dict[str, Callable[[int], object]] = {"librosa, one process": lambda turn: file_by_file(dataset, config)}
        ways |= {f"data pack --jobs {jobs}": pack(jobs) for jobs in running}
        first = report(ways, files, "files", options.rounds)
        for jobs, rate in running.items():
            say(f"data pack --jobs {jobs}, once it runs", rate, "files", first)

        kept = MediaReader(dataset, config.voice, config.face)
        packed = MediaReader(Dataset.open(root / f"{options.jobs}-0"), config.voice, config.face)
        none = MediaReader(dataset, config.voice, config.face, cache_bytes=0)
        steps = range(options.batches)
        read_batches(kept, config, steps)
        report(
            {
                "batches from files": lambda turn: read_batches(none, config, steps),
                "from files, decoded and kept": lambda turn: read_batches(kept, config, steps),
                "from a pack": lambda turn: read_batches(packed, config, steps),
            },
            options.batches,
            "batches",
            options.rounds,
        )


def report(ways: dict[str, Callable[[int], object]], count: int, unit: str, rounds: int) -> float:
    """Time some ways and print each one's throughput and its ratio to the first one's, which is returned."""
    first = 0.0
    for name, work in ways.items():
        rate = count / least_seconds(work, rounds)
        first = first or rate
        say(name, rate, unit, first)
    return first


def say(name: str, rate: float, unit: str, first: float) -> None:
    """Print a throughput and its ratio to the first way's."""
    print(f"{name:32} {rate:10,.1f} {unit} a second, {rate / first:6.2f} times the first", flush=True)


if __name__ == "__main__":
    main()
