"""Barlow Twins as a method: the projector, where it comes from, and what is learned through it."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from lowshot.methods.barlow import Barlow
from lowshot.methods.base import RunShape
from lowshot.settings import BarlowConfig

DIM, BATCH = 8, 16
SMALL = (12, 12, 10)


def unit(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=generator, dtype=dtype), dim=-1)


def method(seed=0, **settings):
    shape = RunShape(48, DIM, BATCH, 3, 10, seed, torch.device("cpu"))
    return Barlow(BarlowConfig(**{"projector": SMALL, **settings}), shape)


def naive_projection(z, weights):
    """Linear maps with batch normalisation (unit scale, no shift) and ReLU between them."""
    for number, weight in enumerate(weights):
        z = z @ weight.T
        if number < len(weights) - 1:
            z = np.maximum(0, (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5))
    return z


def naive_loss(voice, face, redundancy_weight):
    """sum_i (1 - C_ii)^2 + lambda sum_{j != i} C_ij^2, entry by entry."""
    a, f = ((z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5) for z in (voice, face))
    total = 0.0
    for i in range(a.shape[1]):
        for j in range(f.shape[1]):
            c = (a[:, i] * f[:, j]).mean()
            total += (1 - c) ** 2 if i == j else redundancy_weight * c**2
    return total


@pytest.mark.parametrize("projector", [(), (10,), SMALL])
def test_the_total_is_the_formula_behind_the_projector(projector):
    barlow = method(projector=projector, redundancy_weight=0.05)
    weights = [p.detach().double().numpy() for p in barlow.parameters() if p.ndim == 2]
    assert [len(weight) for weight in weights] == [*projector]
    voice, face = unit(BATCH, DIM, seed=1), unit(BATCH, DIM, seed=2)
    projected = (naive_projection(z.double().numpy(), weights) for z in (voice, face))
    total, _ = barlow.loss(torch.arange(BATCH), voice, face)
    assert total.item() == pytest.approx(naive_loss(*projected, 0.05), rel=1e-5)  # type: ignore[call-arg]


def test_by_default_the_embeddings_themselves_are_compared():
    assert not list(method(projector=BarlowConfig().projector).parameters())


def test_all_of_the_projector_and_both_towers_are_trained():
    barlow = method()
    voice, face = unit(BATCH, DIM, seed=1).requires_grad_(), unit(BATCH, DIM, seed=2).requires_grad_()
    barlow.loss(torch.arange(BATCH), voice, face)[0].backward()
    trained = [voice, face, *barlow.parameters()]
    assert len(trained) == 2 + 3 + 2 * 2
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in trained)


def test_the_projector_depends_on_the_seed_of_the_run_alone():
    torch.manual_seed(1)
    first = list(method(seed=3).parameters())
    state = torch.get_rng_state()
    torch.manual_seed(2)
    again = list(method(seed=3).parameters())
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], next(iter(method(seed=4).parameters())))
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state), "the global generator has moved"


def test_a_loss_leaves_no_trace_and_autocast_does_not_touch_it():
    barlow = method()
    voice, face, index = unit(BATCH, DIM, seed=1), unit(BATCH, DIM, seed=2), torch.arange(BATCH)
    expected = barlow.loss(index, voice, face)[0]
    barlow.loss(index, face, unit(BATCH, DIM, seed=3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(barlow.loss(index, voice, face)[0], expected)


def test_state_round_trip_takes_the_projector_along_in_place():
    barlow, again = method(seed=0), method(seed=1)
    voice, face, index = unit(BATCH, DIM, seed=1), unit(BATCH, DIM, seed=2), torch.arange(BATCH)
    held = list(again.parameters())
    again.load_state_dict(barlow.state_dict())
    assert torch.equal(again.loss(index, voice, face)[0], barlow.loss(index, voice, face)[0])
    assert all(a is b for a, b in zip(held, again.parameters(), strict=True))


@pytest.mark.parametrize("projector", [(), SMALL])
def test_descent_makes_voice_and_face_of_a_video_agree(projector):
    barlow = method(projector=projector)
    voice, face = unit(BATCH, DIM, seed=5).requires_grad_(), unit(BATCH, DIM, seed=6).requires_grad_()
    optimizer = torch.optim.Adam([voice, face, *barlow.parameters()], lr=0.02)

    def gap() -> float:
        cosine = functional.normalize(voice, dim=1) @ functional.normalize(face, dim=1).T
        return (cosine.diagonal().mean() - cosine.mean()).item()

    before = gap()
    for _ in range(150):
        loss, _ = barlow.loss(
            torch.arange(BATCH), functional.normalize(voice, dim=1), functional.normalize(face, dim=1)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert gap() > before + 0.1
