"""Pairwise sigmoid contrast (SigLIP)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lowshot.losses._numerics import full_precision


def sigmoid_contrast(a: Tensor, f: Tensor, log_scale: Tensor, bias: Tensor) -> Tensor:
    """Classify each voice-face pair: same video or not.

    Args:
        a: L2-normalised voice embeddings, [B, d].
        f: L2-normalised face embeddings, [B, d]; row i belongs to the video of row i of `a`.
        log_scale: scalar t'; cosines are multiplied by `exp(t')`, one divided by the temperature.
        bias: scalar b, added to the products; strongly negative if most pairs are of two videos.

    Returns:
        Loss of each voice, summed over the B faces, [B], in nats, float32 (float64 for float64 inputs). Their mean
        is the objective; it is the same with voices and faces exchanged.

    Raises:
        ValueError: the shapes differ, or the scale or the bias is not a scalar.

    Source:
        Zhai, Mustafa, Kolesnikov and Beyer, ICCV 2023, algorithm 1:
        `-(1/B) sum_i sum_j log sigmoid(z_ij (exp(t') a_i . f_j + b))`, z_ij = 1 if i = j, else -1.
    """
    if a.ndim != 2 or a.shape != f.shape:
        raise ValueError(f"voice and face embeddings must both be [B, d], got {[*a.shape]} and {[*f.shape]}")
    if log_scale.ndim or bias.ndim:
        raise ValueError(f"scale and bias must be scalars, got {[*log_scale.shape]} and {[*bias.shape]}")
    with full_precision(a, f, log_scale, bias) as (voice, face, t, b):
        logits = voice @ face.T * t.exp() + b
        sign = 1 - 2 * torch.eye(len(voice), dtype=logits.dtype, device=logits.device)
        # -log sigmoid(x) is softplus(-x).
        return F.softplus(sign * logits).sum(dim=1)
