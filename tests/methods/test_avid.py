"""AVID as a method: its draws, its banks, its objective."""

import math

import pytest
import torch
from torch.nn import functional

from lowshot.losses.instance import instance_contrast
from lowshot.methods.avid import Avid
from lowshot.methods.base import RunShape
from lowshot.settings import AvidConfig

VIDEOS, DIM, BATCH, STEPS = 48, 8, 16, 3


def unit(*shape, seed=0):
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def method(seed=0, videos=VIDEOS, **settings):
    shape = RunShape(videos, DIM, BATCH, STEPS, 10, seed, torch.device("cpu"))
    return Avid(AvidConfig(**{"negatives": 5, "warmup_share": 0.0, **settings}), shape)


def trained(avid, steps, first=0):
    """Walk through steps with fixed embeddings of every video."""
    voices, faces = unit(VIDEOS, DIM, seed=1), unit(VIDEOS, DIM, seed=2)
    losses = []
    for step in range(first, first + steps):
        index = torch.arange(BATCH) + BATCH * (step % STEPS)
        avid.before_step(step)
        losses.append(avid.loss(index, voices[index], faces[index])[0])
        avid.after_step(index, voices[index], faces[index])
    return losses


def test_the_total_is_the_formula():
    """Against a plain loop over samples and candidates, written from the equations."""
    avid = method()
    trained(avid, 4)
    avid.before_step(4)
    index = torch.randperm(VIDEOS, generator=torch.Generator().manual_seed(0))[:BATCH]
    a, f = unit(BATCH, DIM, seed=5).double(), unit(BATCH, DIM, seed=6).double()
    z, noise, candidates = math.exp(avid.partition.item()), 5, avid.candidates(index)

    def direction(anchors, bank):
        losses = []
        for i in range(BATCH):
            e = [math.exp((anchors[i] @ bank.vectors[c].double()).item() / 0.07) for c in candidates[i]]
            own = -math.log(e[0] / (e[0] + noise * z))
            losses.append(own - sum(math.log(noise * z / (x + noise * z)) for x in e[1:]))
        return sum(losses) / BATCH

    expected = (direction(a, avid.face_bank) + direction(f, avid.voice_bank)) / 2
    total, logs = avid.loss(index, a, f)
    assert total.item() == pytest.approx(expected, rel=1e-6)
    assert logs == {"loss_noise_contrast": total.item()}


def test_a_warm_up_within_the_batch_fills_the_banks():
    avid = method(warmup_share=0.2)
    losses = trained(avid, 2 * STEPS + 1)
    voices, faces = unit(VIDEOS, DIM, seed=1), unit(VIDEOS, DIM, seed=2)
    for step, loss in enumerate(losses[: 2 * STEPS]):
        rows = slice(BATCH * (step % STEPS), BATCH * (step % STEPS + 1))
        v2f, f2v = instance_contrast(voices[rows], faces[rows], 0.07)
        assert loss.item() == pytest.approx((v2f.mean() + f2v.mean()).item())
    assert avid.partition is not None and losses[-1].item() != pytest.approx(losses[0].item())
    # Two visits leave a quarter of the random start, before it is made a unit vector again.
    assert (avid.voice_bank.vectors * voices).sum(dim=1).mean() > 0.85


def test_a_voice_is_held_against_the_faces_in_memory():
    avid, index = method(), torch.arange(BATCH)
    voice, face = unit(BATCH, DIM, seed=5).requires_grad_(), unit(BATCH, DIM, seed=6).requires_grad_()
    avid.loss(index, voice, face)
    before = torch.autograd.grad(avid.loss(index, voice, face)[0], (voice, face))
    avid.voice_bank.vectors.copy_(unit(VIDEOS, DIM, seed=9))
    after = torch.autograd.grad(avid.loss(index, voice, face)[0], (voice, face))
    assert torch.equal(after[0], before[0])
    assert not torch.allclose(after[1], before[1])


