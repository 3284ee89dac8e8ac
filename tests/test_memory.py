"""The memory bank against the update written as a loop, and the clusters drawn from it."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lowshot.clustering import concentration
from lowshot.memory import MemoryBank, cluster_bank


def unit(n: int, d: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=1)


def filled(n: int, d: int, seed: int, momentum: float = 0.5) -> MemoryBank:
    bank = MemoryBank(n, d, momentum)
    bank.update(torch.arange(n), unit(n, d, seed))
    return bank


def test_a_new_bank_is_empty() -> None:
    bank = MemoryBank(4, 3)
    assert bank.momentum == 0.5
    assert not bank.written.any()
    assert torch.equal(bank.vectors, torch.zeros(4, 3))
    assert list(bank.parameters()) == []


def test_the_first_write_stores_the_embedding_itself() -> None:
    bank, z = MemoryBank(50, 16, momentum=0.9), unit(25, 16, 0)
    seen = torch.arange(1, 50, 2).flip(0)
    bank.update(seen, z)
    assert bank.written.tolist() == [i % 2 == 1 for i in range(50)]
    assert torch.equal(bank.vectors[seen], F.normalize(z))
    assert torch.equal(bank.vectors[::2], torch.zeros(25, 16))


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_updates_match_the_loop_with_repeats_in_the_order_of_the_batch(momentum: float) -> None:
    bank = MemoryBank(6, 4, momentum)
    expected = torch.zeros(6, 4)
    written = [False] * 6
    for step, index in enumerate([[0, 1, 2], [2, 4, 2, 1, 2], [4, 4, 4, 5], [0, 5, 3]]):
        z = unit(len(index), 4, step)
        bank.update(torch.tensor(index), 3 * z)
        for video, vector in zip(index, z, strict=True):
            blend = momentum * expected[video] + (1 - momentum) * vector if written[video] else vector
            expected[video] = blend / blend.norm()
            written[video] = True
        torch.testing.assert_close(bank.vectors, expected)
        assert bank.written.tolist() == written


def test_half_precision_and_gradients_stay_outside() -> None:
    bank = MemoryBank(3, 4)
    z = unit(3, 4, 1).bfloat16().requires_grad_()
    bank.update(torch.arange(3), z)
    assert bank.vectors.dtype == torch.float32
    assert not bank.vectors.requires_grad
    torch.testing.assert_close(bank.vectors.norm(dim=1), torch.ones(3))


def test_an_opposite_embedding_replaces_the_vector() -> None:
    bank, z = MemoryBank(1, 4), unit(1, 4, 2)
    bank.update(torch.tensor([0]), z)
    bank.update(torch.tensor([0]), -z)
    torch.testing.assert_close(bank.vectors, -z)


def test_state_makes_the_round_trip() -> None:
    bank = MemoryBank(6, 4)
    bank.update(torch.tensor([5, 0, 2]), unit(3, 4, 3))
    state = {name: tensor.clone() for name, tensor in bank.state_dict().items()}
    assert set(state) == {"vectors", "written"}
    copy = MemoryBank(6, 4)
    copy.load_state_dict(state)
    for each in (bank, copy):
        each.update(torch.tensor([2, 1]), unit(2, 4, 4))
    assert torch.equal(copy.vectors, bank.vectors)
    assert torch.equal(copy.written, bank.written)
    with pytest.raises(RuntimeError, match="size mismatch"):
        MemoryBank(7, 4).load_state_dict(state)


def test_an_empty_batch_changes_nothing() -> None:
    bank = filled(3, 4, 5)
    before = bank.vectors.clone()
    bank.update(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4))
    assert torch.equal(bank.vectors, before)


@pytest.mark.parametrize(("n", "d", "momentum"), [(0, 4, 0.5), (4, 0, 0.5), (4, 4, 1.0), (4, 4, -0.1)])
def test_impossible_banks_are_refused(n: int, d: int, momentum: float) -> None:
    with pytest.raises(ValueError, match="memory bank"):
        MemoryBank(n, d, momentum)


def test_updates_that_do_not_fit_are_refused() -> None:
    bank = MemoryBank(4, 3)
    with pytest.raises(ValueError, match="embeddings"):
        bank.update(torch.tensor([0, 1]), unit(3, 3, 6))
    with pytest.raises(IndexError):
        bank.update(torch.tensor([0, 4]), unit(2, 3, 6))


def test_rows_never_written_take_no_part_in_clustering() -> None:
    bank = MemoryBank(60, 8)
    seen = torch.arange(0, 60, 2)
    z = unit(30, 8, 7)
    bank.update(seen, z)
    clusters = cluster_bank(bank, [3, 7], seed=0)

    dense = MemoryBank(30, 8)
    dense.update(torch.arange(30), z)
    reference = cluster_bank(dense, [3, 7], seed=0)
    for r, k in enumerate([3, 7]):
        assert clusters.prototypes[r].shape == (k, 8)
        assert clusters.assignments[r].shape == (60,)
        assert (clusters.assignments[r][1::2] == -1).all()
        assert torch.equal(clusters.assignments[r][seen], reference.assignments[r])
        assert torch.equal(clusters.prototypes[r], reference.prototypes[r])
        assert torch.bincount(clusters.assignments[r][seen], minlength=k).min() >= 1


def test_clusters_carry_the_concentration_of_each_granularity() -> None:
    bank = filled(80, 8, 8)
    clusters = cluster_bank(bank, [5, 10, 20], seed=3, mean_concentration=0.1)
    assert len(clusters.prototypes) == len(clusters.assignments) == len(clusters.concentration) == 3
    for prototypes, assignments, phi in zip(
        clusters.prototypes, clusters.assignments, clusters.concentration, strict=True
    ):
        assert torch.equal(phi, concentration(bank.vectors, prototypes, assignments, 0.1))
        assert phi.mean().item() == pytest.approx(0.1, rel=1e-5)


def test_clusters_depend_on_the_seed_and_each_granularity_draws_its_own_points() -> None:
    bank = filled(80, 8, 9)
    first, again, other = (cluster_bank(bank, [10, 10], seed, iterations=1) for seed in (0, 0, 1))
    assert torch.equal(first.assignments[0], again.assignments[0])
    assert torch.equal(first.prototypes[1], again.prototypes[1])
    assert not torch.equal(first.assignments[0], other.assignments[0])
    assert not torch.equal(first.assignments[0], first.assignments[1])


def test_more_clusters_than_written_videos_are_refused() -> None:
    bank = MemoryBank(60, 8)
    bank.update(torch.arange(9), unit(9, 8, 10))
    with pytest.raises(ValueError, match="10 clusters cannot be formed from 9 points"):
        cluster_bank(bank, [5, 10], seed=0)
