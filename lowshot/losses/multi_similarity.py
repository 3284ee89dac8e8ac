"""Multi-similarity loss over labelled points."""

import torch
from torch import Tensor

from lowshot.losses._numerics import full_precision


def multi_similarity(z: Tensor, label: Tensor, alpha: float = 2.0, beta: float = 50.0, base: float = 1.0) -> Tensor:
    """Multi-similarity loss: hard pairs get larger gradients.

    Args:
        z: L2-normalised embeddings, [M, d], of any mixture of modalities.
        label: int64 [M]; any integers.
        alpha: sharpness among positives, > 0.
        beta: sharpness among negatives, > 0.
        base: cosine that is subtracted from both kinds of pairs.

    Returns:
        Loss of each point as the anchor, [M], >= 0, float32 (float64 for float64 inputs). The positive term of a point
        without positives is 0, and so is the negative term of a point without negatives.

    Raises:
        ValueError: the shapes do not fit, or a sharpness is not positive.

    Source:
        Wang, Han, Huang, Dong and Scott, CVPR 2019, the multi-similarity loss:
        `log(1 + sum_p exp(-alpha (s_p - base))) / alpha + log(1 + sum_n exp(beta (s_n - base))) / beta`.

    Deviation:
        All pairs are used, without the mining of that paper, as in Chen et al., ICMR 2022.
    """
    if z.ndim != 2 or label.shape != (len(z),):
        raise ValueError(f"need embeddings [M, d] and one label for each, got {[*z.shape]} and {[*label.shape]}")
    if not (alpha > 0 and beta > 0):
        raise ValueError(f"alpha and beta must be positive, got {alpha} and {beta}")
    with full_precision(z) as (points,):
        cosine = points @ points.T
        same = label[:, None] == label[None, :]
        positive = same & ~torch.eye(len(z), dtype=torch.bool, device=z.device)

        def one_plus(exponents: Tensor, take_part: Tensor) -> Tensor:
            """log(1 + sum of exp) over the selected pairs."""
            exponents = exponents.masked_fill(~take_part, -torch.inf)
            return torch.logsumexp(torch.cat([exponents, torch.zeros_like(exponents[:, :1])], dim=1), dim=1)

        attraction = one_plus(-alpha * (cosine - base), positive) / alpha
        repulsion = one_plus(beta * (cosine - base), ~same) / beta
        return attraction + repulsion
