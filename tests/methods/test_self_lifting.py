"""Self-lifting as a method: what its labels are made of, and what is learned from them."""

import math

import pytest
import torch
from torch.nn import functional

from lowshot.methods.base import RunShape
from lowshot.methods.cid import Cid
from lowshot.methods.self_lifting import SelfLifting
from lowshot.settings import CidConfig, SelfLiftingConfig

VIDEOS, DIM, BATCH, STEPS = 48, 8, 16, 3
FIRST = 2 * STEPS


def unit(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=generator, dtype=dtype), dim=-1)


def run_shape(videos=VIDEOS, epochs=10, seed=0):
    return RunShape(videos, DIM, BATCH, STEPS, epochs, seed, torch.device("cpu"))


def method(seed=0, **settings):
    values = {"videos_per_pseudo_label": 12.0, "warmup_share": 0.2, **settings}
    return SelfLifting(SelfLiftingConfig(**values), run_shape(seed=seed))


def trained(lifting, steps, voices=None, faces=None):
    """Walk through steps with fixed embeddings of every video."""
    voices = unit(VIDEOS, DIM, seed=1) if voices is None else voices
    faces = unit(VIDEOS, DIM, seed=2) if faces is None else faces
    for step in range(steps):
        index = torch.arange(BATCH) + BATCH * (step % STEPS)
        lifting.before_step(step)
        lifting.after_step(index, voices[index], faces[index])


def lifted(**settings):
    """A method that has just clustered for the first time."""
    lifting = method(**settings)
    trained(lifting, FIRST)
    lifting.before_step(FIRST)
    return lifting


def naive_loss(points, labels, alpha, beta, base):
    """The mean over all voices and faces of the multi-similarity loss, pair by pair."""
    total = 0.0
    for i in range(len(points)):
        positives = negatives = 1.0
        for j in range(len(points)):
            cosine = float(points[i] @ points[j])
            if labels[i] != labels[j]:
                negatives += math.exp(beta * (cosine - base))
            elif i != j:
                positives += math.exp(-alpha * (cosine - base))
        total += math.log(positives) / alpha + math.log(negatives) / beta
    return total / len(points)


def test_during_the_warm_up_self_lifting_is_cid():
    lifting = method()
    voice, face, index = unit(BATCH, DIM, seed=3), unit(BATCH, DIM, seed=4), torch.arange(BATCH)
    expected = Cid(CidConfig(), run_shape()).loss(index, voice, face)[0]
    for step in range(FIRST):
        lifting.before_step(step)
        assert torch.equal(lifting.loss(index, voice, face)[0], expected)
        lifting.after_step(index, voice, face)
    lifting.before_step(FIRST)
    assert not torch.equal(lifting.loss(index, voice, face)[0], expected)


@pytest.mark.parametrize("settings", [{}, {"alpha": 4.0, "beta": 10.0, "base": 0.5}])
def test_after_the_warm_up_the_loss_is_the_formula_over_both_modalities(settings):
    lifting = lifted(**settings)
    index = torch.randperm(VIDEOS, generator=torch.Generator().manual_seed(0))[:BATCH]
    voice, face = unit(BATCH, DIM, seed=3, dtype=torch.float64), unit(BATCH, DIM, seed=4, dtype=torch.float64)
    labels = lifting.pseudo_labels[index].tolist()
    assert 1 < len(set(labels)) < BATCH
    constants = {"alpha": 2.0, "beta": 50.0, "base": 1.0} | settings
    expected = naive_loss(torch.cat([voice, face]), labels + labels, **constants)
    assert lifting.loss(index, voice, face)[0].item() == pytest.approx(expected, abs=1e-12)


