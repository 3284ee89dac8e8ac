"""Robust instance contrast: weights for faulty positives, soft targets (robust xID)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lowshot.losses._numerics import full_precision
from lowshot.losses.noise_contrastive import check_candidates

# Agreements are cosines, numbers of order 1, so a spread of a few roundings of 1 counts as none.
_ROUNDINGS = 8


@torch.no_grad()
def faulty_positive_weights(
    agreement: Tensor, mean: Tensor, std: Tensor, delta: float, kappa: float, floor: float
) -> Tensor:
    """Weight of each pair by the agreement of its two memories.

    The agreement is relative to all pairs of the data.

    Args:
        agreement: cosine of the two memories of each pair, [B].
        mean, std: of the agreement over the data, scalars; std >= 0.
        delta: where the Gaussian's cumulative distribution is 1/2, in standard deviations from the mean.
        kappa: variance of the Gaussian, in units of the data's variance, > 0.
        floor: the least weight, 0..1 (w_min in the paper); 1 gives every pair the same weight.

    Returns:
        Weights [B] in floor..1, without gradient; 1 for every pair if the data's agreement does not vary beyond
        rounding.

    Raises:
        ValueError: kappa is not positive, or the floor is outside 0..1.

    Source:
        Morgado, Misra and Vasconcelos, CVPR 2021, weighted xID:
        `w_i = floor + (1 - floor) GaussianCDF(agreement_i; mean + delta std, kappa std^2)`.
    """
    if not kappa > 0:
        raise ValueError(f"kappa must be positive, got {kappa}")
    if not 0 <= floor <= 1:
        raise ValueError(f"the least weight must be in 0..1, got {floor}")
    with full_precision(agreement, mean, std) as (cosine, centre, spread):
        varies = spread > _ROUNDINGS * torch.finfo(spread.dtype).eps
        scale = torch.where(varies, spread, torch.ones_like(spread)) * kappa**0.5
        weights = floor + (1 - floor) * torch.special.ndtr((cosine - centre - delta * spread) / scale)
        return torch.where(varies, weights, torch.ones_like(weights))


@torch.no_grad()
def cycle_consistent_targets(
    swapped: Tensor, agreement: Tensor, target_temperature: float, agreement_temperature: float
) -> Tensor:
    """Soft targets over the candidates by cycle-consistent prediction from the memories.

    To predict the faces of voice i, the cycle runs from voice i over its own face to the voice of candidate j, and then
    to the face of candidate j. Candidate j is a likely target if the face of i is close to the voice of j, and if j's
    own voice and face agree. The other direction exchanges the modalities.

    Args:
        swapped: cosine of the anchor video's memory in the *predicted* modality with each candidate's memory in the
            *anchor's* modality, [B, C].
        agreement: cosine of each candidate's own two memories, [B, C].
        target_temperature: temperature of `swapped` (tau_s in the paper), > 0.
        agreement_temperature: temperature of `agreement` (tau_t in the paper), > 0.

    Returns:
        Distribution over the candidates, [B, C], rows sum to 1, without gradient.

    Raises:
        ValueError: the shapes differ, or a temperature is not positive.

    Source:
        Morgado, Misra and Vasconcelos, CVPR 2021, soft xID with cycle-consistent prediction:
        `S(j|i) ~ exp(v_i.a_i / tau_t + v_i.a_j / tau_s + v_j.a_j / tau_t)`; the first term is the same for every j
        and cancels.
    """
    if swapped.ndim != 2 or swapped.shape != agreement.shape:
        raise ValueError(f"both tables must be [B, C], got {[*swapped.shape]} and {[*agreement.shape]}")
    if not (target_temperature > 0 and agreement_temperature > 0):
        raise ValueError(f"temperatures must be positive, got {target_temperature} and {agreement_temperature}")
    with full_precision(swapped, agreement) as (cosine, own):
        return torch.softmax(cosine / target_temperature + own / agreement_temperature, dim=1)


def soft_contrast(similarity: Tensor, soft: Tensor, share: float, temperature: float) -> Tensor:
    """Contrast each anchor with its candidates under soft targets.

    Entries other than the video's own may be correct too.

    Args:
        similarity: cosines of each anchor with the other modality's memory, [B, 1 + K]: the video's own entry in
            column 0, K >= 1 drawn ones after it.
        soft: soft targets, distributions over the same candidates, [B, 1 + K].
        share: share of the soft targets, 0..1 (lambda in the paper); the video's own entry has the rest.
        temperature: softmax temperature, > 0.

    Returns:
        Loss of each video, [B], in nats, float32 (float64 for float64 inputs).

    Raises:
        ValueError: the shapes do not fit, the share is outside 0..1, or the temperature is not positive.

    Source:
        Morgado, Misra and Vasconcelos, CVPR 2021, soft xID: `-sum_j T(j|i) log P(j|i)` with
        `T(j|i) = (1 - share) [j = i] + share S(j|i)` and P the softmax of similarity / temperature.
    """
    check_candidates(similarity, temperature)
    if soft.shape != similarity.shape:
        raise ValueError(f"one target per similarity is needed, got {[*soft.shape]} and {[*similarity.shape]}")
    if not 0 <= share <= 1:
        raise ValueError(f"the share of the soft targets must be in 0..1, got {share}")
    with full_precision(similarity, soft) as (cosines, distribution):
        log_probability = torch.log_softmax(cosines / temperature, dim=1)
        expected = (distribution * log_probability).sum(dim=1)
        return -(1 - share) * log_probability[:, 0] - share * expected


def candidate_contrast(similarity: Tensor, temperature: float) -> Tensor:
    """Contrast each video's own entry with its candidates, with hard targets.

    Args:
        similarity: cosines of each anchor with the other modality's memory, [B, 1 + K]: the video's own entry in
            column 0, K >= 1 drawn ones after it.
        temperature: softmax temperature, > 0.

    Returns:
        Loss of each video, [B], in nats, float32 (float64 for float64 inputs).

    Raises:
        ValueError: there is no drawn entry, or the temperature is not positive.

    Source:
        Morgado, Misra and Vasconcelos, CVPR 2021, xID: `-log softmax_j(similarity_ij / temperature)[j = i]`.
    """
    check_candidates(similarity, temperature)
    with full_precision(similarity) as (cosines,):
        own = torch.zeros(len(cosines), dtype=torch.int64, device=cosines.device)
        return F.cross_entropy(cosines / temperature, own, reduction="none")
