"""Several processes that train as one: who is who, and what they exchange."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lowshot.errors import LowshotError, RunError

# The first process clusters, validates and writes while the others wait; no such wait may end a run.
PATIENCE = timedelta(hours=2)
# Gradients summed in one exchange: 32 MiB of float32, large enough to hide its latency, small beside a model.
BUCKET = 2**23


class FailedElsewhere(LowshotError):
    """Another process of this run failed, or was stopped, and says why; this one has nothing to add."""


@dataclass(frozen=True)
class World:
    """The processes of a run, as one of them sees them. With one process, nothing here does anything.

    All methods but `leads` are meetings: every process calls them, in the same order.

    Attributes:
        rank: which process this is, 0..size-1.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the first process, the one that writes."""
        return self.rank == 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Code that may fail on some processes alone: all leave it well, or all leave it by an error.

        The code must hold no meeting of its own.

        Raises:
            FailedElsewhere: another process failed. Of those that failed the first raises its own error.
        """
        if self.size == 1:
            yield
            return
        error: Exception | None = None
        try:
            yield
        except Exception as caught:
            error = caught
        first = self._least(self.size if error is None else self.rank)
        if error is not None and first == self.rank:
            raise error
        if first < self.size:
            raise FailedElsewhere(f"process {first} of this run failed or was stopped, and says why") from error

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        return flag if self.size == 1 else self._least(0 if flag else 1) == 0

    def _least(self, number: int) -> int:
        box = torch.tensor(number, device=_device())
        dist.all_reduce(box, dist.ReduceOp.MIN)
        return int(box)

    def from_first(self, value: Any) -> Any:
        """What the first process holds.

        Args:
            value: tensors and plain values in nested dictionaries, lists and tuples; only the first process's counts.

        Returns:
            On the first process, `value`; on the others its equal, with tensors on the CPU as a checkpoint gives them.
        """
        if self.size == 1:
            return value
        tensors: list[Tensor] = []
        box = [_take_out(value, tensors) if self.leads else None]
        dist.broadcast_object_list(box)
        if self.leads:
            for tensor in tensors:
                dist.broadcast(tensor.detach().to(_device()).contiguous(), 0)
            return value
        return _put_back(box[0])

    def gather(self, tensor: Tensor) -> Tensor:
        """The rows of all processes, in the order of the processes.

        Each process computes the same loss of the outcome. Its gradient reaches the process's own rows alone; the
        gradients of all processes' parameters, summed, are those of one process with all rows.

        Args:
            tensor: [n, ...], of the same shape on all processes.

        Returns:
            [size * n, ...].
        """
        if self.size == 1:
            return tensor
        parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(self.size)]
        dist.all_gather(parts, tensor.detach().contiguous())
        parts[self.rank] = tensor
        return torch.cat(parts)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients of all processes, in place; the sums are the same bits everywhere."""
        self._exchange(parameters, dist.all_reduce)

    def copy_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the gradients of the first process in the place of all others."""
        self._exchange(parameters, partial(dist.broadcast, src=0))

    def _exchange(self, parameters: Iterable[nn.Parameter], meet: Callable[[Tensor], object]) -> None:
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            meet(flat)
            for gradient, agreed in zip(bucket, flat.split([each.numel() for each in bucket]), strict=True):
                gradient.copy_(agreed.view_as(gradient))


ALONE = World()


@contextmanager
def processes() -> Iterator[World]:
    """The processes that torchrun started, connected while the block lasts; otherwise this process alone.

    Where there are GPUs, each process gets one for its current device. Processes with a GPU each talk by NCCL; those
    that share one, or have none, by Gloo.

    Raises:
        RunError: another process ended without a word.
    """
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        yield ALONE
        return
    gpus = torch.cuda.device_count()
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % gpus)
    dist.init_process_group("nccl" if gpus >= int(os.environ["LOCAL_WORLD_SIZE"]) else "gloo", timeout=PATIENCE)
    try:
        yield World(dist.get_rank(), dist.get_world_size())
    except LowshotError:
        # All processes have one: see World.together. After any other error some may be waiting for this process, and
        # to take leave of them would be to wait as well; its end frees them.
        dist.destroy_process_group()
        raise
    except RuntimeError as error:
        # Gloo has no error class of its own, and names its source file.
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise RunError(
                "the connection to another process of this run was lost; the last checkpoint is intact, the same "
                "command goes on from there"
            ) from error
        raise
    dist.destroy_process_group()


@dataclass(frozen=True)
class _Place:
    """Where a tensor was taken out."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def _take_out(value: Any, tensors: list[Tensor]) -> Any:
    """A copy of `value` with places for its tensors, which are appended to `tensors`."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return _Place(tuple(value.shape), value.dtype)
    if isinstance(value, dict):
        return {key: _take_out(item, tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_take_out(item, tensors) for item in value)
    return value


def _put_back(value: Any) -> Any:
    """The opposite of `_take_out`: receives the tensors in the order in which they were taken out."""
    if isinstance(value, _Place):
        tensor = torch.empty(value.shape, dtype=value.dtype, device=_device())
        dist.broadcast(tensor, 0)
        return tensor.cpu()
    if isinstance(value, dict):
        return {key: _put_back(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_put_back(item) for item in value)
    return value


def _device() -> torch.device:
    """Where tensors must be that the processes exchange for their own sake."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Groups of tensors, in their order, of about BUCKET elements."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        bucket.append(tensor)
        if sum(each.numel() for each in bucket) >= BUCKET:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
