"""The formulas of the released CMPC code, including its faults.

The method `cmpc-released` uses them. Use them for nothing else. Each function names the row of docs/fidelity.md that
it reproduces. `prototype.py` and `recalibration.py` follow the paper instead.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lowshot.losses._numerics import full_precision

# The keys of the dictionary that holds the clusters: assignments, centroids, distances, concentrations.
_KEYS_OF_THE_CLUSTERS = 4


def released_prototype_contrast(z: Tensor, prototypes: Tensor, concentration: Tensor, assignments: Tensor) -> Tensor:
    """Classify each embedding among the prototypes of the videos of its batch.

    Args:
        z: L2-normalised embeddings of one modality, [B, d].
        prototypes: centroids of the other modality, [K, d], of any norm. The row of an empty cluster may be NaN: no
            video is assigned to it, so it is never read.
        concentration: temperature of each prototype, [K]; a zero among those of the batch gives NaN.
        assignments: prototype of each video in the other modality, int64 [B], 0..K-1.

    Returns:
        Loss of each video, [B], in nats, float32 (float64 for float64 inputs).

    Source:
        The released code, commit 760b65f; docs/fidelity.md, rows 3 and 4. The candidates are the positive prototypes
        of the batch, those of the own cluster included. The logits are in another order (the positive first) than the
        concentrations that divide them.
    """
    with full_precision(z, prototypes, concentration) as (points, centres, phi):
        similarity = points @ F.normalize(centres[assignments], dim=1).T
        row, column = torch.meshgrid(*[torch.arange(len(z), device=z.device)] * 2, indexing="ij")
        # Row i reads i, 0, 1, ..., i - 1, i + 1, ...
        positive_first = torch.where(column == 0, row, column - (column <= row).long())
        logits = similarity.gather(1, positive_first) / phi[assignments]
        first = torch.zeros(len(z), dtype=torch.int64, device=z.device)
        return F.cross_entropy(logits, first, reduction="none")


def released_over_granularities(losses: Sequence[Tensor]) -> Tensor:
    """Combine the granularities with the weights 1/4^R, ..., 1/16, 1/4.

    Args:
        losses: R tensors of one shape, in the order of the granularities; R >= 1.

    Returns:
        Their combination, of the same shape: 1/64, 1/16 and 1/4 of three.

    Source:
        The released code, commit 760b65f; docs/fidelity.md, row 2: the division is inside the loop, and divides
        by the number of keys of a dictionary.
    """
    total = torch.zeros_like(losses[0])
    for loss in losses:
        total = (total + loss) / _KEYS_OF_THE_CLUSTERS
    return total


def released_deviation(
    a: Tensor,
    f: Tensor,
    voice_prototypes: Sequence[Tensor],
    face_prototypes: Sequence[Tensor],
    voice_assignments: Sequence[Tensor],
    face_assignments: Sequence[Tensor],
) -> Tensor:
    """Agreement of each pair, minus the dot products of its centroids.

    The dot products are summed over granularities.

    Args:
        a: L2-normalised voice embeddings, [B, d].
        f: L2-normalised face embeddings, [B, d].
        voice_prototypes: R tensors [K_r, d], centroids as means: of any norm up to 1.
        face_prototypes: R tensors [K_r, d], likewise.
        voice_assignments: R int64 tensors [B], voice cluster of each video.
        face_assignments: R int64 tensors [B], face cluster of each video.

    Returns:
        rho [B], in -1-R..1+R, float32 (float64 for float64 inputs).

    Source:
        The released code, commit 760b65f; docs/fidelity.md, row 5.
    """
    with full_precision(a, f, *voice_prototypes, *face_prototypes) as (voice, face, *centres):
        rho = (voice * face).sum(dim=1)
        voices, faces = centres[: len(voice_prototypes)], centres[len(voice_prototypes) :]
        for granularity in zip(voices, faces, voice_assignments, face_assignments, strict=True):
            voice_centres, face_centres, voice_of, face_of = granularity
            rho = rho - (voice_centres[voice_of] * face_centres[face_of]).sum(dim=1)
        return rho


@torch.no_grad()
def released_weights(rho: Tensor, delta: float = -1.0, kappa: float = 0.1) -> Tensor:
    """Weight of each pair by a normalised cumulative sum of Gaussian density.

    The sum runs over the sorted batch.

    Args:
        rho: agreement of each pair relative to its clusters, [B].
        delta: centre of the density, in standard deviations from the mean of rho.
        kappa: its variance, in units of the variance of rho, > 0.

    Returns:
        Weights [B] in 0..1, without gradient, in the dtype of rho. NaN for every pair if the standard deviation of
        rho is exactly zero, as in the released code. Among equal values the earlier one has the lower weight; in the
        released code their order depends on the sort.

    Source:
        The released code, commit 760b65f; docs/fidelity.md, row 6. In float64, as there.
    """
    values, order = rho.double().sort(stable=True)
    mean, std = values.mean(), values.std(unbiased=False)
    distance = (values - mean - delta * std) / (kappa**0.5 * std)
    cumulative = torch.exp(-0.5 * distance.square()).cumsum(dim=0)
    weights = torch.empty_like(cumulative)
    weights[order] = cumulative / cumulative[-1]
    return weights.to(rho.dtype)
