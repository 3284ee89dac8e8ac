"""Nobody whom a model learned from is measured as unseen, whatever became of the data since."""

import shutil

import pandas as pd
import pytest

from lowshot.schema import TRAINED

pytestmark = pytest.mark.slow

SWAP = {"train": "test", "test": "train"}


@pytest.fixture
def data(vectors, tmp_path):
    """Vectors that may be changed."""
    return shutil.copytree(vectors, tmp_path / "data")


@pytest.fixture
def settings(vector_config, tmp_path):
    path = tmp_path / "micro.yaml"
    path.write_text(vector_config.to_yaml())
    return ("--config", path)


def change(data, **columns):
    """Put columns of a manifest through functions of the whole table."""
    table = pd.read_csv(data / "manifest.csv", dtype=str, keep_default_na=False)
    for column, changed in columns.items():
        table[column] = changed(table)
    table.to_csv(data / "manifest.csv", index=False)
    return table


def swapped(table):
    return table["split"].replace(SWAP)


def measured(lowshot, model, *options):
    return lowshot("evaluate", "--model", model, "--protocol", "matching", "--set", "evaluate.replicates=100", *options)


@pytest.fixture
def run(lowshot, data, settings, tmp_path):
    """A model that learned from the training split of `data`."""
    code, _, err = lowshot("pretrain", "--data", data, *settings, "--out", tmp_path / "run")
    assert code == 0, err
    return tmp_path / "run"


def test_a_run_lists_what_it_learned_from(run, data):
    manifest = pd.read_csv(data / "manifest.csv", dtype=str)
    expected = manifest[manifest["split"] == "train"][["video", "identity"]].drop_duplicates()
    listed = pd.read_csv(run / TRAINED, dtype=str)
    assert sorted(map(tuple, listed.to_numpy())) == sorted(map(tuple, expected.to_numpy()))


def test_splits_that_changed_after_the_training_are_refused(lowshot, run, data, tmp_path):
    assert measured(lowshot, run)[0] == 0
    change(data, split=swapped)
    other = shutil.copytree(data, tmp_path / "other")
    for options in ((), ("--data", other), ("--model", run / "model.safetensors", "--data", other)):
        code, out, err = measured(lowshot, run, *options)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert "learned from 56 of the 56 videos of split 'test', as video 'video0'" in err
        assert "Pretrain again" in err


def test_an_archive_that_is_split_after_the_training_is_refused(lowshot, data, settings, tmp_path):
    splits = change(data)["split"]
    change(data, split=lambda table: "")
    assert lowshot("pretrain", "--data", data, *settings, "--out", tmp_path / "all")[0] == 0
    code, _, err = measured(lowshot, tmp_path / "all")
    assert (code, "before a model is trained on them" in err) == (2, True)
    change(data, split=lambda table: splits)
    for split, count in (("test", 28), ("val", 16)):
        code, _, err = measured(lowshot, tmp_path / "all", "--split", split)
        assert (code, f"learned from {count} of the {count} videos of split '{split}'" in err) == (2, True)


def test_other_videos_of_people_it_learned_from_are_refused_in_its_own_data(lowshot, run, data, tmp_path):
    # Names of people are those of one dataset: another may have a person1 of its own.
    other = shutil.copytree(data, tmp_path / "other")
    for folder in (data, other):
        change(folder, split=swapped, video=lambda table: "new-" + table["video"])
    code, _, err = measured(lowshot, run)
    assert (code, "learned from 14 of the 14 identities of split 'test', as identity 'person0'" in err) == (2, True)
    assert measured(lowshot, run, "--data", other)[0] == 0


def test_an_adapted_model_learned_from_what_it_began_with_too(lowshot, run, data, settings, tmp_path):
    change(data, split=swapped)
    adapted = tmp_path / "adapted"
    code, _, err = lowshot("probe", "--labels", "0.5", "--from", run, "--data", data, *settings, "--out", adapted)
    assert code == 0, err
    before, after = (pd.read_csv(folder / TRAINED, dtype=str) for folder in (run, adapted))
    labelled = pd.read_csv(adapted / "labelled.csv", dtype=str)
    assert set(after["video"]) > set(before["video"])
    assert set(after["identity"]) == set(before["identity"]) | set(labelled["identity"])
    assert measured(lowshot, adapted)[0] == 2


def test_embeddings_say_what_their_model_learned_from(lowshot, run, data, tmp_path):
    made = tmp_path / "made"
    assert lowshot("embed", "--model", run, "--out", made)[0] == 0
    options = ("--protocol", "matching", "--set", "evaluate.replicates=100")
    assert lowshot("evaluate", "--embeddings", made, *options)[0] == 0
    change(made, split=swapped)
    code, _, err = lowshot("evaluate", "--embeddings", made, *options)
    assert (code, "learned from 56 of the 56 videos" in err) == (2, True)


def test_weights_without_a_list_are_taken_on_trust_and_that_is_said(lowshot, run, data, tmp_path):
    alone = shutil.copy(run / "model.safetensors", tmp_path / "alone.safetensors")
    assert "cannot check whether" not in measured(lowshot, alone, "--data", data)[2]
    change(data, split=swapped)
    code, _, err = measured(lowshot, alone, "--data", data)
    assert code == 0
    assert "cannot check whether it was trained on people of split 'test'" in err


def test_a_damaged_list_is_one_line(lowshot, run):
    (run / TRAINED).write_text("films\nx\n")
    code, _, err = measured(lowshot, run)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "trained.csv: is damaged; make the model anew" in err
