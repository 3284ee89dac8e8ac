"""k-means and concentration against loops, scikit-learn and the released code (fidelity rows 7, 8)."""

import math
from functools import partial

import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn import functional as F

from lowshot import clustering
from lowshot.clustering import concentration, initial_rows, kmeans, nearest_prototype, sum_by_cluster


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit(n: int, d: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return F.normalize(torch.randn(n, d, generator=generator(seed), dtype=dtype), dim=1)


def blobs(n_blobs: int, each: int, d: int, spread: float, seed: int) -> tuple[Tensor, Tensor]:
    """Unit points around random directions, ordered by blob as a bank is by identity."""
    label = torch.arange(n_blobs).repeat_interleave(each)
    noise = torch.randn(len(label), d, generator=generator(seed + 1))
    return F.normalize(unit(n_blobs, d, seed)[label] + spread * noise / math.sqrt(d), dim=1), label


def inertia(x: Tensor, assignments: Tensor, k: int) -> float:
    """Sum of squared distances to the cluster means: the same measure for every algorithm."""
    return sum(float((x[assignments == j] - x[assignments == j].mean(dim=0)).square().sum()) for j in range(k))


def assert_sound(x: Tensor, k: int, result: clustering.KMeansResult) -> None:
    assert result.prototypes.shape == (k, x.shape[1])
    assert result.assignments.shape == (len(x),)
    assert result.assignments.dtype == torch.int64
    assert torch.bincount(result.assignments, minlength=k).min() >= 1
    assert len(torch.bincount(result.assignments)) == k
    torch.testing.assert_close(result.prototypes.norm(dim=1), torch.ones(k, dtype=result.prototypes.dtype))


def test_the_same_seed_gives_the_same_clusters_and_another_seed_gives_others() -> None:
    x = unit(300, 8, 0)
    first, again, other = kmeans(x, 20, 5), kmeans(x.clone(), 20, 5), kmeans(x, 20, 6)
    assert torch.equal(first.prototypes, again.prototypes)
    assert torch.equal(first.assignments, again.assignments)
    assert not torch.equal(first.assignments, other.assignments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_converged_result_is_a_fixed_point(dtype: torch.dtype) -> None:
    x = unit(200, 6, 1, dtype)
    result = kmeans(x, 12, 0, iterations=200)
    assert_sound(x, 12, result)
    assert result.iterations < 200
    assert result.prototypes.dtype == dtype
    for j in range(12):
        mean = torch.stack([x[i] for i in range(200) if result.assignments[i] == j]).mean(dim=0)
        torch.testing.assert_close(result.prototypes[j], mean / mean.norm())
    for i in range(200):
        similarities = [float(x[i] @ c) for c in result.prototypes]
        assert similarities[int(result.assignments[i])] >= max(similarities) - 1e-6


def test_prototypes_belong_to_the_assignments_when_the_iterations_run_out() -> None:
    x = unit(200, 6, 2)
    result = kmeans(x, 12, 0, iterations=2)
    assert result.iterations == 2
    assert_sound(x, 12, result)
    for j in range(12):
        mean = x[result.assignments == j].mean(dim=0)
        torch.testing.assert_close(result.prototypes[j], mean / mean.norm())


def test_inertia_is_as_low_as_that_of_scikit_learn() -> None:
    x, _ = blobs(40, 25, 16, 0.6, 3)
    ours = [inertia(x, kmeans(x, 40, seed, iterations=100).assignments, 40) for seed in range(5)]
    theirs = []
    for seed in range(5):
        reference = KMeans(40, init="random", n_init=1, max_iter=100, random_state=seed).fit(x.numpy())
        theirs.append(inertia(x, torch.from_numpy(reference.labels_).long(), 40))
    assert sum(ours) <= 1.05 * sum(theirs)


def test_well_separated_blobs_are_found() -> None:
    x, label = blobs(3, 30, 16, 0.2, 5)

    def purity(k: int, seed: int) -> float:
        assignments = kmeans(x, k, seed).assignments
        return sum(int(torch.bincount(label[assignments == j]).max()) for j in range(k)) / len(x)

    # From random initial points k-means stays where it starts: with as many clusters as blobs some seeds
    # start with one point in each, and those must find every blob exactly.
    spread_seeds = [seed for seed in range(40) if len(set(label[initial_rows(90, 3, seed)].tolist())) == 3]
    assert len(spread_seeds) >= 3
    assert all(purity(3, seed) == 1 for seed in spread_seeds)
    # With several clusters for each blob, as in training, no cluster mixes two blobs, whatever the seed.
    assert all(purity(18, seed) == 1 for seed in range(10))


def test_the_size_of_a_block_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = blobs(10, 12, 8, 0.3, 7)
    prototypes = unit(15, 8, 9)
    similarity, nearest = nearest_prototype(x, prototypes)
    for block in (1, 15 * 7, 10**6):
        blocked_similarity, blocked_nearest = nearest_prototype(x, prototypes, block)
        assert torch.equal(blocked_nearest, nearest)
        torch.testing.assert_close(blocked_similarity, similarity)
    for i in range(len(x)):
        assert similarity[i].item() == pytest.approx(max(float(x[i] @ c) for c in prototypes), abs=1e-6)

    whole = kmeans(x, 15, 0)
    monkeypatch.setattr(clustering, "nearest_prototype", partial(nearest_prototype, block=15 * 7))
    blocked = kmeans(x, 15, 0)
    assert torch.equal(blocked.assignments, whole.assignments)
    torch.testing.assert_close(blocked.prototypes, whole.prototypes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sum_by_cluster_matches_the_loop(dtype: torch.dtype) -> None:
    values, assignments = unit(50, 4, 10, dtype), torch.randint(9, (50,), generator=generator(11)) // 2 * 2
    sums = sum_by_cluster(values, assignments, 9)
    assert sums.dtype == dtype
    for j in range(9):
        expected = torch.zeros(4, dtype=dtype)
        for i in range(50):
            if assignments[i] == j:
                expected += values[i]
        torch.testing.assert_close(sums[j], expected)


@pytest.mark.parametrize(("k", "message"), [(6, "6 clusters .* 5 points"), (0, "0 clusters")])
def test_a_number_of_clusters_that_cannot_be_is_refused(k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kmeans(unit(5, 3, 12), k, 0)


def test_points_that_are_not_finite_and_no_iterations_are_refused() -> None:
    x = unit(5, 3, 13)
    with pytest.raises(ValueError, match="at least one iteration"):
        kmeans(x, 2, 0, iterations=0)
    x[3, 1] = math.nan
    with pytest.raises(ValueError, match="row 3"):
        kmeans(x, 2, 0)


@pytest.mark.parametrize(("distinct", "copies", "k"), [(1, 10, 4), (3, 5, 7), (6, 2, 12)])
def test_fewer_distinct_points_than_clusters_leave_no_cluster_empty(distinct: int, copies: int, k: int) -> None:
    points = unit(distinct, 5, 14)
    x = points.repeat_interleave(copies, dim=0)
    for seed in range(5):
        result = kmeans(x, k, seed)
        assert_sound(x, k, result)
        phi = concentration(x, result.prototypes, result.assignments)
        assert phi.isfinite().all()
        assert phi.min() > 0


def test_opposite_points_leave_unit_prototypes() -> None:
    point = unit(1, 4, 15)
    assert_sound(torch.cat([point, -point]), 1, kmeans(torch.cat([point, -point]), 1, 0))


def test_autocast_changes_nothing() -> None:
    x = unit(1000, 16, 16)
    reference = kmeans(x, 40, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = kmeans(x, 40, 0)
        phi = concentration(x, inside.prototypes, inside.assignments)
    assert torch.equal(inside.prototypes, reference.prototypes)
    assert torch.equal(phi, concentration(x, reference.prototypes, reference.assignments))


def released_kmeans(x: Tensor, k: int, iterations: int = 20) -> tuple[Tensor, Tensor]:
    """Released: from the first k rows of the bank; the mean of an empty cluster is 0/0."""
    prototypes = x[:k].clone()
    for _ in range(iterations):
        distance = (x[:, None] - prototypes[None]).square().sum(dim=2).nan_to_num(nan=torch.inf)
        assignments = distance.argmin(dim=1)
        prototypes = torch.stack([x[assignments == j].sum(dim=0) / (assignments == j).sum() for j in range(k)])
    return prototypes, assignments


def test_row_7_empty_clusters_are_repaired() -> None:
    # A bank ordered by identity in which the first identity's videos are copies of one another.
    x, _ = blobs(12, 10, 8, 0.4, 17)
    x[:10] = x[0]
    k = 20
    prototypes, _ = released_kmeans(x, k)
    assert prototypes.isnan().any()
    for seed in range(5):
        result = kmeans(x, k, seed)
        assert_sound(x, k, result)
        assert result.prototypes.isfinite().all()


def test_row_7_initial_points_come_from_all_identities() -> None:
    identity = torch.arange(100).repeat_interleave(10)
    released = len(identity[:50].unique())
    assert released == 5
    for seed in range(5):
        rows = initial_rows(1000, 50, seed)
        assert len(rows.unique()) == 50
        assert len(identity[rows].unique()) > 30
    assert not torch.equal(initial_rows(1000, 50, 0), initial_rows(1000, 50, 1))
    assert torch.equal(initial_rows(1000, 50, 3), initial_rows(1000, 50, 3))


def loop_concentration(x: Tensor, prototypes: Tensor, assignments: Tensor, mean: float) -> Tensor:
    """The released way: Python loops over every point; the percentiles by linear interpolation, by hand."""
    k = len(prototypes)
    distances: list[list[float]] = [[] for _ in range(k)]
    for i in range(len(x)):
        j = int(assignments[i])
        distances[j].append(math.sqrt(sum((x[i, c].item() - prototypes[j, c].item()) ** 2 for c in range(x.shape[1]))))
    phi = [sum(d) / len(d) / math.log(len(d) + 10) if len(d) > 1 else 0.0 for d in distances]
    largest = max(phi)
    phi = [value if len(d) > 1 else largest for value, d in zip(phi, distances, strict=True)]
    ranked = sorted(phi)

    def percentile(q: float) -> float:
        position = q * (k - 1)
        below = math.floor(position)
        above = min(below + 1, k - 1)
        return ranked[below] + (position - below) * (ranked[above] - ranked[below])

    low, high = percentile(0.1), percentile(0.9)
    phi = [min(max(value, low), high) for value in phi]
    return torch.tensor([value * mean / (sum(phi) / k) for value in phi], dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mean", [0.2, 0.05])
def test_row_8_concentration_equals_the_loop(dtype: torch.dtype, mean: float) -> None:
    x = unit(120, 5, 18, dtype)
    result = kmeans(x, 30, 0)
    assignments = result.assignments.clone()
    # One singleton and one empty cluster among them.
    assignments[assignments == 4] = 5
    assignments[(assignments == 6).nonzero()[1:]] = 7
    counts = torch.bincount(assignments, minlength=30)
    assert counts[4] == 0
    assert counts[6] == 1
    phi = concentration(x, result.prototypes, assignments, mean)
    assert phi.dtype == dtype
    expected = loop_concentration(x, result.prototypes, assignments, mean).to(dtype)
    torch.testing.assert_close(phi, expected, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=0)
    assert phi.mean().item() == pytest.approx(mean, rel=1e-5)
    assert phi[4] == phi[6] == phi.max()


def test_larger_and_tighter_clusters_are_more_concentrated() -> None:
    centres = torch.eye(3, 6, dtype=torch.float64)
    away = torch.eye(6, dtype=torch.float64)[3]
    tight, loose = F.normalize(centres[0] + 0.1 * away, dim=0), F.normalize(centres[1] + 0.5 * away, dim=0)
    large = F.normalize(centres[2] + 0.5 * away, dim=0)
    x = torch.stack([tight] * 4 + [loose] * 4 + [large] * 40)
    phi = concentration(x, centres, torch.tensor([0] * 4 + [1] * 4 + [2] * 40))
    assert phi[0] < phi[2] < phi[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clusters_without_any_spread_take_the_temperature(dtype: torch.dtype) -> None:
    points = unit(6, 8, 19, dtype)
    singletons = concentration(points, points, torch.arange(6), 0.3)
    assert torch.equal(singletons, torch.full((6,), 0.3, dtype=dtype))
    copies = points.repeat_interleave(3, dim=0)
    of_copies = concentration(copies, points, torch.arange(6).repeat_interleave(3), 0.3)
    assert torch.equal(of_copies, torch.full((6,), 0.3, dtype=dtype))


def test_copies_of_one_point_take_the_largest_concentration() -> None:
    spread = unit(30, 8, 20)
    result = kmeans(spread, 5, 0)
    copies = unit(4, 8, 21)
    x = torch.cat([spread, copies.repeat_interleave(3, dim=0)])
    prototypes = torch.cat([result.prototypes, copies])
    assignments = torch.cat([result.assignments, 5 + torch.arange(4).repeat_interleave(3)])
    phi = concentration(x, prototypes, assignments)
    assert phi.min() > 0.05
    assert (phi[5:] == phi.max()).all()


def test_concentration_refuses_what_does_not_fit() -> None:
    x = unit(6, 4, 22)
    with pytest.raises(ValueError, match="one per point"):
        concentration(x, x[:2], torch.zeros(5, dtype=torch.int64))
    with pytest.raises(ValueError, match="positive"):
        concentration(x, x[:2], torch.zeros(6, dtype=torch.int64), mean=0.0)
    with pytest.raises(ValueError, match="prototypes"):
        concentration(x, x[:2, :3], torch.zeros(6, dtype=torch.int64))
