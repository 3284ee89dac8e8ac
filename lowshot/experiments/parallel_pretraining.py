"""Several pretrainings in parallel on a CPU, each in its own process.

Two runs in parallel, each with half of the cores, finish sooner than one after the other with all cores: small
convolutions gain little from a second thread.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
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
from lowshot.progress import Event, Report, quiet
from lowshot.training.interrupt import stop_on_signal
from lowshot.training.loop import pretrain
from lowshot.workers import release_signals, signals_held

Job = tuple[Config, Path, str]
_MOMENT = 0.1


def pretrain_all(
    jobs: Sequence[Job],
    reader: Reader,
    at_once: int | None = None,
    done: Callable[[Path], None] = lambda run: None,
    report: Report = quiet,
) -> None:
    """Pretrain in parallel on a CPU, or in turn on a GPU.

    Args:
        jobs: settings, run directory and `resume` (as in `pretrain`) of each run, all on the data of `reader`.
        reader: of their dataset.
        at_once: largest number of parallel runs; all if None. It sets the threads of each run, even if few runs are
            left, so a continued run ends as it would have without a stop.
        done: called with the directory of each finished run.
        report: takes the progress of all runs, each on its own line.

    Raises:
        RunError: a run failed or was stopped. In parallel, all other runs finished, and the stopped ones are saved.
    """
    at_once = at_once or len(jobs)
    if at_once < 2 or default_device().type != "cpu":
        for config, run, resume in jobs:
            pretrain(config, reader, run, resume, report=report)
            done(run)
        return
    # If a person set a thread count, it holds for each run.
    threads = max(1, (os.cpu_count() or 1) // at_once)
    manifest = str(reader.dataset.manifest_path)
    waiting, failed = list(jobs), list[_Running]()
    running: dict[int, _Running] = {}
    with stop_on_signal() as stop:
        while (waiting and not stop.asked) or running:
            free = [line for line in range(at_once) if line not in running]
            while waiting and free and not stop.asked:
                config, run, resume = waiting.pop(0)
                line = free.pop(0)
                running[line] = _start(config, manifest, config.train.threads or threads, run, resume, line)
            _wait(running.values(), report)
            if stop.asked:
                _stop(running.values(), report)
            for line, one in list(running.items()):
                if one.process.is_alive():
                    continue
                one.pass_on(report)
                one.events.close()
                del running[line]
                if one.process.exitcode:
                    failed.append(one)
                else:
                    done(one.run)
    if stop.asked or failed:
        what = "stopped" if stop.asked else f"{failed[0].run} failed ({failed[0].reason or 'see above'})"
        raise RunError(f"{what}; the saved state is kept, and the same command continues from it")


@dataclass
class _Running:
    """A run in its own process.

    Attributes:
        process: of the run.
        run: its directory.
        events: pipe with its events; the process closes it at its end.
        reason: why it failed, if known.
    """

    process: SpawnProcess
    run: Path
    events: "Connection[Any, Event | str]"
    reason: str = ""

    def pass_on(self, report: Report) -> None:
        """Report the events that have arrived."""
        for event in self._arrived():
            if isinstance(event, str):
                self.reason = event
            else:
                report(event)

    def _arrived(self) -> Iterator[Event | str]:
        # `poll` is also true at the end of a pipe.
        with suppress(EOFError, OSError):
            while self.events.poll():
                yield self.events.recv()


def _start(config: Config, manifest: str, threads: int, run: Path, resume: str, line: int) -> _Running:
    context = multiprocessing.get_context("spawn")
    receives, sends = context.Pipe(duplex=False)
    arguments = (config.model_dump(mode="json"), manifest, threads, run, resume, line, sends)
    process = context.Process(target=_work, args=arguments)
    with signals_held():
        process.start()
    # The process has its own copy, so the pipe ends with it.
    sends.close()
    return _Running(process, run, receives)


def _wait(running: Iterable[_Running], report: Report) -> None:
    """Wait a moment for processes to end, and report their events."""
    for one in running:
        one.process.join(timeout=_MOMENT)
        one.pass_on(report)


def _stop(running: Iterable[_Running], report: Report) -> None:
    """Ask all runs to save and stop, and wait until they have."""
    asked = [one for one in running if one.process.is_alive()]
    for one in asked:
        one.process.terminate()
    # A process that waits for a full pipe does not end.
    while any(one.process.is_alive() for one in asked):
        _wait(asked, report)


def _work(
    settings: dict[str, Any],
    manifest: str,
    threads: int,
    run: Path,
    resume: str,
    line: int,
    events: "Connection[Event | str, Any]",
) -> None:
    """Run one pretraining in its own process."""
    import torch

    # Until the training loop handles signals there is nothing to save.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(1))
    release_signals()
    threading.Thread(target=_stop_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    torch.set_num_threads(threads)
    config = build_config([settings])
    sent = 0.0

    def send(event: Event | str) -> None:
        # Without a reader, the run stops; see `_stop_with`.
        with suppress(OSError):
            events.send(event)

    def report(event: Event) -> None:
        nonlocal sent
        now = time.monotonic()
        if event.kind == "steps" and now - sent < _MOMENT and event.done != event.total:
            return
        sent = now
        send(replace(event, line=line))

    try:
        reader = open_reader(Dataset.open(manifest), config.model, config.voice, config.face)
        pretrain(config, reader, run, resume, report=report)
    except LowshotError as error:
        send(str(error))
        sys.exit(error.exit_code)


def _stop_with(parent: BaseProcess | None) -> None:
    """Save and stop if the parent ends, to free the run's lock."""
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
