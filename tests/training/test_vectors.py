"""Pretraining and adapting on vectors: what media are promised holds for them too."""

import os
import shutil
import signal

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_tensors

from lowshot.adapt.run import adapt
from lowshot.config import build_config
from lowshot.data.dataset import Dataset
from lowshot.data.readers.features import FeatureReader
from lowshot.errors import RequestError, RunError
from lowshot.methods.registry import BUILDERS
from lowshot.models.loaded import load_model, model_from_scratch
from lowshot.schema import FEATURES, MODEL
from lowshot.settings import METHODS
from lowshot.training.loop import Pretraining, pretrain


@pytest.fixture
def source(vectors):
    return FeatureReader(Dataset.open(vectors))


def same_weights(a, b):
    left, right = load_tensors(a / MODEL), load_tensors(b / MODEL)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, settings in METHODS.items() if settings in BUILDERS])
def test_every_method_resumes_to_the_last_byte(vector_config, source, tmp_path, monkeypatch, name):
    config = vector_config.with_method(name)
    whole = pretrain(config, source, tmp_path / "whole")
    plain = Pretraining._train_step

    def stopping(self, *args):
        plain(self, *args)
        if self.step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Pretraining, "_train_step", stopping)
        with pytest.raises(RunError, match="stopped at step 7"):
            pretrain(config, source, tmp_path / "resumed")
    resumed = pretrain(config, source, tmp_path / "resumed")
    for file in (MODEL, "metrics.csv"):
        assert (whole / file).read_bytes() == (resumed / file).read_bytes()


@pytest.mark.slow
def test_the_seed_decides_the_weights(vector_config, source, tmp_path):
    first, again, other = (
        pretrain(vector_config.model_copy(update={"seed": seed}), source, tmp_path / name)
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert same_weights(first, again)
    assert not same_weights(first, other)


@pytest.mark.slow
def test_rows_of_other_splits_leave_no_trace_in_the_weights(vector_config, vectors, source, tmp_path):
    run = pretrain(vector_config, source, tmp_path / "run")
    changed = shutil.copytree(vectors, tmp_path / "changed")
    tensors = load_file(changed / FEATURES)
    rows = (source.dataset.voices["split"] != "train").to_numpy()
    for tensor in tensors.values():
        tensor[rows] = 50 - 2 * tensor[rows]
    save_file(tensors, changed / FEATURES)
    other = pretrain(vector_config, FeatureReader(Dataset.open(changed)), tmp_path / "other")
    assert same_weights(run, other)
    weights = load_tensors(run / MODEL)
    trained = np.asarray(source.dataset.features["face"])[~rows]
    np.testing.assert_allclose(weights["face.mean"], trained.mean(0), rtol=1e-5)
    np.testing.assert_allclose(weights["face.scale"], 1 / trained.std(0), rtol=1e-5)


def test_a_model_keeps_its_standardisation_on_other_data(vector_config, vectors, source, tmp_path):
    run = pretrain(vector_config, source, tmp_path / "run")
    other = shutil.copytree(vectors, tmp_path / "other")
    save_file({name: 3 * tensor for name, tensor in load_file(other / FEATURES).items()}, other / FEATURES)
    foreign = FeatureReader(Dataset.open(other))
    adapted, _ = adapt(load_model(run), "finetune", 0.3, 0, foreign, vector_config, tmp_path / "adapted")
    for name in ("voice.mean", "voice.scale", "face.mean", "face.scale"):
        assert torch.equal(load_tensors(adapted / MODEL)[name], load_tensors(run / MODEL)[name])


@pytest.mark.parametrize("adaptation", ["probe", "finetune"])
def test_adapting_on_vectors_gives_the_same_bytes_twice(vector_config, source, tmp_path, adaptation):
    start = model_from_scratch(vector_config, source.statistics)
    runs = [adapt(start, adaptation, 0.3, 0, source, vector_config, tmp_path / name)[0] for name in "ab"]
    assert (runs[0] / MODEL).read_bytes() == (runs[1] / MODEL).read_bytes()


@pytest.mark.parametrize("strategy", ["head", "last-stage", "lp-ft"])
@pytest.mark.parametrize("objective", ["margin-classifier", "semi-supervised"])
def test_strategies_and_objectives_take_vectors(vector_config, source, tmp_path, strategy, objective):
    adapted = {"adapt": {"strategy": strategy, "objective": objective, "steps": 2, "checks": 1}}
    config = build_config([vector_config.model_dump(mode="json"), adapted])
    run, chosen = adapt(
        model_from_scratch(config, source.statistics), "finetune", 0.5, 0, source, config, tmp_path / "adapted"
    )
    assert (run / MODEL).is_file() and 0 <= chosen.val_auc <= 1


def test_towers_of_media_are_refused_before_anything_is_written(config, source, tmp_path):
    with pytest.raises(RequestError, match="towers compact take voice and face files"):
        pretrain(config, source, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_empty_training_split_is_refused(vector_config, vectors, tmp_path):
    copy = shutil.copytree(vectors, tmp_path / "copy")
    text = (copy / "manifest.csv").read_text()
    (copy / "manifest.csv").write_text(text.replace(",train,", ",,"))
    with pytest.raises(RequestError, match="no video of split 'train' has both a voice and a face"):
        pretrain(vector_config, FeatureReader(Dataset.open(copy)), tmp_path / "run")
