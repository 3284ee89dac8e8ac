"""Robust xID as a method: when weights and soft targets act, on what, and what the total is."""

import math

import pytest
import torch
from torch.nn import functional

from lowshot.methods.base import RunShape
from lowshot.methods.robust_xid import RobustXid
from lowshot.settings import RobustXidConfig

VIDEOS, DIM, BATCH, STEPS = 48, 8, 16, 3


def unit(*shape, seed=0):
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def method(seed=0, **settings):
    shape = RunShape(VIDEOS, DIM, BATCH, STEPS, 10, seed, torch.device("cpu"))
    return RobustXid(RobustXidConfig(**{"negatives": 5, "warmup_share": 0.2, **settings}), shape)


def trained(robust, steps, first=0, voices=None, faces=None):
    """Walk through steps with fixed embeddings of every video."""
    voices = unit(VIDEOS, DIM, seed=1) if voices is None else voices
    faces = unit(VIDEOS, DIM, seed=2) if faces is None else faces
    losses, logs = [], []
    for step in range(first, first + steps):
        index = torch.arange(BATCH) + BATCH * (step % STEPS)
        robust.before_step(step)
        total, figures = robust.loss(index, voices[index], faces[index])
        robust.after_step(index, voices[index], faces[index])
        losses.append(total)
        logs.append(figures)
    return losses, logs


def test_weights_and_soft_targets_begin_after_the_warm_up():
    losses, logs = trained(method(), 10 * STEPS)
    warm_up = 2 * STEPS
    assert all("mean_weight" not in log for log in logs[:warm_up])
    assert all(loss.item() == log["loss_instance"] for loss, log in zip(losses[:warm_up], logs[:warm_up], strict=True))
    assert all(0.25 < log["mean_weight"] < 1 for log in logs[warm_up:])
    assert method(warmup_share=0).warmup_epochs == 1


def test_the_total_is_the_formula():
    """Against a plain loop over samples and candidates, written from the equations."""
    robust = method(delta=-0.5)
    trained(robust, 2 * STEPS)
    robust.before_step(2 * STEPS)
    index = torch.randperm(VIDEOS, generator=torch.Generator().manual_seed(0))[:BATCH]
    a, f = unit(BATCH, DIM, seed=5).double(), unit(BATCH, DIM, seed=6).double()
    voices, faces = robust.voice_bank.vectors.double(), robust.face_bank.vectors.double()
    candidates = robust.candidates(index).tolist()
    own = [(voices[n] @ faces[n]).item() for n in range(VIDEOS)]
    mean = sum(own) / VIDEOS
    std = math.sqrt(sum((s - mean) ** 2 for s in own) / VIDEOS)
    weights = []
    for n in index:
        z = (own[n] - (mean - 0.5 * std)) / (math.sqrt(0.5) * std)
        weights.append(0.25 + 0.75 * 0.5 * math.erfc(-z / math.sqrt(2)))

    def direction(anchors, predicted, anchored):
        """`predicted`: the bank of the modality to find; `anchored`: the bank of the anchors' own modality."""
        losses = []
        for i in range(BATCH):
            p = [math.exp((anchors[i] @ predicted[c]).item() / 0.15) for c in candidates[i]]
            s = [math.exp((predicted[index[i]] @ anchored[c]).item() / 0.02 + own[c] / 0.07) for c in candidates[i]]
            target = [0.5 * (j == 0) + 0.5 * s[j] / sum(s) for j in range(len(s))]
            losses.append(-sum(t * math.log(q / sum(p)) for t, q in zip(target, p, strict=True)))
        return sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)

    expected = direction(a, faces, voices) + direction(f, voices, faces)
    total, logs = robust.loss(index, a, f)
    assert total.item() == pytest.approx(expected, rel=1e-5)
    assert logs["mean_weight"] == pytest.approx(sum(weights) / BATCH, rel=1e-5)


def test_without_weights_and_soft_targets_it_stays_plain_instance_discrimination():
    losses, logs = trained(method(least_weight=1, soft_share=0), 4 * STEPS)
    assert "mean_weight" in logs[-1]
    # After the warm-up too: held against the memories alone.
    for loss, log in zip(losses, logs, strict=True):
        assert loss.item() == pytest.approx(log["loss_instance"], rel=1e-6)


def test_agreement_follows_the_banks_without_a_pass_over_them():
    robust = method()
    trained(robust, 2 * STEPS)
    robust.after_step(torch.tensor([5, 7, 5]), unit(3, DIM, seed=7), unit(3, DIM, seed=8))
    torch.testing.assert_close(robust.agreement, (robust.voice_bank.vectors * robust.face_bank.vectors).sum(1))


def test_statistics_are_those_of_all_videos_and_kept_for_an_epoch():
    robust = method()
    trained(robust, 2 * STEPS)
    robust.before_step(2 * STEPS)
    mean, std = robust.mean, robust.std
    assert mean.item() == pytest.approx(robust.agreement.mean().item())
    assert std.item() == pytest.approx(robust.agreement.var(unbiased=False).sqrt().item())
    trained(robust, STEPS - 1, first=2 * STEPS + 1)
    assert robust.mean is mean
    robust.before_step(3 * STEPS)
    assert robust.mean is not mean


def test_pairs_that_do_not_agree_in_memory_weigh_less():
    voices = unit(VIDEOS, DIM, seed=1)
    faces = voices.clone()
    faces[:4] = unit(4, DIM, seed=3)
    robust = method()
    trained(robust, 2 * STEPS, voices=voices, faces=faces)
    robust.before_step(2 * STEPS)
    wrong = robust.loss(torch.arange(4), voices[:4], faces[:4])[1]["mean_weight"]
    right = robust.loss(torch.arange(4, 8), voices[4:8], faces[4:8])[1]["mean_weight"]
    assert wrong < 0.4 < right


def test_a_twin_among_the_negatives_is_no_mistake():
    """Two videos of one person, alike in both modalities: finding the twin costs less than finding a stranger."""
    everyone = unit(3, DIM, seed=1)[torch.tensor([0, 0, 1, 2])]
    shape = RunShape(4, DIM, 4, 1, 10, 0, torch.device("cpu"))
    robust = RobustXid(RobustXidConfig(warmup_share=0.1), shape)
    for step in range(8):
        robust.before_step(step)
        robust.loss(torch.arange(4), everyone, everyone)
        robust.after_step(torch.arange(4), everyone, everyone)
    candidates = torch.arange(4)[None]
    targets = robust._targets(robust.face_bank.vectors[:1], robust.voice_bank.vectors, candidates)[0]
    torch.testing.assert_close(targets[:2], torch.tensor([0.5, 0.5]), rtol=0, atol=0.05)
    assert targets[2:].max() < 0.01


@pytest.mark.parametrize("stop", [4, 2 * STEPS, 2 * STEPS + 1])
def test_a_resumed_run_is_the_same_run(stop):
    whole, stopped, resumed = method(), method(), method()
    expected, _ = trained(whole, 10)
    trained(stopped, stop)
    resumed.load_state_dict(stopped.state_dict())
    # What the stopped run does afterwards must not reach into the resumed one.
    trained(stopped, 2, first=stop)
    losses, _ = trained(resumed, 10 - stop, first=stop)
    assert torch.equal(torch.stack(losses), torch.stack(expected[stop:]))
    assert torch.equal(resumed.agreement, whole.agreement)
