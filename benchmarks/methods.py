"""What a method's step costs beside instance contrast, clustering included, and whether the loader keeps up.

    python benchmarks/methods.py [--preset bench] [--epochs 5] [--rounds 3] [--set KEY=VALUE ...]

Each method trains for whole epochs from the same seed at the same batch size, in turn; the first epoch, in which media
are decoded, does not count. The prototypes act from the second epoch on and are renewed every second epoch, as by
default. Then the loader alone: batches it makes a second, against those that the towers take.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from lowshot.config import Config, build_config, parse_set, read_preset
from lowshot.data.readers.media import MediaReader
from lowshot.settings import METHODS
from lowshot.training.loop import Pretraining, default_device
from lowshot.workflows.datasets import open_dataset


def seconds_per_step(config: Config, reader: MediaReader) -> float:
    """Mean over all epochs but the first, of a run from fresh weights."""
    job = Pretraining(config, reader, default_device())
    per_epoch = job.batches.steps_per_epoch
    marks: dict[int, float] = {}
    with TemporaryDirectory() as folder:
        job.train(Path(folder), lambda done: marks.update({done: time.perf_counter()}))
    return (marks[job.total_steps] - marks[per_epoch]) / (job.total_steps - per_epoch)


def seconds_per_batch(config: Config, reader: MediaReader) -> float:
    """Of the loader alone, media decoded."""
    batches = Pretraining(config, reader, default_device()).batches
    steps = batches.steps_per_epoch
    for step in range(steps):
        batches.batch(step)
    started = time.perf_counter()
    for step in range(steps, 2 * steps):
        batches.batch(step)
    return (time.perf_counter() - started) / steps


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="bench")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=["cid", "cmpc"], choices=list(METHODS))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    quiet = {"train": {"epochs": options.epochs, "validate_every": 0, "checkpoint_seconds": 1e9}}
    base = build_config([read_preset(options.preset), quiet, *(parse_set(item) for item in options.set)])
    reader = MediaReader(open_dataset(base.data), base.voice, base.face)
    loading = seconds_per_batch(base, reader)
    seconds: dict[str, list[float]] = {name: [] for name in options.methods}
    for _ in range(options.rounds):
        for name in options.methods:
            seconds[name].append(seconds_per_step(base.with_method(name), reader))
    best = {name: min(times) for name, times in seconds.items()}
    print(f"{base.data}, {options.epochs} epochs, batch {base.train.batch_size}, {torch.get_num_threads()} threads")
    for name, value in best.items():
        print(
            f"{name:13} {1000 * value:6.1f} ms a step, {value / next(iter(best.values())):.3f} of {options.methods[0]}"
        )
    step = next(iter(best.values()))
    print(f"loader        {1000 * loading:6.1f} ms a batch: {step / loading:.1f} batches while the towers take one")


if __name__ == "__main__":
    main()
