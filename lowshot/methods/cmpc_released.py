"""The behaviour of the released CMPC code, for comparison with the paper."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lowshot.clustering import Clusters, nearest_prototype, sum_by_cluster
from lowshot.losses.instance import instance_contrast
from lowshot.losses.recalibration import weighted_mean
from lowshot.losses.released import (
    released_deviation,
    released_over_granularities,
    released_prototype_contrast,
    released_weights,
)
from lowshot.memory import MemoryBank
from lowshot.methods.base import RunShape
from lowshot.methods.cmpc import Cmpc
from lowshot.settings import CmpcConfig, CmpcReleasedConfig


class CmpcReleased(Cmpc):
    """CMPC as in its released code, rows 1 to 7 of docs/fidelity.md.

    Clusters exist only in the step in which k-means runs (row 1); all other steps are instance contrast. k-means starts
    from the first K rows of the bank. Its centroids are means and are not normalised. A cluster that becomes empty
    turns to NaN and stays empty (row 7). lowshot/losses/released.py has the objective of a step with clusters (rows 2
    to 6). The bank starts as random directions, and each video's first embedding is averaged with its direction. All
    rows of the bank are clustered.

    The method gives NaN where the released code does. An empty cluster's NaN never reaches the loss in either, because
    the candidates are prototypes of the batch and no video is assigned to an empty cluster. Two kinds of steps with
    clusters stop a run: all pairs deviate by exactly the same amount (row 6), or clusters of copies have the
    concentration zero. Neither is to be expected unless the towers have collapsed.

    Args:
        config: temperatures and schedule; the defaults are the released ones.
        shape: of the run, as for `Cmpc`.

    Source:
        The code released with Zhu et al., IJCAI 2022, commit 760b65f.

    Deviation:
        Rows 8 to 15 are not reproduced. They concern speed, selection, resuming, data and evaluation, which a fair
        comparison keeps equal. Warm-up and clusterings are whole epochs, as for `Cmpc`; the released code counts
        samples. "The first K rows" are the first videos of the manifest. They belong to a few identities only if the
        manifest is ordered by identity, as VoxCeleb's folders are.
    """

    def __init__(self, config: CmpcReleasedConfig, shape: RunShape) -> None:
        super().__init__(CmpcConfig(**config.model_dump(exclude={"name"})), shape)
        for modality, bank in enumerate((self.voice_bank, self.face_bank)):
            _start_at_random(bank, shape.seed, modality)

    def before_step(self, step: int) -> None:
        self.voice_clusters = self.face_clusters = None
        if self.clusters_at(step):
            self.voice_clusters = self._released_clusters(self.voice_bank)
            self.face_clusters = self._released_clusters(self.face_bank)

    def _released_clusters(self, bank: MemoryBank) -> Clusters:
        clusters = Clusters([], [], [])
        for k in self.granularities:
            centroids, assignments, distance = released_kmeans(bank.vectors, k, self.config.kmeans_iterations)
            clusters.prototypes.append(centroids)
            clusters.assignments.append(assignments)
            clusters.concentration.append(
                released_concentration(distance, assignments, k, self.config.prototype_temperature)
            )
        return clusters

    def loss(
        self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        v2f, f2v = instance_contrast(voice, face, self.config.temperature)
        instance = v2f.mean() + f2v.mean()
        logs = {"loss_instance": instance.item()}
        voices, faces = self.voice_clusters, self.face_clusters
        if voices is None or faces is None:
            return instance, logs
        voice_prototype = _prototype_loss(voice, faces, index)
        face_prototype = _prototype_loss(face, voices, index)
        rho = released_deviation(
            voice,
            face,
            voices.prototypes,
            faces.prototypes,
            [assigned[index] for assigned in voices.assignments],
            [assigned[index] for assigned in faces.assignments],
        )
        weights = released_weights(rho, self.config.delta, self.config.kappa)
        total = weighted_mean(v2f + voice_prototype, weights) + weighted_mean(f2v + face_prototype, weights)
        logs["loss_prototype"] = (voice_prototype.mean() + face_prototype.mean()).item()
        logs["mean_weight"] = weights.mean().item()
        return total, logs


def _prototype_loss(z: Tensor, other: Clusters, index: Tensor) -> Tensor:
    """Prototype loss of each embedding over all granularities, [B]."""
    return released_over_granularities(
        [
            released_prototype_contrast(z, prototypes, phi, assigned[index])
            for prototypes, phi, assigned in zip(other.prototypes, other.concentration, other.assignments, strict=True)
        ]
    )


def _start_at_random(bank: MemoryBank, seed: int, modality: int) -> None:
    """Fill a bank with random directions that count as written."""
    stream = int(np.random.SeedSequence([seed, modality]).generate_state(1, np.uint32)[0])
    noise = torch.randn(bank.vectors.shape, generator=torch.Generator().manual_seed(stream))
    bank.vectors.copy_(F.normalize(noise, dim=1))
    bank.written.fill_(True)


@torch.no_grad()
def released_kmeans(x: Tensor, k: int, iterations: int = 20) -> tuple[Tensor, Tensor, Tensor]:
    """Run Lloyd's algorithm from the first k rows; empty clusters become NaN.

    Args:
        x: points, float32 or float64 [n, d].
        k: number of clusters, 1..n.
        iterations: >= 1.

    Returns:
        (centroids [k, d], the means of their points and NaN for an empty cluster; cluster of each point, int64 [n];
        distance [n] of each point to the centroid of its last assignment, one update older than `centroids`).

    Source:
        The released code, commit 760b65f; docs/fidelity.md, row 7. It finds the nearest centroid by KeOps, whose
        minimum ignores NaN.
    """
    with torch.autocast(x.device.type, enabled=False):
        # The nearest centroid maximises x . c - |c|^2 / 2: a product of vectors with one more coordinate.
        points = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        centroids = x[:k]
        for _ in range(iterations):
            offset = (-0.5 * centroids.square().sum(dim=1, keepdim=True)).nan_to_num(nan=-torch.inf)
            _, assignments = nearest_prototype(points, torch.cat([centroids.nan_to_num(), offset], dim=1))
            distance = (x - centroids[assignments]).norm(dim=1)
            counts = torch.bincount(assignments, minlength=k)
            centroids = sum_by_cluster(x, assignments, k) / counts[:, None]
        return centroids, assignments, distance


@torch.no_grad()
def released_concentration(distance: Tensor, assignments: Tensor, k: int, mean: float = 0.2) -> Tensor:
    """Temperature of each prototype, from distances to the previous centroids.

    Args:
        distance: of each point to its centroid, [n].
        assignments: cluster of each point, int64 [n], 0..k-1.
        k: number of clusters; those of at most one point take the largest concentration.
        mean: mean of the result (the prototype temperature), > 0.

    Returns:
        phi [k], >= 0, with the given mean; NaN everywhere if no cluster of two points has a spread.

    Source:
        The released code, commit 760b65f, without its loop over every point (docs/fidelity.md, row 8).
    """
    counts = torch.bincount(assignments, minlength=k).to(distance.dtype)
    spread = sum_by_cluster(distance[:, None], assignments, k).squeeze(1) / counts.clamp(min=1)
    phi = torch.where(counts > 1, spread / torch.log(counts + 10), torch.zeros_like(spread))
    phi = torch.where(counts > 1, phi, phi.max())
    low, high = torch.quantile(phi, torch.tensor([0.1, 0.9], dtype=phi.dtype, device=phi.device))
    phi = phi.clamp(low, high)
    return mean * phi / phi.mean()
