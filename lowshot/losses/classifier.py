"""Cosine classifiers of identities for both modalities, with or without margin."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lowshot.losses._numerics import full_precision


def identity_classifier(z: Tensor, weights: Tensor, identity: Tensor, temperature: float) -> Tensor:
    """Classify each embedding's identity by its cosines with class weights.

    Args:
        z: L2-normalised embeddings of any modality, [B, d].
        weights: one vector for each identity, [K, d]; their lengths do not matter, only their directions.
        identity: whose each embedding is, int64 [B], 0..K-1.
        temperature: softmax temperature, > 0.

    Returns:
        Loss of each embedding, [B], in nats, float32 (float64 for float64 inputs).

    Raises:
        ValueError: the shapes do not fit together, or the temperature is not positive.

    Source:
        Wang, Xiang, Cheng and Yuille, ACM MM 2017 (NormFace), with the scale fixed:
        `-log softmax_k(z_i . w_k / temperature)[k = y_i]`, w_k of unit length.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    return margin_classifier(z, weights, identity, 1 / temperature, 0.0)


def margin_classifier(z: Tensor, weights: Tensor, identity: Tensor, scale: float, margin: float) -> Tensor:
    """Classify each embedding's identity with an additive cosine margin (AM-softmax).

    The margin is subtracted from the cosine with the embedding's own identity.

    Args:
        z: L2-normalised embeddings of any modality, [B, d].
        weights: one vector for each identity, [K, d]; their lengths do not matter, only their directions.
        identity: whose each embedding is, int64 [B], 0..K-1.
        scale: s, which cosines are multiplied by, > 0 (30 in the first source, 64 in the second).
        margin: m, >= 0 (0.35 in both).

    Returns:
        Loss of each embedding, [B], in nats, float32 (float64 for float64 inputs).

    Raises:
        ValueError: the shapes do not fit together, the scale is not positive, or the margin is negative.

    Source:
        Wang, Cheng, Liu and Liu, IEEE Signal Processing Letters 2018 (AM-softmax), eq. 6; Wang et al., CVPR 2018
        (CosFace), eq. 4: `-log(e^(s (cos_y - m)) / (e^(s (cos_y - m)) + sum_(k != y) e^(s cos_k)))`.
    """
    if z.ndim != 2 or weights.ndim != 2 or z.shape[1] != weights.shape[1]:
        raise ValueError(f"embeddings must be [B, d] and weights [K, d], got {[*z.shape]} and {[*weights.shape]}")
    if identity.shape != (len(z),):
        raise ValueError(f"identity must be [{len(z)}], one per embedding, got {[*identity.shape]}")
    if not scale > 0 or not margin >= 0:
        raise ValueError(f"the scale must be positive and the margin not negative, got {scale} and {margin}")
    with full_precision(z, weights) as (points, directions):
        cosine = points @ F.normalize(directions, dim=1).T
        own = torch.zeros_like(cosine).scatter_(1, identity[:, None], 1.0)
        return F.cross_entropy(scale * (cosine - margin * own), identity, reduction="none")
