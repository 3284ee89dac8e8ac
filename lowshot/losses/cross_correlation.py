"""Redundancy reduction by cross-correlation (Barlow Twins)."""

import torch
from torch import Tensor

from lowshot.losses._numerics import full_precision

# Added to the variances, as torch's batch normalisation does: a feature that does not vary correlates with nothing.
_EPSILON = 1e-5


def _standardised(z: Tensor) -> Tensor:
    centred = z - z.mean(dim=0)
    return centred * torch.rsqrt(centred.square().mean(dim=0) + _EPSILON)


def cross_correlation(a: Tensor, f: Tensor) -> Tensor:
    """Correlation over the batch of each voice feature with each face feature.

    Args:
        a: features of voices, [B, d], B >= 2.
        f: features of faces, [B, d]; row i belongs to the video of row i of `a`.

    Returns:
        C [d, d], `C[i, j]` of voice feature i and face feature j, in -1..1, float32 (float64 for float64 inputs).

    Raises:
        ValueError: the shapes differ, or there is only one video.

    Source:
        Zbontar, Jing, Misra, LeCun and Deny, ICML 2021: batch normalisation without scale and shift (population
        variance plus 1e-5) of either side, then `C = z_a^T z_f / B`.
    """
    if a.ndim != 2 or a.shape != f.shape or len(a) < 2:
        raise ValueError(
            f"voice and face features must both be [B, d], B at least 2, got {[*a.shape]} and {[*f.shape]}"
        )
    with full_precision(a, f) as (voice, face):
        return _standardised(voice).T @ _standardised(face) / len(voice)


def redundancy_reduction(correlation: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Distance of a cross-correlation from the identity, on and off its diagonal.

    Args:
        correlation: C [d, d].
        weight: weight of the part off the diagonal (lambda in the paper), >= 0.

    Returns:
        (invariance, redundancy), scalars >= 0, the latter with its weight; the loss is their sum.

    Raises:
        ValueError: the matrix is not square, or the weight is negative.

    Source:
        Zbontar, Jing, Misra, LeCun and Deny, ICML 2021:
        `sum_i (1 - C_ii)^2 + weight * sum_i sum_{j != i} C_ij^2`.
    """
    if correlation.ndim != 2 or correlation.shape[0] != correlation.shape[1]:
        raise ValueError(f"a cross-correlation is square, got {[*correlation.shape]}")
    if not weight >= 0:
        raise ValueError(f"the weight must not be negative, got {weight}")
    with full_precision(correlation) as (c,):
        on_diagonal = torch.eye(len(c), dtype=torch.bool, device=c.device)
        redundancy = c.masked_fill(on_diagonal, 0).square().sum()
        return (1 - c.diagonal()).square().sum(), weight * redundancy
