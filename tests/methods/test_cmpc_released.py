"""`cmpc-released` against a restatement of the released code, from the memory banks to the loss, in plain loops."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from lowshot.clustering import Clusters
from lowshot.methods.base import RunShape
from lowshot.methods.cid import Cid
from lowshot.methods.cmpc_released import CmpcReleased, released_concentration, released_kmeans
from lowshot.settings import CidConfig, CmpcReleasedConfig

VIDEOS, DIM, BATCH, STEPS = 48, 8, 16, 3
FIRST = 2 * STEPS


def unit(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=generator, dtype=dtype), dim=-1)


def run_shape(videos=VIDEOS, batch=BATCH, steps=STEPS, epochs=10, seed=0):
    return RunShape(videos, DIM, batch, steps, epochs, seed, torch.device("cpu"))


def method(seed=0, **settings):
    values = {"videos_per_cluster": (12.0, 6.0, 4.0), "warmup_share": 0.2, **settings}
    return CmpcReleased(CmpcReleasedConfig(**values), run_shape(seed=seed))


def trained(released, steps):
    """Walk through steps with fixed embeddings of every video."""
    voices, faces = unit(VIDEOS, DIM, seed=1), unit(VIDEOS, DIM, seed=2)
    logs = []
    for step in range(steps):
        index = torch.arange(BATCH) + BATCH * (step % STEPS)
        released.before_step(step)
        logs.append(released.loss(index, voices[index], faces[index])[1])
        released.after_step(index, voices[index], faces[index])
    return logs


def live(dtype=torch.float32):
    """A method that has just clustered, its banks and so its clusters in the given dtype."""
    released = method()
    trained(released, FIRST)
    released.voice_bank.to(dtype)
    released.face_bank.to(dtype)
    released.before_step(FIRST)
    return released


def naive_kmeans(x: np.ndarray, k: int, iterations: int = 20) -> tuple[list, list[int], list[float]]:
    """Centroids from the first k rows; squared distances by hand; a comparison with NaN is never true."""
    centroids = [x[j].copy() for j in range(k)]
    for _ in range(iterations):
        assignments, squares = [], []
        for point in x:
            best, nearest = math.inf, 0
            for j in range(k):
                square = float(((point - centroids[j]) ** 2).sum())
                if square < best:
                    best, nearest = square, j
            assignments.append(nearest)
            squares.append(best)
        for j in range(k):
            members = [point for point, own in zip(x, assignments, strict=True) if own == j]
            centroids[j] = np.mean(members, axis=0) if members else np.full(x.shape[1], np.nan)
    return centroids, assignments, [math.sqrt(square) for square in squares]


def naive_concentration(distances: list[float], assignments: list[int], k: int) -> list[float]:
    own = [[d for d, s in zip(distances, assignments, strict=True) if s == j] for j in range(k)]
    phi = [sum(d) / len(d) / math.log(len(d) + 10) if len(d) > 1 else 0.0 for d in own]
    largest = max(phi)
    phi = [value if len(d) > 1 else largest for value, d in zip(phi, own, strict=True)]
    phi = np.clip(phi, np.percentile(phi, 10), np.percentile(phi, 90))
    return list(0.2 * phi / phi.mean())  # type: ignore[attr-defined]


def naive_clusters(bank: np.ndarray, ks: list[int]) -> list[tuple]:
    clusters = []
    for k in ks:
        centroids, assignments, distances = naive_kmeans(bank, k)
        clusters.append(
            (torch.tensor(np.array(centroids)), assignments, naive_concentration(distances, assignments, k))
        )
    return clusters


def as_lists(clusters: Clusters) -> list[tuple]:
    return [
        (centroids.double(), assignments.tolist(), phi.tolist())
        for centroids, assignments, phi in zip(
            clusters.prototypes, clusters.assignments, clusters.concentration, strict=True
        )
    ]


def naive_loss(a, f, voices: list[tuple], faces: list[tuple], index: list[int]):
    """The released loss, sample by sample. Embeddings float64 [B, d]; clusters of each granularity as lists."""
    b = len(index)

    def contrast(similarities, i, divisors):
        first, *others = [similarities[i], *(s for j, s in enumerate(similarities) if j != i)]
        logits = torch.stack([s / divisor for s, divisor in zip([first, *others], divisors, strict=True)])
        return torch.logsumexp(logits, 0) - logits[0]

    def one_direction(z, other, clusters, weights):
        total = 0.0
        for i in range(b):
            instance = contrast([z[i] @ other[j] for j in range(b)], i, [0.03] * b)
            prototype = 0.0
            for centroids, assigned, phi in clusters:
                mates = [assigned[video] for video in index]
                similarities = [z[i] @ centroids[k] / centroids[k].norm() for k in mates]
                prototype = (prototype + contrast(similarities, i, [phi[k] for k in mates])) / 4
            total = total + weights[i] * (instance + prototype)
        return total / sum(weights)

    rho = []
    for i in range(b):
        value = float((a[i] @ f[i]).detach())
        for (voice_centroids, voice_of, _), (face_centroids, face_of, _) in zip(voices, faces, strict=True):
            value -= float(voice_centroids[voice_of[index[i]]] @ face_centroids[face_of[index[i]]])
        rho.append(value)
    mu, sigma = np.mean(rho) - np.std(rho), np.std(rho) * 0.1**0.5
    density = [math.exp(-0.5 * ((r - mu) / sigma) ** 2) / (math.sqrt(2 * math.pi) * sigma) for r in rho]
    weights = [sum(p for p, s in zip(density, rho, strict=True) if s <= r) / sum(density) for r in rho]
    return one_direction(a, f, faces, weights) + one_direction(f, a, voices, weights)


def batch(seed=0):
    index = torch.randperm(VIDEOS, generator=torch.Generator().manual_seed(seed))[:BATCH]
    return index, unit(BATCH, DIM, seed=5 + seed, dtype=torch.float64), unit(BATCH, DIM, seed=50 + seed).double()


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_of_a_live_batch_is_the_released_formula_from_the_banks_on(seed):
    released = live(torch.float64)
    index, a, f = batch(seed)
    a.requires_grad_()
    f.requires_grad_()
    ks = released.granularities
    assert ks == [4, 8, 12]
    voices = naive_clusters(released.voice_bank.vectors.numpy(), ks)
    faces = naive_clusters(released.face_bank.vectors.numpy(), ks)
    expected = naive_loss(a, f, voices, faces, index.tolist())
    total, _ = released.loss(index, a, f)
    assert total.item() == pytest.approx(expected.item(), abs=1e-6)
    for ours, theirs in zip(torch.autograd.grad(total, (a, f)), torch.autograd.grad(expected, (a, f)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_of_a_live_batch_in_single_precision_is_the_released_formula(seed):
    released = live()
    index, a, f = batch(seed)
    a, f = a.float(), f.float()
    voices, faces = as_lists(released.voice_clusters), as_lists(released.face_clusters)
    expected = naive_loss(a.double(), f.double(), voices, faces, index.tolist())
    total, _ = released.loss(index, a, f)
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)


def test_row_1_clusters_live_for_the_step_in_which_k_means_runs():
    released = method()
    logs = trained(released, 10 * STEPS)
    assert [step for step, log in enumerate(logs) if "loss_prototype" in log] == [6, 12, 18, 24]
    cid = Cid(CidConfig(), run_shape())
    index, a, f = batch()
    released.before_step(FIRST)
    at_clustering = released.loss(index, a, f)[0]
    released.before_step(FIRST + 1)
    afterwards = released.loss(index, a, f)[0]
    assert torch.equal(afterwards, cid.loss(index, a, f)[0])
    assert abs(at_clustering - afterwards) > 0.01


def test_row_1_at_the_size_of_the_paper_one_step_in_three_hundred_has_clusters():
    released = CmpcReleased(CmpcReleasedConfig(), run_shape(18_057, 128, 141, 177))
    assert released.granularities == pytest.approx([500, 1000, 1500], abs=6)
    assert sum(released.clusters_at(step) for step in range(177 * 141)) == 81


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_row_7_k_means_starts_from_the_first_rows_and_loses_empty_clusters(dtype):
    # Two copies in front: the second one's cluster has no point from the first assignment on.
    x = unit(40, 6, seed=3, dtype=dtype)
    x[1] = x[0]
    centroids, assignments, distance = released_kmeans(x, 7)
    expected, own, distances = naive_kmeans(x.double().numpy(), 7)
    assert assignments.tolist() == own
    assert centroids[1].isnan().all()
    assert 1 not in own
    tolerance = 1e-6 if dtype == torch.float32 else 1e-13
    torch.testing.assert_close(
        centroids.double(), torch.tensor(np.array(expected)), rtol=0, atol=tolerance, equal_nan=True
    )
    torch.testing.assert_close(distance.double(), torch.tensor(distances, dtype=torch.float64), rtol=0, atol=tolerance)
    assert centroids[[0, 2, 3, 4, 5, 6]].norm(dim=1).max() < 0.99
    phi = released_concentration(distance, assignments, 7)
    torch.testing.assert_close(
        phi.double(), torch.tensor(naive_concentration(distances, own, 7), dtype=torch.float64), rtol=0, atol=tolerance
    )
    assert phi[1] == phi.max()


def test_row_7_first_rows_decide_what_is_found():
    x = unit(60, 6, seed=4)
    one, other = released_kmeans(x, 5), released_kmeans(x.flip(0), 5)
    assert not torch.equal(one[1], other[1].flip(0))
    assert torch.equal(one[1], released_kmeans(x.clone(), 5)[1])


def test_row_7_an_empty_cluster_leaves_the_loss_finite():
    released = method()
    trained(released, FIRST)
    for bank in (released.voice_bank, released.face_bank):
        bank.vectors[1] = bank.vectors[0]
    released.before_step(FIRST)
    assert all(centroids[1].isnan().all() for centroids in released.voice_clusters.prototypes)
    index, a, f = batch()
    assert torch.isfinite(released.loss(index, a, f)[0])


def test_row_6_a_live_batch_of_identical_pairs_is_nan_as_released():
    released = live()
    released.voice_clusters.assignments[:] = [torch.zeros_like(s) for s in released.voice_clusters.assignments]
    released.face_clusters.assignments[:] = [torch.zeros_like(s) for s in released.face_clusters.assignments]
    same = torch.zeros(4, DIM)
    same[:, 0] = 1
    for clusters in (released.voice_clusters, released.face_clusters):
        clusters.prototypes[:] = [torch.full_like(centroids, 0.25) for centroids in clusters.prototypes]
    assert torch.isnan(released.loss(torch.arange(4), same, same)[0])


def test_the_bank_starts_as_random_directions_of_which_a_first_embedding_finds_half():
    one, again, other = method(), method(), method(seed=1)
    assert torch.equal(one.voice_bank.vectors, again.voice_bank.vectors)
    assert not torch.equal(one.voice_bank.vectors, other.voice_bank.vectors)
    assert not torch.equal(one.voice_bank.vectors, one.face_bank.vectors)
    torch.testing.assert_close(one.voice_bank.vectors.norm(dim=1), torch.ones(VIDEOS))
    before, z = one.voice_bank.vectors[5].clone(), unit(1, DIM, seed=8)
    one.after_step(torch.tensor([5]), z, z)
    torch.testing.assert_close(one.voice_bank.vectors[5], functional.normalize(before + z[0], dim=0))


def test_state_round_trip_gives_the_same_next_steps():
    whole, first, again = method(), method(), method(seed=1)
    trained(first, FIRST + 1)
    again.load_state_dict(first.state_dict())
    trained(whole, FIRST + 1)
    index, a, f = batch()
    for step in range(FIRST + 1, 5 * STEPS):
        whole.before_step(step)
        again.before_step(step)
        assert torch.equal(whole.loss(index, a, f)[0], again.loss(index, a, f)[0])
        whole.after_step(index, a, f)
        again.after_step(index, a, f)
