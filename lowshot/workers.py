"""Processes that work for another one: they end with it, and leave signals from the terminal to it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess

# How long a worker goes on after SIGTERM. A batch system sends it to all processes of a job at once, and a run needs
# its workers to come to the end of its step.
GRACE_SECONDS = 20.0


def begin_worker() -> None:
    """Make this process a worker: to be called first of all in it.

    Ctrl-C is for the process that the worker works for. SIGTERM ends the worker after `GRACE_SECONDS`. When the other
    process is gone, killed perhaps, the worker ends at once. torch computes with one thread: workers are many, and
    OpenMP's threads do not survive a fork.
    """
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _end_later())
    release_signals()
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    torch.set_num_threads(1)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_held() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the block is over: for workers to be started in.

    A new process holds them as well until `release_signals`, so that none dies of one before it is ready. Where there
    are no signal masks, on Windows, nothing is held.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # The first process that is spawned starts the tracker beforehand, and that lets signals through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def release_signals() -> None:
    """Let Ctrl-C and SIGTERM through to a process that was started while they were held."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _end_later() -> None:
    timer = threading.Timer(GRACE_SECONDS, os._exit, [1])
    timer.daemon = True
    timer.start()


def _end_with(parent: BaseProcess | None) -> None:
    if parent is not None:
        parent.join()
        os._exit(1)
