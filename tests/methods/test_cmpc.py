"""CMPC as a method: what each step's loss is made of, and from when."""

import pytest
import torch
from torch.nn import functional

from lowshot.methods.base import RunShape
from lowshot.methods.cid import Cid
from lowshot.methods.cmpc import Cmpc
from lowshot.settings import CidConfig, CmpcConfig

VIDEOS, DIM, STEPS = 48, 8, 3


def unit(*shape, seed=0):
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def run_shape(videos=VIDEOS, epochs=10, seed=0):
    return RunShape(videos, DIM, 16, STEPS, epochs, seed, torch.device("cpu"))


def method(seed=0, **settings):
    config = CmpcConfig(**{"videos_per_cluster": (12.0, 6.0), "warmup_share": 0.2, **settings})
    return Cmpc(config, run_shape(seed=seed))


def trained(cmpc, steps, voices=None, faces=None):
    """Walk through steps with fixed embeddings of every video."""
    voices = unit(VIDEOS, DIM, seed=1) if voices is None else voices
    faces = unit(VIDEOS, DIM, seed=2) if faces is None else faces
    logs = []
    for step in range(steps):
        index = torch.arange(16) + 16 * (step % STEPS)
        cmpc.before_step(step)
        logs.append(cmpc.loss(index, voices[index], faces[index])[1])
        cmpc.after_step(index, voices[index], faces[index])
    return logs


def test_row_1_prototypes_act_in_every_step_after_the_warm_up():
    logs = trained(method(), 10 * STEPS)
    warm_up = 2 * STEPS
    assert all("loss_prototype" not in log for log in logs[:warm_up])
    assert all(log["loss_prototype"] > 0 for log in logs[warm_up:])
    # The released loop drops its clusters at the top of every iteration: they act only where k-means has just run.
    cmpc = method()
    clustered = [step for step in range(10 * STEPS) if cmpc.clusters_at(step)]
    assert clustered == [6, 12, 18, 24]
    assert len(clustered) < len(logs) - warm_up


def test_clusters_are_kept_until_the_next_clustering():
    cmpc = method()
    trained(cmpc, 2 * STEPS)
    cmpc.before_step(2 * STEPS)
    kept = cmpc.face_clusters
    for step in range(2 * STEPS + 1, 4 * STEPS):
        cmpc.before_step(step)
        assert cmpc.face_clusters is kept
    cmpc.before_step(4 * STEPS)
    assert cmpc.face_clusters is not kept


def test_during_the_warm_up_cmpc_is_cid():
    voice, face, index = unit(16, DIM, seed=3), unit(16, DIM, seed=4), torch.arange(16)
    ours, _ = method().loss(index, voice, face)
    theirs, _ = Cid(CidConfig(), run_shape()).loss(index, voice, face)
    assert torch.equal(ours, theirs)


def test_without_prototypes_and_recalibration_cmpc_stays_cid():
    voice, face, index = unit(16, DIM, seed=3), unit(16, DIM, seed=4), torch.arange(16)
    cmpc = method(prototype_weight=0, recalibration="none")
    trained(cmpc, 3 * STEPS)
    assert cmpc.voice_clusters is not None
    torch.testing.assert_close(
        cmpc.loss(index, voice, face)[0], Cid(CidConfig(), run_shape()).loss(index, voice, face)[0]
    )


def test_the_total_is_the_formula():
    """Against a plain loop over samples and granularities, written from the equations."""
    cmpc = method()
    trained(cmpc, 2 * STEPS)
    cmpc.before_step(2 * STEPS)
    index = torch.randperm(VIDEOS, generator=torch.Generator().manual_seed(0))[:16]
    a, f = unit(16, DIM, seed=5).double(), unit(16, DIM, seed=6).double()
    voices, faces = cmpc.voice_clusters, cmpc.face_clusters

    def prototype_loss(z, other, i):
        losses = []
        for c, phi, s in zip(other.prototypes, other.concentration, other.assignments, strict=True):
            logits = torch.stack([z @ c[k].double() / phi[k].double() for k in range(len(c))])
            losses.append(torch.logsumexp(logits, 0) - logits[s[index[i]]])
        return sum(losses) / len(losses)

    rho = []
    for i in range(16):
        pairs = zip(voices.prototypes, voices.assignments, faces.prototypes, faces.assignments, strict=True)
        baseline = [cv[sv[index[i]]].double() @ cf[sf[index[i]]].double() for cv, sv, cf, sf in pairs]
        rho.append(a[i] @ f[i] - sum(baseline) / len(baseline))
    rho = torch.stack(rho)
    sd = rho.std(unbiased=False)  # type: ignore[attr-defined]
    w = torch.distributions.Normal(rho.mean() - sd, (0.1**0.5) * sd).cdf(rho)  # type: ignore[attr-defined]
    v2f = [
        torch.logsumexp(a[i] @ f.T / 0.03, 0) - a[i] @ f[i] / 0.03 + prototype_loss(a[i], faces, i) for i in range(16)
    ]
    f2v = [
        torch.logsumexp(f[i] @ a.T / 0.03, 0) - a[i] @ f[i] / 0.03 + prototype_loss(f[i], voices, i) for i in range(16)
    ]
    expected = (w * torch.stack(v2f)).sum() / w.sum() + (w * torch.stack(f2v)).sum() / w.sum()
    total, logs = cmpc.loss(index, a, f)
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    assert logs["mean_weight"] == pytest.approx(w.mean().item(), rel=1e-5)


