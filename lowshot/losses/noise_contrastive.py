"""Noise-contrastive estimation against a memory bank (AVID)."""

import math

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

from lowshot.losses._numerics import full_precision

# Numbers gathered from a large bank at once: 1 MiB of float32 stays in the caches.
_BLOCK = 2**18

# Up to this many bank rows per candidate of an anchor, a product with the whole bank is cheaper than gathering.
_WHOLE_BANK = 8


def candidate_similarities(z: Tensor, bank: Tensor, candidates: Tensor) -> Tensor:
    """Dot products of each embedding with its own candidates in a bank.

    The gathered rows, B * C * d numbers, never exist at once, neither here nor in the gradient. The bank must not
    change until the gradient has been computed.

    Args:
        z: embeddings, [B, d].
        bank: vectors of all videos in the other modality, [N, d]; they get no gradient.
        candidates: rows of the bank to compare with each embedding, int64 [B, C], 0..N-1; a row may repeat.

    Returns:
        Similarities [B, C], float32 (float64 for float64 embeddings).

    Raises:
        ValueError: the shapes do not fit together.
    """
    if z.ndim != 2 or bank.ndim != 2 or z.shape[1] != bank.shape[1]:
        raise ValueError(f"embeddings must be [B, d] and the bank [N, d], got {[*z.shape]} and {[*bank.shape]}")
    if candidates.ndim != 2 or len(candidates) != len(z):
        raise ValueError(f"candidates must be [{len(z)}, C], one row per embedding, got {[*candidates.shape]}")
    with full_precision(z, bank.detach()) as (anchors, vectors):
        similarities: Tensor = _Similarities.apply(anchors, vectors, candidates)
        return similarities


class _Similarities(torch.autograd.Function):
    """`out[i, c] = z[i] . bank[candidates[i, c]]`, gradient for z only."""

    @staticmethod
    def forward(ctx: FunctionCtx, z: Tensor, bank: Tensor, candidates: Tensor) -> Tensor:
        ctx.save_for_backward(bank, candidates)
        if len(bank) <= _WHOLE_BANK * candidates.shape[1]:
            return (z @ bank.T).gather(1, candidates)
        rows = max(1, _BLOCK // (candidates.shape[1] * bank.shape[1]))
        blocks = zip(z.split(rows), candidates.split(rows), strict=True)
        return torch.cat([torch.bmm(bank[chosen], anchors[:, :, None])[:, :, 0] for anchors, chosen in blocks])

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:
        bank, candidates = ctx.saved_tensors  # type: ignore[attr-defined]
        # A weighted sum of rows per anchor, in the order of the candidates: the same on every run.
        weights = gradient.contiguous()
        return F.embedding_bag(candidates, bank, mode="sum", per_sample_weights=weights), None, None


def check_candidates(similarity: Tensor, temperature: float) -> None:
    """Check the table of candidate similarities and the temperature.

    Args:
        similarity: one positive and K negatives per row, [B, 1 + K], K >= 1.
        temperature: > 0.

    Raises:
        ValueError: another shape, or a temperature that is not positive.
    """
    if similarity.ndim != 2 or similarity.shape[1] < 2:
        raise ValueError(f"similarities must be [B, 1 + K] with a negative at least, got {[*similarity.shape]}")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")


@torch.no_grad()
def log_partition(similarity: Tensor, temperature: float) -> Tensor:
    """Estimate the partition function of a bank.

    It normalises `exp(similarity / temperature)` to a probability over the bank.

    Args:
        similarity: cosines with the video's own entry, column 0, and with K drawn ones, [B, 1 + K]; K >= 1.
        temperature: > 0.

    Returns:
        Scalar: the logarithm of the mean of `exp(similarity / temperature)` over the drawn entries, i.e. of the
        partition function divided by the size of the bank. It has no gradient.

    Raises:
        ValueError: there is no drawn entry, or the temperature is not positive.

    Source:
        Morgado, Vasconcelos and Misra, CVPR 2021, after Wu et al., CVPR 2018: a Monte Carlo estimate, made once from
        the first batch and then fixed.
    """
    check_candidates(similarity, temperature)
    with full_precision(similarity) as (cosines,):
        logits = cosines[:, 1:] / temperature
        return torch.logsumexp(logits.flatten(), dim=0) - math.log(logits.numel())


def noise_contrast(similarity: Tensor, temperature: float, partition: Tensor) -> Tensor:
    """Classify each candidate as the video's own entry or a random one.

    Args:
        similarity: cosines of each anchor with the other modality's memory, [B, 1 + K]: the video's own entry in
            column 0, K >= 1 drawn ones after it.
        temperature: > 0 (0.07 in the paper's released code).
        partition: scalar of `log_partition`, fixed during training.

    Returns:
        Loss of each video, [B], in nats, float32 (float64 for float64 inputs).

    Raises:
        ValueError: there is no drawn entry, or the temperature is not positive.

    Source:
        Morgado, Vasconcelos and Misra, CVPR 2021, cross-modal AVID: noise-contrastive estimation (Gutmann and
        Hyvarinen, 2010) with the uniform distribution over the bank as noise. With `e_k = exp(similarity_k /
        temperature)` and Z the mean of e over the bank, `-log e_0/(e_0 + K Z) - sum_{k>=1} log K Z/(e_k + K Z)`.
    """
    check_candidates(similarity, temperature)
    with full_precision(similarity, partition) as (cosines, normaliser):
        margin = cosines / temperature - (math.log(cosines.shape[1] - 1) + normaliser)
        return F.softplus(-margin[:, 0]) + F.softplus(margin[:, 1:]).sum(dim=1)
