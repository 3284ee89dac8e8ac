"""Batches made ahead of the steps that need them: by a thread of this process, or by processes of their own."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext

from lowshot.data.pairs import Batch, PairBatches
from lowshot.errors import RequestError, RunError
from lowshot.settings import TrainConfig
from lowshot.workers import begin_worker, signals_held

# Batches that wait for each worker, one of which it is making.
_AHEAD = 2


@contextmanager
def batches_ahead(batches: PairBatches, steps: range, train: TrainConfig) -> Iterator[Iterator[Batch]]:
    """The batches of consecutive steps, in order. How many workers make them, and how these start, changes nothing.

    Args:
        batches: addressed by step.
        steps: which ones.
        train: `workers` processes, started by `worker_start`; with 0, a thread makes one batch ahead.

    Yields:
        An iterator over the batches. An error of a worker is raised where its batch is asked for, as if it had been
        made here.

    Raises:
        RequestError: the operating system has no such way to start processes.
        RunError: a worker died.
    """
    pool: Executor
    make: Callable[[int], Batch]
    if train.workers:
        context = multiprocessing.get_context(_start_method(train.worker_start))
        pool = ProcessPoolExecutor(train.workers, context, _begin, (batches, train.workers))
        make, ahead = _batch, _AHEAD * train.workers
    else:
        pool = ThreadPoolExecutor(max_workers=1)
        make, ahead = batches.batch, 1
    try:
        with signals_held() if train.workers else nullcontext():
            coming = deque(pool.submit(make, step) for step in steps[:ahead])
        yield _in_order(pool, make, steps, coming)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(
    pool: Executor, make: Callable[[int], Batch], steps: range, coming: deque[Future[Batch]]
) -> Iterator[Batch]:
    later = iter(steps[len(coming) :])
    try:
        while coming:
            batch = coming.popleft().result()
            coming.extend(pool.submit(make, step) for step in [next(later, None)] if step is not None)
            yield batch
    except BrokenProcessPool as error:
        raise RunError(
            "a process that makes batches died, perhaps for want of memory; the last checkpoint is intact, the same "
            "command goes on from there. Lower train.workers (a script that calls lowshot and starts workers by "
            "spawning them needs `if __name__ == '__main__':`)"
        ) from error


def _start_method(setting: str) -> str | None:
    known = multiprocessing.get_all_start_methods()
    if setting == "auto":
        return None
    if setting not in known:
        raise RequestError(f"train.worker_start={setting}: this operating system has {', '.join(known)}; or take auto")
    return setting


# What a worker makes batches of. One process works for one run.
_own: list[PairBatches] = []


def _begin(batches: PairBatches, workers: int) -> None:
    begin_worker()
    batches.reader = batches.reader.for_worker(workers)
    _own[:] = [batches]


def _batch(step: int) -> Batch:
    return _own[0].batch(step)
