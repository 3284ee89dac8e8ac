"""A judge decides which weights are the result; what it looks at is never trained on."""

import json
import os
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from lowshot.data.dataset import Dataset
from lowshot.data.readers.features import FeatureReader
from lowshot.errors import RequestError, RunError
from lowshot.schema import CHECKPOINT, LAST_MODEL, METRICS, MODEL
from lowshot.settings import TrainConfig
from lowshot.training.checkpoint import load_checkpoint
from lowshot.training.loop import Pretraining, pretrain


@pytest.fixture
def source(vectors):
    return FeatureReader(Dataset.open(vectors))


def judged(config, select, **train):
    settings = config.train.model_dump() | {"select": select, **train}
    return config.model_copy(update={"train": TrainConfig.model_validate(settings)})


@pytest.mark.parametrize("select", ["held-out-clusters", "labels"])
def test_the_best_look_is_the_result_and_the_last_stays_beside_it(vector_config, source, tmp_path, select):
    run = pretrain(judged(vector_config, select), source, tmp_path / "run")
    log = pd.read_csv(run / METRICS).dropna(subset="judge_auc")
    known = json.loads((run / "provenance.json").read_text())
    kept = log[log["step"] == known["chosen"]["step"] - 1].iloc[0]
    assert known["chosen"]["auc"] == kept["judge_auc"]
    # Nothing before it is better, and nothing after it by more than the error; labels are compared as they are.
    before, after = log[log["step"] < kept["step"]], log[log["step"] > kept["step"]]
    assert (before["judge_auc"] < kept["judge_auc"]).all()
    slack = 0 if "judge_error" not in log else 2 * log["judge_error"].max()
    assert (after["judge_auc"] <= kept["judge_auc"] + slack).all()
    assert len(log) == known["chosen"]["looked"]
    chosen, last = (load_file(run / name) for name in (MODEL, LAST_MODEL))
    equal = all(torch.equal(chosen[name], last[name]) for name in chosen)
    assert equal == (known["chosen"]["step"] == known["steps"])


@pytest.mark.slow
def test_held_out_videos_are_never_trained_on_but_count_as_seen(vector_config, source, tmp_path):
    job = Pretraining(judged(vector_config, "held-out-clusters"), source, torch.device("cpu"))
    learned = set(job.batches.videos.names)
    assert 0 < len(job.videos) - len(learned) < 0.4 * len(job.videos)
    run = pretrain(judged(vector_config, "held-out-clusters"), source, tmp_path / "run")
    assert len(pd.read_csv(run / "trained.csv")) == len(job.videos)
    assert json.loads((run / "provenance.json").read_text())["training_videos"] == len(learned)


def test_the_closed_form_is_judged_beside_it(vector_config, source, tmp_path):
    told = []
    run = pretrain(judged(vector_config, "held-out-clusters"), source, tmp_path / "run", report=told.append)
    chosen = json.loads((run / "provenance.json").read_text())["chosen"]
    assert 0.5 < chosen["cca_auc"] <= 1
    last = told[-1].text
    assert f"epoch {chosen['epoch']} is kept" in last
    assert "cca, the closed form" in last
    assert ("is better here" not in last) or chosen["cca_auc"] > chosen["auc"]


@pytest.mark.slow
def test_no_label_reaches_the_judge(vector_config, source, tmp_path, vectors):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "features.safetensors").write_bytes((vectors / "features.safetensors").read_bytes())
    table = pd.read_csv(vectors / "manifest.csv", dtype=str, keep_default_na=False)
    table.loc[table["split"] == "train", "identity"] = ""
    table.to_csv(hidden / "manifest.csv", index=False)
    runs = [
        pretrain(judged(vector_config, "held-out-clusters"), reader, tmp_path / name)
        for name, reader in (("with", source), ("without", FeatureReader(Dataset.open(hidden))))
    ]
    one, other = (load_file(run / MODEL) for run in runs)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("select", ["held-out-clusters", "labels"])
@pytest.mark.parametrize("name", ["cid", "cmpc"])
def test_a_stopped_run_ends_in_the_same_bytes(vector_config, source, tmp_path, monkeypatch, select, name):
    config = judged(vector_config.with_method(name), select, epochs=12)
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
    for file in (MODEL, LAST_MODEL, METRICS):
        assert (whole / file).read_bytes() == (resumed / file).read_bytes()
    known = [json.loads((run / "provenance.json").read_text())["chosen"] for run in (whole, resumed)]
    assert known[0] == known[1]


@pytest.mark.slow
def test_training_ends_when_it_cannot_win_any_more(vector_config, source, tmp_path, monkeypatch):
    values = iter(np.r_[0.5, 0.9, np.linspace(0.8, 0.6, 98)])
    monkeypatch.setattr("lowshot.training.selection.validation_auc", lambda *args: float(next(values)))
    run = pretrain(judged(vector_config, "labels", epochs=60), source, tmp_path / "run")
    known = json.loads((run / "provenance.json").read_text())
    assert known["chosen"]["epoch"] == 2
    assert known["chosen"]["looked"] == 2 * 2 + 12
    assert known["finished"]


def test_a_judge_that_the_data_do_not_serve_is_refused(config, reader, vector_config, source, tmp_path, vectors):
    with pytest.raises(RequestError, match="held-out-clusters: needs vectors"):
        pretrain(judged(config, "held-out-clusters"), reader, tmp_path / "a")
    few = tmp_path / "few"
    few.mkdir()
    (few / "features.safetensors").write_bytes((vectors / "features.safetensors").read_bytes())
    table = pd.read_csv(vectors / "manifest.csv", dtype=str, keep_default_na=False)
    names = [f"video{number}" for number in range(6)]
    table["split"] = np.where(table["video"].isin(names), "train", "")
    table.to_csv(few / "manifest.csv", index=False)
    small = FeatureReader(Dataset.open(few))
    with pytest.raises(RequestError, match="6 training videos are too few to hold clusters out"):
        pretrain(judged(vector_config, "held-out-clusters"), small, tmp_path / "b")
    with pytest.raises(RequestError, match="needs a split 'val'"):
        pretrain(judged(vector_config, "labels"), small, tmp_path / "c")
    # People of one video each: no pair of different videos is of one person.
    first = ~table.duplicated(["modality", "identity"])
    table["split"] = np.where(
        table["video"].isin(names), "train", np.where(first & (table["identity"] > "person5"), "val", "")
    )
    table.to_csv(few / "manifest.csv", index=False)
    with pytest.raises(RequestError, match="one of them with two videos"):
        pretrain(judged(vector_config, "labels"), FeatureReader(Dataset.open(few)), tmp_path / "d")


def test_the_last_step_is_the_result_unless_a_judge_is_asked(vector_config, source, tmp_path):
    run = pretrain(vector_config, source, tmp_path / "run")
    assert not (run / LAST_MODEL).exists()
    assert load_checkpoint(run / CHECKPOINT)["selection"] is None


def test_towers_smaller_than_the_closed_forms_rank_are_judged_beside_it(vector_config, source, tmp_path):
    small = vector_config.model_copy(update={"model": vector_config.model.model_copy(update={"dim": 4})})
    run = pretrain(judged(small, "held-out-clusters"), source, tmp_path / "run")
    assert json.loads((run / "provenance.json").read_text())["finished"]
