"""Margin contrast with mined negatives (PINs)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lowshot.losses._numerics import full_precision

# Squared distances are differences of numbers of order 1, so a few roundings of 1 count as no distance.
_ROUNDINGS = 8


def _check_embeddings(anchors: Tensor, others: Tensor) -> None:
    if anchors.ndim != 2 or anchors.shape != others.shape or len(anchors) < 2:
        raise ValueError(
            f"anchors and others must both be [B, d], B at least 2, got {[*anchors.shape]} and {[*others.shape]}"
        )


@torch.no_grad()
def curriculum_negatives(anchors: Tensor, others: Tensor, hardness: float) -> Tensor:
    """Choose the negative of each anchor at the curriculum's hardness.

    The B - 1 other videos are ranked from the farthest (the easiest) to the closest (the hardest). The first share
    `hardness` of them is taken (rounded, and at least one). Videos that are no farther from the anchor than its
    positive are excluded.

    Args:
        anchors: L2-normalised embeddings of one modality, [B, d], B >= 2.
        others: L2-normalised embeddings of the other, [B, d]; row i belongs to the video of row i of `anchors`.
        hardness: tau, 0 (only the easiest) .. 1 (all, the hardest included).

    Returns:
        Whether row j of `others` is a negative of anchor i, bool [B, B]; False on the diagonal. A row may be empty.

    Raises:
        ValueError: the shapes differ, there is only one video, or the hardness is outside 0..1.

    Source:
        Nagrani, Albanie and Zisserman, ECCV 2018, curriculum-based mining.

    Deviation:
        Only the abstract of the paper was available. The rule is the intention of an independent implementation
        (my-yy/vfal-eva): go from the farthest up to tau, and stop at the positive.
    """
    _check_embeddings(anchors, others)
    if not 0 <= hardness <= 1:
        raise ValueError(f"the hardness must be in 0..1, got {hardness}")
    with full_precision(anchors, others) as (a, o):
        # For unit vectors, a lower cosine is a greater distance.
        cosine = a @ o.T
        own = torch.eye(len(a), dtype=torch.bool, device=a.device)
        order = cosine.masked_fill(own, torch.inf).argsort(dim=1, stable=True)
        taken = max(1, round(hardness * (len(a) - 1)))
        easy = torch.zeros_like(own).scatter_(1, order[:, :taken], True)
        return easy & (cosine < cosine.diagonal()[:, None])


def margin_contrast(anchors: Tensor, others: Tensor, negatives: Tensor, margin: float) -> Tensor:
    """Pull each anchor to its positive, and push negatives a margin apart.

    Args:
        anchors: L2-normalised embeddings of one modality, [B, d], B >= 2.
        others: L2-normalised embeddings of the other, [B, d]; row i belongs to the video of row i of `anchors`.
        negatives: whether row j of `others` is a negative of anchor i, bool [B, B].
        margin: distance margin, > 0; negatives farther away are ignored. Distances of unit vectors are 0..2.

    Returns:
        Scalar >= 0, float32 (float64 for float64 inputs): the mean over positives plus the mean over negatives, of
        which there may be none. Embeddings that coincide have no gradient, because no direction is defined.

    Raises:
        ValueError: the shapes do not fit, or the margin is not positive.

    Source:
        Nagrani, Albanie and Zisserman, ECCV 2018, contrastive loss on Euclidean distances:
        `mean_i D(a_i, f_i) + mean_(i,j) max(0, margin - D(a_i, f_j))`, (i, j) over the mined pairs.

    Deviation:
        The original contrastive loss (Hadsell, Chopra and LeCun, CVPR 2006) squares both terms. We could not confirm
        whether the paper does. The independent implementation does not, nor does this one.
    """
    _check_embeddings(anchors, others)
    if negatives.shape != (len(anchors), len(others)):
        raise ValueError(f"negatives must be [{len(anchors)}, {len(others)}], got {[*negatives.shape]}")
    if not margin > 0:
        raise ValueError(f"the margin must be positive, got {margin}")
    with full_precision(anchors, others) as (a, o):
        attraction = torch.linalg.vector_norm(a - o, dim=1).mean()
        squared = a.square().sum(dim=1)[:, None] + o.square().sum(dim=1) - 2 * a @ o.T
        # The root has no gradient at 0, and near 0 the gradient is only rounding.
        distance = squared.clamp(min=_ROUNDINGS * torch.finfo(a.dtype).eps).sqrt()
        pushed = F.relu(margin - distance).masked_fill(~negatives, 0)
        return attraction + pushed.sum() / negatives.sum().clamp(min=1)
