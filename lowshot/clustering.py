"""Spherical k-means and the concentration of its clusters."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

UNASSIGNED = -1
"""Assignment of a video without a cluster: the memory bank has not seen it yet."""
NO_DIRECTION = 1e-6
"""Least norm of a blend of unit vectors that has a direction; less is the rounding of opposite vectors."""
# Similarities, and points, in one block of the assignment step: larger products are slower and leave the caches.
_BLOCK = 2**22
_ROWS = 512

# Distances below this many roundings of 1 between unit vectors are rounding, not spread.
_ROUNDINGS = 64


@dataclass(frozen=True)
class KMeansResult:
    """Outcome of one k-means run.

    Attributes:
        prototypes: unit mean directions of the clusters, [k, d].
        assignments: cluster of each point, int64 [n], 0..k-1; every cluster has at least one point.
        iterations: assignment steps done, up to and including the one that changed nothing.
    """

    prototypes: Tensor
    assignments: Tensor
    iterations: int


@dataclass(frozen=True)
class Clusters:
    """Clusters of one modality at several granularities.

    Attributes:
        prototypes: unit prototypes of each granularity, R tensors [K_r, d].
        assignments: cluster of each video of the bank, R int64 tensors [n]; -1 for a video never written.
        concentration: temperature of each prototype, R tensors [K_r], > 0.
    """

    prototypes: list[Tensor]
    assignments: list[Tensor]
    concentration: list[Tensor]


def initial_rows(n: int, k: int, seed: int) -> Tensor:
    """Rows that k-means starts from: the first k of a seeded permutation.

    Args:
        n: number of points.
        k: number of clusters, 1..n.
        seed: decides the permutation, together with n.

    Returns:
        k different row numbers, int64 on the CPU, the same for every device of the points.
    """
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:k]


def nearest_prototype(x: Tensor, prototypes: Tensor, block: int = _BLOCK) -> tuple[Tensor, Tensor]:
    """Most similar prototype of each point; the lowest-numbered one among equals.

    Args:
        x: points, [n, d].
        prototypes: unit prototypes, [k, d], in the dtype of `x`.
        block: similarities in memory at once, >= 1; limits the memory and changes nothing else.

    Returns:
        (similarity to it [n], its number, int64 [n]).
    """
    chunks = x.split(min(_ROWS, max(1, block // len(prototypes))))
    parts = [(chunk @ prototypes.T).max(dim=1) for chunk in chunks]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def sum_by_cluster(values: Tensor, assignments: Tensor, k: int) -> Tensor:
    """Sum the rows of each cluster in a fixed, repeatable order.

    Args:
        values: one row per point, [n, d].
        assignments: cluster of each point, int64 [n], 0..k-1.
        k: number of clusters.

    Returns:
        Sums [k, d]; zeros for an empty cluster.
    """
    counts = torch.bincount(assignments, minlength=k)
    # Bags over sorted rows instead of index_add_, whose order of summation is undefined on an accelerator.
    order = assignments.argsort(stable=True)
    return F.embedding_bag(order, values, counts.cumsum(0) - counts, mode="sum")


def _repair_empty(similarity: Tensor, assignments: Tensor, k: int) -> Tensor:
    """Move the worst-fitting points to the empty clusters, one each."""
    counts = torch.bincount(assignments, minlength=k)
    empty = (counts == 0).nonzero().squeeze(1)
    if len(empty) == 0:
        return assignments
    by_fit = similarity.argsort(descending=True, stable=True)
    by_cluster = by_fit[assignments[by_fit].argsort(stable=True)]
    best = by_cluster[(counts.cumsum(0) - counts)[counts > 0]]
    cost = similarity.clone()
    cost[best] = torch.inf
    # n >= k leaves at least as many points that are not the best of their cluster as there are empty ones.
    repaired = assignments.clone()
    repaired[cost.argsort(stable=True)[: len(empty)]] = empty
    return repaired


@torch.no_grad()
def kmeans(x: Tensor, k: int, seed: int, iterations: int = 20) -> KMeansResult:
    """Cluster unit vectors by direction (spherical k-means), the same on every run.

    A cluster that becomes empty takes the point that is farthest from its own prototype. This applies to
    duplicates too: with fewer than k distinct points, copies of a point are spread over several clusters
    with equal prototypes. Each iteration takes n * k * d multiplications.

    Args:
        x: unit rows, [n, d]; computed in float32 (float64 when given), on the device of `x`.
        k: number of clusters, 1..n.
        seed: chooses the initial points, from a permutation of all rows.
        iterations: most assignment steps, >= 1; fewer if nothing changes any more.

    Returns:
        Unit prototypes, assignments without an empty cluster, and the number of iterations. The prototypes
        are the mean directions of the returned assignments.

    Raises:
        ValueError: k is not in 1..n, iterations < 1, or `x` holds a value that is not finite.

    Source:
        Dhillon and Modha, Machine Learning 42, 2001 (spherical k-means). The repair of empty clusters is this
        project's.

    Deviation:
        The released code starts from the first K rows of a bank ordered by identity, and an empty cluster
        becomes 0/0 (docs/fidelity.md, row 7).
    """
    if x.ndim != 2:
        raise ValueError(f"points must be [n, d], got {[*x.shape]}")
    n = len(x)
    if not 1 <= k <= n:
        raise ValueError(f"{k} clusters cannot be formed from {n} points: ask for 1 to {n}, or bring more points")
    if iterations < 1:
        raise ValueError(f"k-means needs at least one iteration, got {iterations}")
    x = x if x.dtype == torch.float64 else x.float()
    finite = x.isfinite().all(dim=1)
    if not finite.all():
        row = int(finite.logical_not().nonzero()[0])
        raise ValueError(f"row {row} of the points to cluster holds a value that is not finite")

    with torch.autocast(x.device.type, enabled=False):
        prototypes = x[initial_rows(n, k, seed).to(x.device)]
        done, previous = 0, None
        while done < iterations:
            done += 1
            assignments = _repair_empty(*nearest_prototype(x, prototypes), k)
            if previous is not None and torch.equal(assignments, previous):
                break
            previous = assignments
            totals = sum_by_cluster(x, assignments, k)
            norms = totals.norm(dim=1, keepdim=True)
            # Opposite points cancel and leave no direction; such a cluster keeps its previous prototype.
            directed = norms > _ROUNDINGS * torch.finfo(x.dtype).eps
            prototypes = torch.where(directed, totals / norms, prototypes)
    return KMeansResult(prototypes, assignments, done)


@torch.no_grad()
def concentration(x: Tensor, prototypes: Tensor, assignments: Tensor, mean: float = 0.2) -> Tensor:
    """Temperature of each prototype: low for large, tight clusters.

    Args:
        x: unit points, [n, d].
        prototypes: unit prototypes, [k, d].
        assignments: cluster of each point, int64 [n], 0..k-1.
        mean: mean of the result (the prototype temperature), > 0.

    Returns:
        phi [k], > 0, with the given mean; `mean` everywhere if no cluster has a spread.

    Raises:
        ValueError: the shapes do not fit together, or `mean` is not positive.

    Source:
        Zhu et al., IJCAI 2022 (after Li et al., PCL, ICLR 2021, section 3.3):
        `phi_k = mean_{m in k} ||m - c_k|| / log(n_k + 10)`; clusters of at most one member take the largest
        phi; clipped to the 10th..90th percentile; rescaled to the given mean.

    Deviation:
        A cluster of several copies of one point takes the largest phi too. Its spread is as unknown as that
        of a single point, and a phi of zero would divide logits by zero.
    """
    if x.ndim != 2 or prototypes.ndim != 2 or x.shape[1] != prototypes.shape[1]:
        raise ValueError(f"points must be [n, d] and prototypes [k, d], got {[*x.shape]} and {[*prototypes.shape]}")
    if assignments.shape != (len(x),):
        raise ValueError(f"assignments must be [{len(x)}], one per point, got {[*assignments.shape]}")
    if not mean > 0:
        raise ValueError(f"the mean concentration must be positive, got {mean}")
    dtype = torch.float64 if torch.float64 in (x.dtype, prototypes.dtype) else torch.float32
    with torch.autocast(x.device.type, enabled=False):
        x, prototypes = x.to(dtype), prototypes.to(dtype)
        k = len(prototypes)
        distance = (x - prototypes[assignments]).norm(dim=1, keepdim=True)
        counts = torch.bincount(assignments, minlength=k).to(dtype)
        spread = sum_by_cluster(distance, assignments, k).squeeze(1) / counts.clamp(min=1)
        known = (counts > 1) & (spread > _ROUNDINGS * torch.finfo(dtype).eps)
        if not known.any():
            return torch.full_like(spread, mean)
        phi = spread / torch.log(counts + 10)
        phi = torch.where(known, phi, phi[known].max())
        low, high = torch.quantile(phi, torch.tensor([0.1, 0.9], dtype=dtype, device=phi.device))
        phi = phi.clamp(low, high)
        return phi * (mean / phi.mean())
