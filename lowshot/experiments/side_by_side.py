"""Several pretrainings at once on a CPU, in processes of their own.

Two runs with half of the cores each finish sooner than one after the other with all of them: small convolutions gain
little from a second thread.
"""

import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from lowshot.config import Config, build_config
from lowshot.data.dataset import Dataset
from lowshot.data.reader import MediaReader
from lowshot.errors import LowshotError, RunError
from lowshot.training.interrupt import stop_on_signal
from lowshot.training.loop import default_device, pretrain

Job = tuple[Config, Path, str]


def pretrain_all(jobs: Sequence[Job], reader: MediaReader) -> None:
    """Pretrain side by side on a CPU, one after the other on a GPU.

    Args:
        jobs: settings, run directory and `resume` (as in `pretrain`) of each run, all on the data of `reader`.
        reader: decoded media.

    Raises:
        RunError: a run failed or was stopped; it has said why on standard error, and all that were stopped are saved.
    """
    if len(jobs) < 2 or default_device().type != "cpu":
        for config, run, resume in jobs:
            pretrain(config, reader, run, resume)
        return
    # A thread count that a person set holds for each run.
    threads = max(1, (os.cpu_count() or 1) // len(jobs))
    manifest = str(reader.dataset.manifest_path)
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(
            target=_work,
            args=(config.model_dump(mode="json"), manifest, config.train.threads or threads, run, resume, line),
        )
        for line, (config, run, resume) in enumerate(jobs)
    ]
    with stop_on_signal() as stop:
        for process in processes:
            process.start()
        while any(process.is_alive() for process in processes):
            for process in processes:
                process.join(timeout=0.2)
            if stop.asked:
                _stop(processes)
    failed = [run for process, (_, run, _) in zip(processes, jobs, strict=True) if process.exitcode]
    if stop.asked or failed:
        what = "stopped" if stop.asked else f"{failed[0]} failed (see above)"
        raise RunError(f"{what}; what was saved is kept, the same command goes on from there")


def _stop(processes: Sequence[SpawnProcess]) -> None:
    """Ask all runs to save and stop, and wait until they have."""
    for process in processes:
        if process.is_alive():
            process.terminate()
    for process in processes:
        process.join()


def _work(settings: dict[str, Any], manifest: str, threads: int, run: Path, resume: str, line: int) -> None:
    """One run in its own process."""
    import sys

    import torch

    torch.set_num_threads(threads)
    config = build_config([settings])
    try:
        reader = MediaReader(Dataset.open(manifest), config.voice, config.face)
        pretrain(config, reader, run, resume, line=line)
    except LowshotError as error:
        print(f"lowshot: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
