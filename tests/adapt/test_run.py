"""Adaptation as a run: what it starts from, what it records, and what it refuses to write to."""

import shutil

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from lowshot.adapt import run as adaptation
from lowshot.adapt.listed_subset import read_subset
from lowshot.adapt.run import adapt, adapt_to, labelled_share, videos_of_subset
from lowshot.adapt.subset_lists import write_subsets
from lowshot.adapt.subsets import draw_subset
from lowshot.errors import RequestError
from lowshot.evaluation.run import labels_of
from lowshot.models.loaded import load_model, model_from_scratch
from lowshot.runs import lock_run, read_provenance
from lowshot.schema import MODEL
from lowshot.training.loop import pretrain


@pytest.fixture(scope="module")
def pretrained(config, reader, tmp_path_factory):
    seeded = config.model_copy(update={"seed": 3})
    return pretrain(seeded, reader, tmp_path_factory.mktemp("runs") / "0001-pretrain-cmpc")


@pytest.mark.slow
def test_what_is_adapted_already_is_refused(config, reader, pretrained, tmp_path):
    once, _ = adapt(load_model(pretrained), "probe", 0.5, 0, reader, config, tmp_path / "once")
    for source in (once, once / MODEL):
        with pytest.raises(
            RequestError, match=r"is already adapted .* name the pretrained run .*0001-pretrain-cmpc"
        ) as error:
            adapt(load_model(source), "finetune", 0.3, 0, reader, config, tmp_path / "twice")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "twice").exists()


def test_the_seed_of_the_pretraining_stays_known_without_its_configuration(config, reader, pretrained, tmp_path):
    shutil.copy(pretrained / MODEL, tmp_path / "alone.safetensors")
    start = load_model(tmp_path / "alone.safetensors")
    assert (config.seed, start.config) == (0, None)
    run, _ = adapt(start, "probe", 0.5, 0, reader, config, tmp_path / "run")
    assert load_model(run).metadata["train_seed"] == "3"
    fresh, _ = adapt(model_from_scratch(config), "probe", 0.5, 0, reader, config, tmp_path / "fresh")
    assert load_model(fresh).metadata["train_seed"] == "0"


def test_the_weights_it_started_from_are_recorded(config, reader, pretrained, tmp_path):
    start, other = load_model(pretrained), model_from_scratch(config)
    assert start.sha == load_model(pretrained).sha != other.sha
    run, _ = adapt(start, "finetune", 0.5, 0, reader, config, tmp_path / "run")
    assert read_provenance(run)["start_sha"] == start.sha


@pytest.mark.parametrize("kind", ["finetune", "probe"])
def test_killed_it_can_be_made_again_and_finished_it_is_kept(config, reader, tmp_path, monkeypatch, kind):
    def killed(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(adaptation, kind, killed)
        with pytest.raises(KeyboardInterrupt):
            adapt(model_from_scratch(config), kind, 0.5, 0, reader, config, tmp_path / "run")
    assert read_provenance(tmp_path / "run")["finished"] is False
    run, _ = adapt(model_from_scratch(config), kind, 0.5, 0, reader, config, tmp_path / "run")
    assert read_provenance(run)["finished"] is True
    before = (run / MODEL).read_bytes()
    with pytest.raises(RequestError, match="holds a finished run"):
        adapt(model_from_scratch(config), kind, 0.3, 0, reader, config, run)
    assert (run / MODEL).read_bytes() == before


def test_two_processes_do_not_adapt_into_one_run(config, reader, tmp_path):
    with lock_run(tmp_path / "run"), pytest.raises(RequestError, match="another process"):
        adapt(model_from_scratch(config), "probe", 0.5, 0, reader, config, tmp_path / "run")


def test_a_labelled_share_is_said_as_what_it_comes_to(reader):
    assert labelled_share(reader.dataset, 0.25) == "3 of 10 identities (30 %)"
    assert labelled_share(reader.dataset, 1) == "10 of 10 identities (100 %)"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["finetune", "probe"])
def test_a_frozen_list_leads_to_the_very_weights_of_its_fraction_and_seed(config, reader, tmp_path, kind):
    write_subsets(tmp_path / "lists", reader.dataset, (0.25,), range(2), "identity", "gender")
    subset, warning = read_subset(tmp_path / "lists" / "per25-seed1.csv", reader.dataset)
    assert warning == ""
    drawn, _ = adapt(model_from_scratch(config), kind, 0.25, 1, reader, config, tmp_path / "drawn")
    listed, _ = adapt_to(model_from_scratch(config), kind, subset, reader, config, tmp_path / "listed")
    weights = [load_file(run / MODEL) for run in (drawn, listed)]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert (drawn / "labelled.csv").read_bytes() == (listed / "labelled.csv").read_bytes()
    facts = load_model(listed).metadata
    assert (facts["subset"], facts["subset_unit"], facts["subset_sha256"]) == ("per25-seed1", "identity", subset.sha)
    rows = [labels_of("x", load_model(run).metadata) for run in (drawn, listed)]
    assert [(row["fraction"], row["subset_seed"]) for row in rows] == [(0.25, 1), (0.3, 1)]
    assert read_provenance(listed)["subset_sha256"] == subset.sha
    assert not {"subset", "subset_unit", "subset_sha256"} & read_provenance(drawn).keys()


@pytest.mark.parametrize("kind", ["finetune", "probe"])
def test_nothing_is_learned_from_but_what_the_list_names(config, reader, tmp_path, monkeypatch, kind):
    chosen = pd.DataFrame(
        [draw_subset(reader.dataset.manifest, 1, 0, "video").rows[place] for place in (0, 1, 2, 3, 5, 9)],
        columns=["identity", "video"],
    )
    chosen.to_csv(tmp_path / "mine.csv", index=False)
    subset, _ = read_subset(tmp_path / "mine.csv", reader.dataset)
    learned = []
    original = getattr(adaptation, kind)

    def spy(model, labelled, *args, **options):
        learned.append(labelled)
        return original(model, labelled, *args, **options)

    monkeypatch.setattr(adaptation, kind, spy)
    run, _ = adapt_to(model_from_scratch(config), kind, subset, reader, config, tmp_path / "run")
    assert sorted(learned[0].names) == sorted(chosen["video"])
    assert sorted(learned[0].names) == sorted(videos_of_subset(reader.dataset, subset).names)
    assert (run / "labelled.csv").read_text() == (tmp_path / "mine.csv").read_text()
    provenance = read_provenance(run)
    assert provenance["labelled_videos"] == 6
    assert provenance["labelled_identities"] == chosen["identity"].nunique()
    row = labels_of("x", load_model(run).metadata)
    total = len(videos_of_subset(reader.dataset, draw_subset(reader.dataset.manifest, 1, 0)))
    assert row["fraction"] == pytest.approx(6 / total, abs=1e-6)
    assert row["subset_seed"] is None
