"""Memory bank: a moving average of each video's embedding, and its clusters."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowshot.clustering import NO_DIRECTION, UNASSIGNED, Clusters, concentration, kmeans


class MemoryBank(nn.Module):
    """One unit vector per video and modality, updated with each new embedding.

    `m <- normalise(momentum * m + (1 - momentum) * z)`; the first write stores z itself. The bank is a module, but it
    has no parameters. It moves, saves and loads like any module's buffers.

    Attributes:
        vectors: float32 [n, d]; zeros for rows never written, unit rows elsewhere.
        written: bool [n].
        momentum: share of the old vector, 0 <= momentum < 1.

    Source:
        Zhu et al., IJCAI 2022; momentum 0.5 in the released configuration.
    """

    vectors: Tensor
    written: Tensor

    def __init__(self, n: int, d: int, momentum: float = 0.5) -> None:
        """Make an empty bank.

        Args:
            n: number of videos, >= 1.
            d: dimension of the embeddings, >= 1.
            momentum: share of the old vector, 0 <= momentum < 1.

        Raises:
            ValueError: a size below 1, or a momentum outside [0, 1).
        """
        super().__init__()
        if n < 1 or d < 1:
            raise ValueError(f"a memory bank needs at least one video and one dimension, got {n} x {d}")
        if not 0 <= momentum < 1:
            raise ValueError(f"the momentum of a memory bank must be in [0, 1), got {momentum}")
        self.momentum = momentum
        self.register_buffer("vectors", torch.zeros(n, d))
        self.register_buffer("written", torch.zeros(n, dtype=torch.bool))

    @torch.no_grad()
    def update(self, index: Tensor, z: Tensor) -> None:
        """Move the vectors of some videos towards new embeddings.

        A video that occurs several times is updated once for each, in the order of the batch.

        Args:
            index: videos, int64 [B], 0..n-1.
            z: their embeddings, [B, d], any floating dtype; normalised here.

        Raises:
            ValueError: the shapes do not fit.
            IndexError: a video outside 0..n-1 (on the CPU; an accelerator reports it differently).
        """
        if index.ndim != 1 or z.shape != (len(index), self.vectors.shape[1]):
            raise ValueError(
                f"need indices [B] and embeddings [B, {self.vectors.shape[1]}], got {[*index.shape]} and {[*z.shape]}"
            )
        if len(index) == 0:
            return
        index = index.to(self.vectors.device)
        z = F.normalize(z.detach().to(self.vectors), dim=1)
        occurrence = _occurrence(index)
        # One pass per repeat of a video, because indexed assignment leaves the winner among repeats undefined.
        for turn in range(int(occurrence.max()) + 1):
            now = occurrence == turn
            rows, new = index[now], z[now]
            blend = self.momentum * self.vectors[rows] + (1 - self.momentum) * new
            norm = blend.norm(dim=1, keepdim=True)
            keep = self.written[rows, None] & (norm > NO_DIRECTION)
            self.vectors[rows] = torch.where(keep, blend / norm, new)
            self.written[rows] = True


def _occurrence(index: Tensor) -> Tensor:
    """Number of earlier occurrences of each value in the batch, [B]."""
    values, order = index.sort(stable=True)
    place = torch.arange(len(index), device=index.device)
    first = torch.searchsorted(values, values)
    occurrence = torch.empty_like(place)
    occurrence[order] = place - first
    return occurrence


@torch.no_grad()
def cluster_bank(
    bank: MemoryBank,
    ks: Sequence[int],
    seed: int,
    *,
    iterations: int = 20,
    mean_concentration: float = 0.2,
) -> Clusters:
    """Cluster the written vectors of a bank at several granularities.

    Args:
        bank: memory of one modality; rows never written are ignored.
        ks: number of clusters of each granularity, each from 1 to the number of written rows.
        seed: >= 0; each granularity draws its own initial points from it.
        iterations: most k-means iterations, >= 1.
        mean_concentration: the prototype temperature, > 0.

    Returns:
        Clusters with assignments for all n videos of the bank, -1 for those never written.

    Raises:
        ValueError: a granularity asks for more clusters than there are written rows, or for none.

    Source:
        Zhu et al., IJCAI 2022, the M-step: k-means on the memory bank for K_1..K_R.
    """
    written = bank.written.nonzero().squeeze(1)
    vectors = bank.vectors[written]
    clusters = Clusters([], [], [])
    for granularity, k in enumerate(ks):
        own_seed = int(np.random.SeedSequence([seed, granularity]).generate_state(1, np.uint32)[0])
        result = kmeans(vectors, k, own_seed, iterations)
        assignments = torch.full((len(bank.written),), UNASSIGNED, dtype=torch.int64, device=written.device)
        assignments[written] = result.assignments
        clusters.prototypes.append(result.prototypes)
        clusters.assignments.append(assignments)
        clusters.concentration.append(concentration(vectors, result.prototypes, result.assignments, mean_concentration))
    return clusters
