"""Batch normalisation over the joint batch of several processes."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from lowshot.training.distributed import World

# Over the batch, the rows and the columns: everything but the channels.
_AXES = (0, 2, 3)


def join_batch_norms(module: nn.Module, world: World) -> None:
    """Make batch normalisations of `module` use all processes' batches, in place.

    Parameters, buffers and their names do not change. With one process nothing changes.
    """
    if world.size == 1:
        return
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, JointBatchNorm2d(child, world))
        else:
            join_batch_norms(child, world)


class JointBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the joint batch of all processes in training.

    Output, gradients and running statistics are those of `nn.BatchNorm2d` on the joint batch, for every device and
    backend. `torch.nn.SyncBatchNorm` does the same on GPUs, but does not run on a CPU.

    Args:
        norm: gives its parameters and buffers; with weight, bias and running statistics.
        world: the processes. Their batches have the same shape.
    """

    momentum: float
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: nn.BatchNorm2d, world: World) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.world = world
        for tensors in (norm.named_parameters(), norm.named_buffers()):
            for name, tensor in tensors:
                setattr(self, name, tensor)
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [B, C, h, w] of any floating dtype; keep the dtype."""
        if not self.training:
            return super().forward(x)
        mean, var = _joint_statistics(x, self.running_mean.dtype, self.world)
        count = self.world.size * x.numel() // x.shape[1]
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (count / (count - 1)), self.momentum)
        return _Normalise.apply(x, self.weight, self.bias, mean, var, self.eps, count)


@torch.no_grad()
def _joint_statistics(x: Tensor, dtype: torch.dtype, world: World) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [C] over all processes, bit-identical on each."""
    var, mean = torch.var_mean(x.to(dtype), dim=_AXES, correction=0)
    means, variances = world.gather(torch.stack([mean, var])[None]).unbind(1)
    # The variance within the processes plus that between them avoids a difference of large squares.
    joint = means.mean(0)
    return joint, (variances + (means - joint).square()).mean(0)


class _Normalise(torch.autograd.Function):
    """Normalisation by the statistics of all processes.

    `weight * (x - mean) / sqrt(var + eps) + bias`
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float, count: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, (var + eps).rsqrt())
        ctx.count = count
        return functional.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        gradient = gradients[0].to(mean.dtype)
        normal = (x.to(mean.dtype) - _wide(mean)) * _wide(scale)
        own = torch.stack([gradient.sum(_AXES), (gradient * normal).sum(_AXES)])
        # Each process's x changes the statistics that normalise all of them.
        joint = own.clone()
        dist.all_reduce(joint)
        level, slope = joint / ctx.count
        inner = (gradient - _wide(level) - normal * _wide(slope)) * _wide(scale * weight)
        return inner.to(x.dtype), own[1], own[0], None, None, None, None


def _wide(channels: Tensor) -> Tensor:
    """[C] -> [C, 1, 1]."""
    return channels[:, None, None]
