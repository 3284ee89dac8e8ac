"""Recalibration: lower weights for pairs that agree less than their clusters."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lowshot.clustering import UNASSIGNED
from lowshot.losses._numerics import full_precision
from lowshot.losses.prototype import over_granularities

# rho is a difference of cosines, numbers of order 1, so a spread of a few roundings of 1 counts as none.
_ROUNDINGS = 8


def deviation(
    a: Tensor,
    f: Tensor,
    voice_prototypes: Sequence[Tensor],
    face_prototypes: Sequence[Tensor],
    voice_assignments: Sequence[Tensor],
    face_assignments: Sequence[Tensor],
) -> Tensor:
    """Agreement of each pair minus the agreement of its prototypes.

    Args:
        a: L2-normalised voice embeddings, [B, d].
        f: L2-normalised face embeddings, [B, d].
        voice_prototypes: R tensors [K_r, d]; their norms do not matter, only their directions.
        face_prototypes: R tensors [K_r, d], likewise.
        voice_assignments: R int64 tensors [B], voice cluster of each video, or -1 for none yet.
        face_assignments: R int64 tensors [B], face cluster of each video, or -1 for none yet.

    Returns:
        rho [B], in -2..2, float32 (float64 for float64 inputs); low if the pair agrees less than its
        clusters do. NaN for a video without a cluster, because there is nothing to compare it with.

    Raises:
        ValueError: the four lists differ in length, or are empty.

    Source:
        Zhu et al., IJCAI 2022, recalibration of deviating positives:
        `rho_i = a_i . f_i - (1/R) sum_r c^V_{r, s^V_{r,i}} . c^F_{r, s^F_{r,i}}`.

    Deviation:
        The prototypes are normalised and averaged over R. The released code sums dot products of raw
        centroids (docs/fidelity.md, row 5).
    """
    granularities = (voice_prototypes, face_prototypes, voice_assignments, face_assignments)
    if len({len(part) for part in granularities}) != 1:
        raise ValueError(f"the lists must hold one entry per granularity, got {[len(p) for p in granularities]}")
    agreements = []
    for voice, face, voice_of, face_of in zip(*granularities, strict=True):
        with full_precision(voice[voice_of], face[face_of], a) as (voice_own, face_own, _):
            agreement = (F.normalize(voice_own, dim=1) * F.normalize(face_own, dim=1)).sum(dim=1)
        unassigned = (voice_of == UNASSIGNED) | (face_of == UNASSIGNED)
        agreements.append(agreement.masked_fill(unassigned, torch.nan))
    expected = over_granularities(agreements)
    with full_precision(a, f, expected) as (voice_pair, face_pair, of_clusters):
        return (voice_pair * face_pair).sum(dim=1) - of_clusters


@torch.no_grad()
def recalibration_weights(rho: Tensor, delta: float = -1.0, kappa: float = 0.1) -> Tensor:
    """Weight of each pair, from its agreement within the batch.

    Args:
        rho: agreement of each pair relative to its clusters, [B]; NaN if unknown.
        delta: where the weight is 1/2, in standard deviations from the mean of rho.
        kappa: variance of the Gaussian, in units of the variance of rho, > 0.

    Returns:
        Weights [B] in 0..1, without gradient. 1 for every pair if rho does not vary beyond rounding, and 1
        for a pair whose rho is NaN (the mean and the standard deviation skip it too).

    Raises:
        ValueError: kappa is not positive.

    Source:
        Zhu et al., IJCAI 2022: `w_i = GaussianCDF(rho_i; mean(rho) + delta * std(rho), kappa * std(rho)^2)`.
        The standard deviation is the batch's own (population form, divided by B). The paper does not say
        which, and this one is defined for a batch of one.

    Deviation:
        This is the Gaussian's cumulative distribution itself. The released code takes a normalised cumulative
        sum of the density (docs/fidelity.md, row 6).
    """
    if not kappa > 0:
        raise ValueError(f"kappa must be positive, got {kappa}")
    with full_precision(rho) as (known,):
        mean = known.nanmean()
        std = (known - mean).square().nanmean().sqrt()
        varies = std > _ROUNDINGS * torch.finfo(known.dtype).eps
        scale = torch.where(varies, std, torch.ones_like(std)) * kappa**0.5
        weights = torch.special.ndtr((known - mean - delta * std) / scale)
        return torch.where(varies & ~known.isnan(), weights, torch.ones_like(weights))


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """Mean of per-sample losses under recalibration weights.

    Args:
        losses: loss of each sample, [B].
        weights: weight of each sample, [B], >= 0, not all zero (all zero gives NaN, which stops a run).

    Returns:
        Scalar `sum(w l) / sum(w)`. The scale of the loss does not depend on how many pairs have low weights.

    Raises:
        ValueError: the shapes differ.

    Source:
        Zhu et al., IJCAI 2022, the total objective.
    """
    if losses.shape != weights.shape:
        raise ValueError(f"one weight per loss is needed, got {[*losses.shape]} and {[*weights.shape]}")
    with full_precision(losses, weights) as (values, w):
        return (w * values).sum() / w.sum()
