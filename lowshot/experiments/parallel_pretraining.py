"""Several pretrainings at once on a CPU, in processes of their own.

Two runs with half of the cores each finish sooner than one after the other with all of them: small convolutions gain
little from a second thread.
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
    """Pretrain side by side on a CPU, one after the other on a GPU.

    Args:
        jobs: settings, run directory and `resume` (as in `pretrain`) of each run, all on the data of `reader`.
        reader: of their dataset.
        at_once: how many side by side at most; all of them when not given. It decides the threads of each, however
            few runs there are left: runs that go on after a stop end as they would have without it.
        done: called with the directory of each run that came to its end.
        report: takes the progress of all runs, each on a line of its own.

    Raises:
        RunError: a run failed or was stopped; side by side, all others came to their end, and all that were stopped
            are saved.
    """
    at_once = at_once or len(jobs)
    if at_once < 2 or default_device().type != "cpu":
        for config, run, resume in jobs:
            pretrain(config, reader, run, resume, report=report)
            done(run)
        return
    # A thread count that a person set holds for each run.
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
        raise RunError(f"{what}; what was saved is kept, the same command goes on from there")


@dataclass
class _Running:
    """A run in a process of its own.

    Attributes:
        process: of the run.
        run: its directory.
        events: where its events arrive; closed by the process when it ends.
        reason: why it failed, if it said so.
    """

    process: SpawnProcess
    run: Path
    events: "Connection[Any, Event | str]"
    reason: str = ""

    def pass_on(self, report: Report) -> None:
        """Report what has arrived."""
        for event in self._arrived():
            if isinstance(event, str):
                self.reason = event
            else:
                report(event)

    def _arrived(self) -> Iterator[Event | str]:
        # An ended pipe has something to read, too: its end.
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
    # The process has its own: when it ends, so does the pipe.
    sends.close()
    return _Running(process, run, receives)


def _wait(running: Iterable[_Running], report: Report) -> None:
    """Wait a moment for events and for ends of processes, and report what has arrived."""
    for one in running:
        one.process.join(timeout=_MOMENT)
        one.pass_on(report)


def _stop(running: Iterable[_Running], report: Report) -> None:
    """Ask all runs to save and stop, and wait until they have."""
    asked = [one for one in running if one.process.is_alive()]
    for one in asked:
        one.process.terminate()
    # Nobody ends who waits for a full pipe.
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
    """One run in its own process."""
    import torch

    # Until the loop listens there is nothing to save.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(1))
    release_signals()
    threading.Thread(target=_stop_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    torch.set_num_threads(threads)
    config = build_config([settings])
    sent = 0.0

    def send(event: Event | str) -> None:
        # Without a reader the run stops by itself; see `_stop_with`.
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
    """Save and stop when the process that asked for this run is gone: the same command would find it locked."""
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