def test_candidates_are_the_video_itself_and_others_all_equally_likely():
    avid = method(videos=7, negatives=6)
    index = torch.tensor([0, 3, 6])
    counts = torch.zeros(3, 7)
    for step in range(700):
        avid.before_step(step)
        candidates = avid.candidates(index)
        assert torch.equal(candidates[:, 0], index)
        counts += torch.stack([torch.bincount(row, minlength=7) for row in candidates[:, 1:]])
    assert counts.gather(1, index[:, None]).eq(0).all()
    others = counts[counts > 0].reshape(3, 6)
    # 700 draws expected of each; five standard deviations of a binomial count of 4200 draws are 121.
    assert (others - 700).abs().max() < 121


def test_candidates_depend_on_seed_and_step_alone():
    index = torch.arange(BATCH)

    def drawn(seed, step):
        avid = method(seed)
        avid.before_step(step)
        return avid.candidates(index)

    assert torch.equal(drawn(0, 7), drawn(0, 7))
    assert not torch.equal(drawn(0, 7), drawn(0, 8))
    assert not torch.equal(drawn(0, 7), drawn(1, 7))
    torch.manual_seed(5)
    assert torch.equal(drawn(0, 7), drawn(0, 7))


def test_negatives_are_capped_by_the_other_videos():
    assert method(negatives=1024).negatives == VIDEOS - 1
    assert method(videos=2, negatives=1024).candidates(torch.tensor([1])).tolist() == [[1, 0]]


def test_banks_start_from_unit_vectors_of_the_seed_and_blend_the_first_embedding():
    avid, voice, face = method(), unit(1, DIM, seed=5), unit(1, DIM, seed=6)
    start = avid.voice_bank.vectors[3].clone()
    torch.testing.assert_close(avid.voice_bank.vectors.norm(dim=1), torch.ones(VIDEOS))
    assert torch.equal(method().voice_bank.vectors, avid.voice_bank.vectors)
    assert not torch.allclose(method(seed=1).voice_bank.vectors, avid.voice_bank.vectors)
    assert not torch.allclose(avid.face_bank.vectors, avid.voice_bank.vectors)
    avid.after_step(torch.tensor([3]), voice, face)
    torch.testing.assert_close(avid.voice_bank.vectors[3], functional.normalize(start + voice[0], dim=0))


def test_the_partition_is_taken_once_from_the_first_batch():
    avid, index = method(temperature=0.5), torch.arange(BATCH)
    voice, face = unit(BATCH, DIM, seed=5), unit(BATCH, DIM, seed=6)
    avid.before_step(0)
    avid.loss(index, voice, face)
    rest = avid.candidates(index)[:, 1:]
    e = [
        math.exp((anchors[i] @ bank.vectors[c]).item() / 0.5)
        for anchors, bank in ((voice, avid.face_bank), (face, avid.voice_bank))
        for i in range(BATCH)
        for c in rest[i]
    ]
    first = avid.partition
    assert first.item() == pytest.approx(math.log(sum(e) / len(e)), rel=1e-5)
    trained(avid, 4, first=1)
    assert avid.partition is first


def test_a_resumed_run_is_the_same_run():
    whole, stopped, resumed = method(), method(), method()
    expected = trained(whole, 7)
    trained(stopped, 4)
    resumed.load_state_dict(stopped.state_dict())
    index = torch.arange(BATCH)
    assert torch.equal(resumed.candidates(index), stopped.candidates(index))
    assert torch.equal(torch.stack(trained(resumed, 3, first=4)), torch.stack(expected[4:]))
    assert torch.equal(resumed.face_bank.vectors, whole.face_bank.vectors)


def test_state_before_the_first_step_round_trips():
    avid, again = method(), method(seed=1)
    again.load_state_dict(avid.state_dict())
    assert again.partition is None
    assert torch.equal(again.voice_bank.vectors, avid.voice_bank.vectors)
