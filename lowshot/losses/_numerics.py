"""Precision and input checks for losses."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce

import torch
from torch import Tensor


@contextmanager
def full_precision(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the tensors in float32 or more, with autocast off.

    Logits are cosines divided by temperatures of a few hundredths. Half precision would round them by whole
    units of the loss. float64 stays float64.

    Args:
        tensors: floating-point tensors on one device.

    Yields:
        The same tensors, promoted to their common dtype and to float32 at least; gradients flow through.
    """
    dtype = reduce(torch.promote_types, (tensor.dtype for tensor in tensors), torch.float32)
    with torch.autocast(tensors[0].device.type, enabled=False):
        yield tuple(tensor.to(dtype) for tensor in tensors)


def check_pairs(a: Tensor, f: Tensor, temperature: float) -> None:
    """Check that embeddings are B pairs and that the temperature is positive.

    Args:
        a: voice embeddings, [B, d].
        f: face embeddings, [B, d]; row i belongs to the video of row i of `a`.
        temperature: softmax temperature, > 0.

    Raises:
        ValueError: the shapes differ or are not [B, d], or the temperature is not positive.
    """
    if a.ndim != 2 or a.shape != f.shape:
        raise ValueError(f"voice and face embeddings must both be [B, d], got {[*a.shape]} and {[*f.shape]}")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