def test_labels_are_of_both_modalities_together():
    """Voices tell two halves apart, faces two others: only together do they tell four quarters."""
    half, other_half = torch.arange(VIDEOS) // (VIDEOS // 2), torch.arange(VIDEOS) % 2
    quarter = 2 * half + other_half
    noise = 0.05 * torch.randn(2, VIDEOS, DIM, generator=torch.Generator().manual_seed(0))
    voices = functional.normalize(torch.eye(DIM)[half] + noise[0], dim=1)
    faces = functional.normalize(torch.eye(DIM)[other_half] + noise[1], dim=1)
    # Sixteen labels, so that k-means has a starting point in every quarter.
    lifting = method(videos_per_pseudo_label=3.0)
    trained(lifting, FIRST, voices, faces)
    lifting.before_step(FIRST)
    assert lifting.labels == 16
    for label in range(16):
        assert len(set(quarter[lifting.pseudo_labels == label].tolist())) == 1


def test_labels_are_kept_until_the_next_clustering():
    lifting = method()
    trained(lifting, FIRST)
    assert lifting.pseudo_labels is None
    lifting.before_step(FIRST)
    kept = lifting.pseudo_labels
    assert kept.min() >= 0  # type: ignore[attr-defined]
    assert len(kept.unique()) == lifting.labels == 4  # type: ignore[attr-defined]
    for step in range(FIRST + 1, 4 * STEPS):
        lifting.before_step(step)
        assert lifting.pseudo_labels is kept
    lifting.before_step(4 * STEPS)
    assert lifting.pseudo_labels is not kept
    assert [step for step in range(10 * STEPS) if lifting.clusters_at(step)] == [6, 12, 18, 24]


def test_videos_never_seen_are_labels_of_their_own():
    lifting = method()
    for step in range(FIRST):
        lifting.before_step(step)
        lifting.after_step(torch.arange(BATCH), unit(BATCH, DIM, seed=1), unit(BATCH, DIM, seed=2))
    lifting.before_step(FIRST)
    assert (lifting.pseudo_labels == -1).sum() == VIDEOS - BATCH
    voice, face = unit(4, DIM, seed=3), unit(4, DIM, seed=4)
    of_label_0 = int((lifting.pseudo_labels == 0).nonzero()[0])
    index = torch.tensor([20, of_label_0, 3, 30])
    labels = [100, 0, int(lifting.pseudo_labels[3]), 101]
    expected = naive_loss(torch.cat([voice, face]).double(), labels + labels, 2.0, 50.0, 1.0)
    assert lifting.loss(index, voice, face)[0].item() == pytest.approx(expected, rel=1e-5)


def test_descent_brings_voices_and_faces_of_a_label_together():
    lifting = lifted()
    index = torch.arange(VIDEOS)
    voice, face = unit(VIDEOS, DIM, seed=5).requires_grad_(), unit(VIDEOS, DIM, seed=6).requires_grad_()
    optimizer = torch.optim.Adam([voice, face], lr=0.05)
    same = lifting.pseudo_labels[:, None] == lifting.pseudo_labels[None]

    def gap() -> float:
        cosine = functional.normalize(voice, dim=1) @ functional.normalize(face, dim=1).T
        return (cosine[same].mean() - cosine[~same].mean()).item()

    before = gap()
    for _ in range(60):
        loss, _ = lifting.loss(index, functional.normalize(voice, dim=1), functional.normalize(face, dim=1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert gap() > before + 0.1


def test_state_round_trip_gives_the_same_next_steps():
    for steps in (FIRST, FIRST + 1):
        whole, first, again = method(), method(), method()
        trained(whole, steps)
        trained(first, steps)
        again.load_state_dict(first.state_dict())
        voice, face, index = unit(BATCH, DIM, seed=3), unit(BATCH, DIM, seed=4), torch.arange(BATCH)
        for step in range(steps, 5 * STEPS):
            whole.before_step(step)
            again.before_step(step)
            assert torch.equal(whole.loss(index, voice, face)[0], again.loss(index, voice, face)[0])
            whole.after_step(index, voice, face)
            again.after_step(index, voice, face)


def test_the_number_of_labels_scales_with_the_number_of_videos():
    assert SelfLifting(SelfLiftingConfig(), run_shape(videos=18_057)).labels == pytest.approx(1000, abs=4)
    assert SelfLifting(SelfLiftingConfig(), run_shape(videos=3)).labels == 2