def test_a_voice_is_held_against_the_prototypes_of_faces():
    """Moving the voice clusters alone leaves the voice-to-face half as it is."""
    cmpc = method(recalibration="none")
    trained(cmpc, 2 * STEPS)
    cmpc.before_step(2 * STEPS)
    voice = unit(16, DIM, seed=5).requires_grad_()
    face = unit(16, DIM, seed=6)
    index = torch.arange(16)
    before = torch.autograd.grad(cmpc.loss(index, voice, face)[0], voice)[0]
    cmpc.voice_clusters.prototypes[0] = unit(*cmpc.voice_clusters.prototypes[0].shape, seed=9)
    torch.testing.assert_close(torch.autograd.grad(cmpc.loss(index, voice, face)[0], voice)[0], before)
    cmpc.face_clusters.prototypes[0] = unit(*cmpc.face_clusters.prototypes[0].shape, seed=9)
    assert not torch.allclose(torch.autograd.grad(cmpc.loss(index, voice, face)[0], voice)[0], before)


def test_weights_by_cluster_neighbours_find_a_pair_whose_voice_is_another_persons():
    people = unit(8, DIM, seed=20)
    identity = torch.arange(VIDEOS) // 6
    speaker = identity.clone()
    odd = [5, 20]
    speaker[odd] = (identity[odd] + 3) % 8
    voices = functional.normalize(people[speaker] + 0.3 * unit(VIDEOS, DIM, seed=21), dim=1)
    faces = functional.normalize(people[identity] + 0.3 * unit(VIDEOS, DIM, seed=22), dim=1)
    cmpc = method(recalibration="cluster-neighbours", videos_per_cluster=(6.0,))
    trained(cmpc, 2 * STEPS, voices, faces)
    assert torch.equal(cmpc.pair_weights, torch.ones(VIDEOS))
    cmpc.before_step(2 * STEPS)
    assert cmpc.pair_weights[odd].max() < 0.1
    assert cmpc.pair_weights.median() > 0.5
    index = torch.tensor([5, 6, 20, 21])
    _, logs = cmpc.loss(index, voices[index], faces[index])
    assert logs["mean_weight"] == pytest.approx(cmpc.pair_weights[index].mean().item())


@pytest.mark.parametrize("recalibration", ["paper", "cluster-neighbours"])
def test_state_round_trip_gives_the_same_loss(recalibration):
    cmpc, again = method(recalibration=recalibration), method(recalibration=recalibration)
    trained(cmpc, 2 * STEPS + 1)
    again.load_state_dict(cmpc.state_dict())
    voice, face, index = unit(16, DIM, seed=3), unit(16, DIM, seed=4), torch.arange(16)
    assert torch.equal(cmpc.loss(index, voice, face)[0], again.loss(index, voice, face)[0])
    assert torch.equal(cmpc.voice_bank.vectors, again.voice_bank.vectors)


def test_videos_never_seen_have_no_prototype_loss_and_do_no_harm():
    cmpc = method()
    for step in range(2 * STEPS):
        index = torch.arange(16)
        cmpc.before_step(step)
        cmpc.after_step(index, unit(16, DIM, seed=1), unit(16, DIM, seed=2))
    cmpc.before_step(2 * STEPS)
    total, logs = cmpc.loss(torch.arange(20, 36), unit(16, DIM, seed=3), unit(16, DIM, seed=4))
    assert logs["loss_prototype"] == 0
    assert torch.isfinite(total)


def test_granularities_scale_with_the_number_of_videos():
    config = CmpcConfig()
    cmpc = Cmpc(config, run_shape(videos=18_057, epochs=177))
    assert cmpc.granularities == pytest.approx([500, 1000, 1500], abs=6)
    assert cmpc.warmup_epochs == 16


@pytest.mark.parametrize(
    "ablation",
    [
        {"prototype_weight": 0.0},
        {"recalibration": "none"},
        {"recalibration": "cluster-neighbours"},
        {"videos_per_cluster": (12.0,)},
        {"prototype_negatives": "batch"},
    ],
)
def test_each_ablation_changes_the_loss_once_there_are_clusters(ablation):
    whole, ablated = method(), method(**ablation)
    losses = []
    for cmpc in (whole, ablated):
        trained(cmpc, 2 * STEPS)
        cmpc.before_step(2 * STEPS)
        losses.append(cmpc.loss(torch.arange(16), unit(16, DIM, seed=3), unit(16, DIM, seed=4))[0])
    assert not torch.isclose(*losses)
