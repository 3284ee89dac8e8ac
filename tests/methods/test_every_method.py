"""What every method promises to the loop."""

import copy
import math
import os
import signal

import pytest
import torch
from torch.nn import functional

from lowshot.errors import RunError
from lowshot.methods.base import RunShape
from lowshot.methods.registry import BUILDERS, build_method
from lowshot.schema import CHECKPOINT, METRICS, MODEL, STEP_COLUMNS
from lowshot.settings import METHODS
from lowshot.training.checkpoint import load_checkpoint
from lowshot.training.loop import Pretraining, pretrain

PROTOTYPES = {"loss_instance", "loss_prototype", "mean_weight"}
FIGURES = {
    "cmpc": PROTOTYPES,
    "cid": {"loss_instance"},
    "avid": {"loss_instance", "loss_noise_contrast"},
    "robust-xid": {"loss_instance", "mean_weight"},
    "cmpc-released": PROTOTYPES,
    "self-lifting": {"loss_instance", "loss_multi_similarity"},
    "pins": {"hardness"},
    "barlow": {"loss_invariance", "loss_redundancy"},
    "siglip": {"scale", "bias"},
}
# Closed forms take no steps.
STEPWISE = [name for name, settings in METHODS.items() if settings in BUILDERS]
VIDEOS, BATCH, DIM, EPOCHS = 64, 32, 16, 30


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPWISE)
def test_a_resumed_run_is_the_same_to_the_last_byte(config, reader, tmp_path, monkeypatch, name):
    config = config.with_method(name)
    whole = pretrain(config, reader, tmp_path / "whole")
    plain = Pretraining._train_step

    def stopping(self, *args):
        plain(self, *args)
        if self.step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Pretraining, "_train_step", stopping)
        with pytest.raises(RunError, match="stopped at step 7"):
            pretrain(config, reader, tmp_path / "resumed")
    resumed = pretrain(config, reader, tmp_path / "resumed")
    for file in (MODEL, METRICS):
        assert (whole / file).read_bytes() == (resumed / file).read_bytes()
    assert _figures(whole / METRICS) == FIGURES[name]
    left, right = (load_checkpoint(run / CHECKPOINT)["method"] for run in (whole, resumed))
    assert _same(left, right)


def _figures(log):
    columns = log.read_text().splitlines()[0].split(",")
    return set(columns) - set(STEP_COLUMNS)


def _same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return a == b


@pytest.mark.parametrize("name", STEPWISE)
def test_training_draws_the_two_halves_of_a_video_together(name):
    """Free embeddings instead of towers: what is left is the objective, its signs included."""
    shape = RunShape(VIDEOS, DIM, BATCH, VIDEOS // BATCH, EPOCHS, 0, torch.device("cpu"))
    method = build_method(METHODS[name](), shape)  # type: ignore[call-arg]
    draw = torch.Generator().manual_seed(0)
    voice, face = (torch.randn(VIDEOS, DIM, generator=draw).requires_grad_() for _ in range(2))
    optimizer = torch.optim.Adam([voice, face, *method.parameters()], lr=0.05)
    before = separation(voice, face)
    for step in range(shape.steps):
        order = torch.randperm(VIDEOS, generator=torch.Generator().manual_seed(step // shape.steps_per_epoch))
        index = order[BATCH * (step % shape.steps_per_epoch) :][:BATCH]
        method.before_step(step)
        a, f = functional.normalize(voice[index], dim=1), functional.normalize(face[index], dim=1)
        loss, figures = method.loss(index, a, f)
        assert loss.ndim == 0
        assert math.isfinite(loss.item())
        assert all(math.isfinite(value) for value in figures.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step(index, a.detach(), f.detach())
    assert abs(before) < 0.1
    assert separation(voice, face) > 0.2


@pytest.mark.parametrize("name", STEPWISE)
def test_what_clustering_sets_is_in_the_state(name):
    """Of several processes one clusters, and the others take over its state."""
    shape = RunShape(VIDEOS, DIM, BATCH, VIDEOS // BATCH, EPOCHS, 0, torch.device("cpu"))
    ours, theirs = (build_method(METHODS[name](), shape) for _ in range(2))  # type: ignore[call-arg]
    draw = torch.Generator().manual_seed(1)
    compared = 0
    for step in range(shape.steps):
        index = torch.randperm(VIDEOS, generator=draw)[:BATCH]
        voice, face = (functional.normalize(torch.randn(BATCH, DIM, generator=draw), dim=1) for _ in range(2))
        ours.before_step(step)
        if ours.clusters_at(step):
            theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
            compared += 1
        else:
            theirs.before_step(step)
        losses = [method.loss(index, voice, face)[0] for method in (ours, theirs)]
        assert torch.equal(*losses)
        for method in (ours, theirs):
            method.after_step(index, voice, face)
    assert (compared > 0) == (name in {"cmpc", "cmpc-released", "self-lifting"})


def separation(voice, face):
    """Mean cosine of the pairs, minus that of all others."""
    cosine = functional.normalize(voice, dim=1) @ functional.normalize(face, dim=1).T
    own = cosine.diagonal().mean()
    return (own - (cosine.sum() - cosine.trace()) / (VIDEOS * (VIDEOS - 1))).item()
