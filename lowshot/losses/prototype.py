"""Prototype contrast of an embedding with the other modality's cluster prototypes."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lowshot.clustering import UNASSIGNED
from lowshot.losses._numerics import full_precision


def prototype_contrast(z: Tensor, prototypes: Tensor, concentration: Tensor, assignments: Tensor) -> Tensor:
    """Classify each embedding among the other modality's prototypes, at one granularity.

    Args:
        z: L2-normalised embeddings of one modality, [B, d].
        prototypes: unit prototypes of the *other* modality, [K, d].
        concentration: temperature of each prototype, [K], > 0; `concentration[k]` belongs to `prototypes[k]`.
        assignments: prototype of each video in the other modality, int64 [B], 0..K-1, or -1 for a video that
            has no cluster yet.

    Returns:
        Loss of each video, [B], in nats, float32 (float64 for float64 inputs); 0 where the assignment is -1.

    Raises:
        ValueError: the shapes do not fit together.

    Source:
        Zhu et al., IJCAI 2022, cross-modal prototype contrast: `CE(z_i . c_k / phi_k, target = s_i)`.

    Deviation:
        The softmax runs over all K prototypes, not over those of the batch. Nothing is sampled, and another video of
        the same cluster is never a negative (docs/fidelity.md, rows 3 and 4).
    """
    if z.ndim != 2 or prototypes.ndim != 2 or z.shape[1] != prototypes.shape[1]:
        raise ValueError(f"embeddings must be [B, d] and prototypes [K, d], got {[*z.shape]} and {[*prototypes.shape]}")
    if concentration.shape != (len(prototypes),):
        raise ValueError(f"concentration must be [{len(prototypes)}], got {[*concentration.shape]}")
    if assignments.shape != (len(z),):
        raise ValueError(f"assignments must be [{len(z)}], one per embedding, got {[*assignments.shape]}")
    with full_precision(z, prototypes, concentration) as (points, centres, phi):
        logits = points @ centres.T / phi
        return F.cross_entropy(logits, assignments, reduction="none", ignore_index=UNASSIGNED)


def of_the_batch(prototypes: Tensor, concentration: Tensor, assignments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct prototypes of the batch's videos: fewer negatives, for ablations.

    Args:
        prototypes: [K, d].
        concentration: [K].
        assignments: prototype of each video, int64 [B], or -1.

    Returns:
        Prototypes [k, d] and concentration [k] of those k <= K, and the assignments among them, [B]; -1 stays -1.
    """
    kept, places = assignments.unique(return_inverse=True)
    # -1, if present, sorts first.
    absent = int((kept == UNASSIGNED).sum())
    kept = kept[absent:]
    return prototypes[kept], concentration[kept], places - absent


def over_granularities(losses: Sequence[Tensor]) -> Tensor:
    """Average per-sample losses over the granularities, each with the same weight 1/R.

    Args:
        losses: R tensors of one shape, one for each number of clusters; R >= 1.

    Returns:
        Their mean, of the same shape.

    Raises:
        ValueError: there is no granularity.

    Source:
        Zhu et al., IJCAI 2022: the sum over r = 1..R in front of the prototype contrast, divided by R.
    """
    if not losses:
        raise ValueError("no granularity to average over: give at least one tensor of losses")
    return torch.stack(list(losses)).mean(dim=0)
