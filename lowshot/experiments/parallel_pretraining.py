"""Several pretrainings at once on a CPU, in processes of their own.

Two runs with half of the cores each finish sooner than one after the other with all of them: small convolutions gain
little from a second thread.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from lowshot.config import Config, build_config
from lowshot.data.dataset import Dataset
from lowshot.data.readers.base import Reader
from lowshot.data.readers.choice import open_reader
from lowshot.errors import LowshotError, RunError
from lowshot.models.device import default_device
from lowshot.training.interrupt import stop_on_signal
from lowshot.training.loop import pretrain
from lowshot.workers import release_signals, signals_held

Job = tuple[Config, Path, str]


def pretrain_all(
    jobs: Sequence[Job],
    reader: Reader,
    at_once: int | None = None,
    done: Callable[[Path], None] = lambda run: None,
) -> None:
    """Pretrain side by side on a CPU, one after the other on a GPU.

    Args:
        jobs: settings, run directory and `resume` (as in `pretrain`) of each run, all on the data of `reader`.
        reader: of their dataset.
        at_once: how many side by side at most; all of them when not given. It decides the threads of each, however
            few runs there are left: runs that go on after a stop end as they would have without it.
        done: called with the directory of each run that came to its end.

    Raises:
        RunError: a run failed or was stopped; side by side, it has said why on standard error, all others came to their
            end, and all that were stopped are saved.
    """
    at_once = at_once or len(jobs)
    if at_once < 2 or default_device().type != "cpu":
        for config, run, resume in jobs:
            pretrain(config, reader, run, resume)
            done(run)
        return
    # A thread count that a person set holds for each run.
    threads = max(1, (os.cpu_count() or 1) // at_once)
    manifest = str(reader.dataset.manifest_path)
    context = multiprocessing.get_context("spawn")
    waiting, failed = list(jobs), list[Path]()
    running: dict[int, tuple[SpawnProcess, Path]] = {}
    with stop_on_signal() as stop:
        while (waiting and not stop.asked) or running:
            free = [line for line in range(at_once) if line not in running]
            while waiting and free and not stop.asked:
                config, run, resume = waiting.pop(0)
                line = free.pop(0)
                settings = config.model_dump(mode="json")
                arguments = (settings, manifest, config.train.threads or threads, run, resume, line)
                process = context.Process(target=_work, args=arguments)
                with signals_held():
                    process.start()
                running[line] = process, run
            for process, _ in running.values():
                process.join(timeout=0.2)
            if stop.asked:
                _stop(process for process, _ in running.values())
            for line, (process, run) in list(running.items()):
                if process.is_alive():
                    continue
                del running[line]
                if process.exitcode:
                    failed.append(run)
                else:
                    done(run)
    if stop.asked or failed:
        what = "stopped" if stop.asked else f"{failed[0]} failed (see above)"
        raise RunError(f"{what}; what was saved is kept, the same command goes on from there")


def _stop(processes: Iterable[SpawnProcess]) -> None:
    """Ask all runs to save and stop, and wait until they have."""
    asked = [process for process in processes if process.is_alive()]
    for process in asked:
        process.terminate()
    for process in asked:
        process.join()


def _work(settings: dict[str, Any], manifest: str, threads: int, run: Path, resume: str, line: int) -> None:
    """One run in its own process."""
    import torch

    # Until the loop listens there is nothing to save.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(1))
    release_signals()
    threading.Thread(target=_stop_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    torch.set_num_threads(threads)
    config = build_config([settings])
    try:
        reader = open_reader(Dataset.open(manifest), config.model, config.voice, config.face)
        pretrain(config, reader, run, resume, line=line)
    except LowshotError as error:
        print(f"lowshot: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _stop_with(parent: BaseProcess | None) -> None:
    """Save and stop when the process that asked for this run is gone: the same command would find it locked."""
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
