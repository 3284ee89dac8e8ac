"""Kill a small pretraining run at random moments, again and again, and compare its end with an uninterrupted one's.

    python benchmarks/kills.py [--kills 20] [--method cmpc] [--seed 0]

Each trial starts `lowshot pretrain --preset tiny`, which saves after every step, kills it without warning at a random
moment, and lets the same command go on to the end. Weights and metrics must be the same bytes, the memory bank and the
clusters the same tensors. Ends with exit code 1 if any trial differs.
"""

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from lowshot.runs import is_finished
from lowshot.schema import CHECKPOINT, MODEL
from lowshot.training.checkpoint import load_checkpoint


def start(method: str, out: Path) -> subprocess.Popen[bytes]:
    """The run, in a process of its own."""
    options = ["--preset", "tiny", "--method", method, "--set", "train.checkpoint_seconds=0", "--out", str(out)]
    command = [sys.executable, "-m", "lowshot", "pretrain", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(method: str, out: Path) -> None:
    """Let the run come to its end."""
    process = start(method, out)
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"the run failed:\n{errors.decode()}")


def same(a: object, b: object) -> bool:
    """Whether two states hold the same values, bit for bit."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def equal_ends(a: Path, b: Path) -> bool:
    """Whether two finished runs are the same, but for how long they took."""
    if any((a / name).read_bytes() != (b / name).read_bytes() for name in (MODEL, "metrics.csv")):
        return False
    states = [load_checkpoint(run / CHECKPOINT) for run in (a, b)]
    for state in states:
        del state["seconds"]
    return same(*states)


def main() -> None:
    """Run the trials."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--method", default="cmpc")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with TemporaryDirectory() as name:
        folder = Path(name)
        finish(options.method, folder / "rendered")
        started = time.monotonic()
        finish(options.method, folder / "whole")
        length = time.monotonic() - started
        print(f"uninterrupted: {length:.1f} s", flush=True)
        identical = 0
        for trial in range(options.kills):
            run = folder / f"killed-{trial}"
            moment = moments.uniform(0, length)
            process = start(options.method, run)
            time.sleep(moment)
            process.kill()
            process.communicate()
            # A process goes on for a moment after its run is whole.
            over = is_finished(run)
            where = "after its end" if over else step_reached(run)
            if not over:
                finish(options.method, run)
            equal = equal_ends(folder / "whole", run)
            identical += equal
            print(f"{trial + 1:2}: killed at {moment:5.1f} s, {where}: {'same' if equal else 'DIFFERENT'}", flush=True)
    print(f"{identical} of {options.kills} endings are the same as the uninterrupted one")
    raise SystemExit(identical < options.kills)


def step_reached(run: Path) -> str:
    """What the killed process left behind."""
    if not (run / CHECKPOINT).is_file():
        return "before its first checkpoint"
    return f"after step {load_checkpoint(run / CHECKPOINT)['step']}"


if __name__ == "__main__":
    main()
