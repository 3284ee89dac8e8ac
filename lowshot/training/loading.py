"""Prefetching of batches by a thread or by worker processes."""

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

# Batches queued for each worker, including the one it is making.
_AHEAD = 2


@contextmanager
def batches_ahead(batches: PairBatches, steps: range, train: TrainConfig) -> Iterator[Iterator[Batch]]:
    """Yield the batches of consecutive steps, in order.

    The number of workers, and the way they start, does not change the batches.

    Args:
        batches: addressed by step.
        steps: the steps.
        train: `workers` processes, started by `worker_start`; with 0, a thread makes one batch ahead.

    Yields:
        An iterator over the batches. An error in a worker is raised when its batch is requested, as if this process
        had made it.

    Raises:
        RequestError: the operating system does not support `worker_start`.
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
            "a process that makes batches died, perhaps out of memory; the last checkpoint is intact: the same "
            "command continues from there. Lower train.workers (a script that calls lowshot and spawns workers "
            "needs `if __name__ == '__main__':`)"
        ) from error


def _start_method(setting: str) -> str | None:
    known = multiprocessing.get_all_start_methods()
    if setting == "auto":
        return None
    if setting not in known:
        raise RequestError(
            f"train.worker_start={setting}: this operating system supports {', '.join(known)}; or use auto"
        )
    return setting


# The batches of a worker. One process works for one run.
_own: list[PairBatches] = []


def _begin(batches: PairBatches, workers: int) -> None:
    begin_worker()
    batches.reader = batches.reader.for_worker(workers)
    _own[:] = [batches]


def _batch(step: int) -> Batch:
    return _own[0].batch(step)
