"""A closed form leaves the run that a loop would leave."""

import json

import pandas as pd
import pytest

from lowshot.data.dataset import Dataset
from lowshot.data.readers.features import FeatureReader
from lowshot.errors import RequestError
from lowshot.models.loaded import load_model
from lowshot.progress import Event
from lowshot.runs import is_finished, read_config
from lowshot.training.loop import pretrain


@pytest.fixture
def cca(vector_config):
    return vector_config.with_method("cca")


@pytest.fixture
def source(vectors):
    return FeatureReader(Dataset.open(vectors))


def test_it_writes_a_finished_run_of_linear_towers(cca, source, tmp_path):
    told: list[Event] = []
    run = pretrain(cca, source, tmp_path / "run", report=told.append)
    assert is_finished(run)
    assert read_config(run).model.mlp.layers == 0
    known = json.loads((run / "provenance.json").read_text())
    log = pd.read_csv(run / "metrics.csv")
    assert known["judge"] == "held-out clusters"
    assert (known["ridge"], known["power"]) == (log["ridge"][0], log["power"][0])
    assert log["held_out_auc"].between(0, 1).all()
    assert any("held-out clusters, cross-fitted" in event.text for event in told)
    assert load_model(str(run)).metadata["method"] == "cca"
    trained = pd.read_csv(run / "trained.csv")
    assert len(trained) == 56


def test_the_same_request_gives_the_same_bytes(cca, source, tmp_path):
    one, other = (pretrain(cca, source, tmp_path / name) for name in ("one", "other"))
    for file in ("model.safetensors", "metrics.csv", "trained.csv"):
        assert (one / file).read_bytes() == (other / file).read_bytes()


def test_settings_without_a_meaning_are_refused(cca, source, tmp_path):
    by_labels = cca.model_copy(update={"train": cca.train.model_copy(update={"select": "labels"})})
    with pytest.raises(RequestError, match="chooses its strength on held-out clusters"):
        pretrain(by_labels, source, tmp_path / "run")
    with pytest.raises(RequestError, match="has no checkpoint"):
        pretrain(cca, source, tmp_path / "run", resume=str(tmp_path))
    assert not (tmp_path / "run").exists()


def test_media_are_refused_before_anything_is_written(config, reader, tmp_path):
    with pytest.raises(RequestError, match="method cca: takes vectors"):
        pretrain(config.with_method("cca"), reader, tmp_path / "run")
    assert not (tmp_path / "run").exists()
