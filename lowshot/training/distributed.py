"""Distributed training: several processes that train as one."""

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

# The first process clusters, validates and writes while the others wait; such a wait must not end a run.
PATIENCE = timedelta(hours=2)
# Gradients summed in one exchange: 32 MiB of float32, large enough to hide its latency, small beside a model.
BUCKET = 2**23


class FailedElsewhere(LowshotError):
    """Another process of this run failed or stopped; its error says why."""


@dataclass(frozen=True)
class World:
    """The processes of a run, as seen by one of them.

    All methods but `leads` are collective: every process calls them, in the same order. With one process they do
    nothing.

    Attributes:
        rank: number of this process, 0..size-1.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the first process, the one that writes."""
        return self.rank == 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Guard code that may fail: all processes succeed, or all raise.

        The code must not call a collective method.

        Raises:
            FailedElsewhere: another process failed. The first process that failed raises its own error.
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
            raise FailedElsewhere(f"process {first} of this run failed or was stopped; see its error") from error

    def any(self, flag: bool) -> bool:
        """Whether the flag is true on any process."""
        return flag if self.size == 1 else self._least(0 if flag else 1) == 0

    def _least(self, number: int) -> int:
        box = torch.tensor(number, device=_device())
        dist.all_reduce(box, dist.ReduceOp.MIN)
        return int(box)

    def from_first(self, value: Any) -> Any:
        """Broadcast the value of the first process.

        Args:
            value: tensors and plain values in nested dictionaries, lists and tuples; only the first process's is used.

        Returns:
            On the first process, `value`; on the others a copy, with tensors on the CPU as in a checkpoint.
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
        """Gather the rows of all processes, in the order of the processes.

        Each process computes the same loss of the result. The gradient reaches only the process's own rows. The
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
        """Sum the gradients of all processes in place, bit-identical on each."""
        self._exchange(parameters, dist.all_reduce)

    def copy_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Copy the gradients of the first process to all others."""
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
    """Connect the processes that torchrun started, for the length of the block.

    Without torchrun, the world is this process alone. If there are GPUs, each process gets one as its current device.
    Processes with one GPU each use NCCL; processes that share a GPU, or have none, use Gloo.

    Raises:
        RunError: another process ended without an error message.
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
        # All processes raise one, see World.together. After any other error some may be waiting for this process, and
        # closing the group would wait for them too; the end of this process frees them.
        dist.destroy_process_group()
        raise
    except RuntimeError as error:
        # Gloo has no error class of its own, and names its source file.
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise RunError(
                "the connection to another process of this run was lost; the last checkpoint is intact: the same "
                "command continues from there"
            ) from error
        raise
    dist.destroy_process_group()


@dataclass(frozen=True)
class _Place:
    """The place of an extracted tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def _take_out(value: Any, tensors: list[Tensor]) -> Any:
    """Copy `value` with places for its tensors; append these to `tensors`."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return _Place(tuple(value.shape), value.dtype)
    if isinstance(value, dict):
        return {key: _take_out(item, tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_take_out(item, tensors) for item in value)
    return value


def _put_back(value: Any) -> Any:
    """Undo `_take_out`; receive the tensors in the order of extraction."""
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
    """The device of the small tensors that the processes exchange."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Groups of about BUCKET elements of tensors, in their order."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        bucket.append(tensor)
        if sum(each.numel() for each in bucket) >= BUCKET:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
