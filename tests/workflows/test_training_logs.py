"""The training log that an evaluation keeps is that of its model's own pretraining, or none."""

import shutil
from dataclasses import replace

import pytest

from lowshot.adapt.run import adapt
from lowshot.models.loaded import load_model
from lowshot.schema import MODEL
from lowshot.training.loop import pretrain
from lowshot.workflows.training_logs import keep_training_log

KEPT = "pretrain-cmpc-seed0"
LOG, CLUSTERS = "metrics.csv", "clusters.csv"


@pytest.fixture(scope="module")
def runs(config, reader, tmp_path_factory):
    """A pretraining and an adaptation of it beside each other, under names that a person gives."""
    folder = tmp_path_factory.mktemp("runs")
    run = pretrain(config, reader, folder / "my run.v1")
    adapt(load_model(run), "probe", 0.5, 0, reader, config, folder / "tuned")
    return folder


@pytest.fixture
def copied(runs, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(runs, tmp_path / "runs")


def kept(source, directory):
    """What is kept of the log of a model, and what is said."""
    directory.mkdir(exist_ok=True)
    told = keep_training_log(None if source is None else load_model(source), directory)
    return {path.name: path.read_bytes() for path in directory.glob(f"{KEPT}/*")}, told


def logs(run):
    return {name: (run / name).read_bytes() for name in (LOG, CLUSTERS)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["my run.v1", "tuned", f"my run.v1/{MODEL}", f"tuned/{MODEL}"])
def test_it_is_that_of_the_run_or_of_the_run_that_it_started_from(runs, tmp_path, monkeypatch, name):
    expected = logs(runs / "my run.v1")
    assert kept(runs / name, tmp_path / "out") == (expected, "")
    # As a person types it who stands in the directory.
    monkeypatch.chdir((runs / name) if (runs / name).is_dir() else (runs / name).parent)
    assert kept(".", tmp_path / "again") == (expected, "")


@pytest.mark.slow
def test_another_run_of_the_same_name_is_not_taken_for_it(config, reader, copied, tmp_path):
    shutil.rmtree(copied / "my run.v1")
    pretrain(config.model_copy(update={"seed": 5}), reader, copied / "my run.v1")
    assert kept(copied / "tuned", tmp_path / "out") == ({}, "")


def test_what_lay_there_of_another_model_goes(runs, copied, tmp_path):
    out = tmp_path / "out"
    assert kept(runs / "tuned", out)[0].keys() == {LOG, CLUSTERS}
    (copied / "my run.v1" / CLUSTERS).unlink()
    assert kept(copied / "my run.v1", out)[0].keys() == {LOG}
    shutil.copy(runs / "tuned" / MODEL, tmp_path / "bare.safetensors")
    assert kept(tmp_path / "bare.safetensors", out) == ({}, "")
    assert kept(runs / "tuned", out)[0]
    assert kept(None, out) == ({}, "")


@pytest.mark.parametrize("name", [LOG, CLUSTERS])
def test_a_log_that_cannot_be_read_is_left_out_with_the_reason(copied, tmp_path, name):
    path = copied / "my run.v1" / name
    path.write_text(path.read_text().replace(",", ";"))
    files, told = kept(copied / "my run.v1", tmp_path / "out")
    assert files == {}
    assert told.startswith("the training log of my run.v1 is skipped: ") and str(path) in told and "missing" in told


def test_names_in_the_weights_never_lead_elsewhere(copied, tmp_path):
    model = load_model(copied / "tuned")
    (tmp_path / "out").mkdir()
    for facts in ({"init": "../runs/my run.v1"}, {"init": ".."}, {"method": "../cmpc"}):
        assert keep_training_log(replace(model, metadata={**model.metadata, **facts}), tmp_path / "out") == ""
        assert not list((tmp_path / "out").iterdir())
