"""Every way of fine-tuning from start to run: what it learns from, what it records, and what is refused."""

from itertools import cycle, product
from typing import get_args

import numpy as np
import pytest
import torch

from lowshot.adapt import finetune as finetuning
from lowshot.adapt import probe as probing
from lowshot.adapt.run import adapt
from lowshot.config import build_config
from lowshot.data.pairs import PairBatches
from lowshot.data.readers.media import MediaReader
from lowshot.errors import RequestError
from lowshot.models.loaded import load_model, model_from_scratch
from lowshot.runs import read_config, read_provenance
from lowshot.schema import MODEL
from lowshot.settings import Objective, Strategy
from lowshot.training.loop import pretrain

WAYS = list(product(get_args(Strategy), get_args(Objective)))
# Each strategy and each objective once, and one pair of unusual ones.
FEW = [way for way in WAYS if "full" in way or "contrast" in way] + [("lp-ft", "margin-classifier")]


@pytest.fixture(scope="module")
def pretrained(config, reader, tmp_path_factory):
    return pretrain(config, reader, tmp_path_factory.mktemp("runs") / "0001-pretrain-cmpc")


def settings(config, strategy="full", objective="contrast", **adapt):
    rates = {f"{name}_learning_rates": [1e-2] for name in ("finetune", "head", "last_stage", "lp_ft", "probe")}
    changes = {"steps": 3, "checks": 1, "probe_steps": 3, **rates, **adapt}
    return build_config(
        [config.model_dump(mode="json"), {"adapt": {"strategy": strategy, "objective": objective, **changes}}]
    )


class Recording(MediaReader):
    """A reader that remembers which rows were asked for."""

    def __init__(self, reader, config):
        super().__init__(reader.dataset, config.voice, config.face)
        self.asked = {"voice": set(), "face": set()}

    def voice(self, index):
        self.asked["voice"].add(index)
        return super().voice(index)

    def face(self, index):
        self.asked["face"].add(index)
        return super().face(index)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "objective", "scratch"), [(*way, False) for way in WAYS] + [(*way, True) for way in FEW]
)
def test_nobody_held_out_is_ever_trained_on(
    config, reader, pretrained, tmp_path, monkeypatch, strategy, objective, scratch
):
    """Batches, what a probe draws, and everything that is read when validation itself reads nothing."""
    videos, rows = set(), {"voice": set(), "face": set()}
    batch, choose = PairBatches.batch, probing.choose

    def note_batch(self, step):
        made = batch(self, step)
        videos.update(self.videos.names[i] for i in made.index.tolist())
        return made

    # A step of the probe draws voices, then faces.
    modalities = cycle(rows)

    def note_rows(options, draws):
        chosen = choose(options, draws)
        rows[next(modalities)].update(chosen)
        return chosen

    rising = iter(range(1, 100))
    monkeypatch.setattr(PairBatches, "batch", note_batch)
    monkeypatch.setattr(probing, "choose", note_rows)
    monkeypatch.setattr(finetuning, "validation_auc", lambda *args: next(rising) / 100)
    recording = Recording(reader, config)
    start = model_from_scratch(config) if scratch else load_model(pretrained)
    run, selected = adapt(start, "finetune", 0.3, 0, recording, settings(config, strategy, objective), tmp_path / "run")
    assert selected.step == 3
    people = set((run / "labelled.csv").read_text().split()[1:])
    assert len(people) == 3
    labelled = people
    if objective == "semi-supervised":
        people = set(reader.dataset.voices.query("split == 'train'")["identity"])
    for modality, asked in recording.asked.items():
        table = reader.dataset.rows(modality)
        allowed = ((table["split"] == "train") & table["identity"].isin(people)).to_numpy()
        assert videos <= set(table.loc[allowed, "video"])
        assert rows[modality] <= set(np.flatnonzero(allowed))
        # The probe is chosen by validation people too; nothing else reads them here, and nothing reads the test split.
        read = table.iloc[sorted(asked)]
        assert set(read["split"]) == ({"train", "val"} if strategy == "lp-ft" else {"train"})
        assert set(read.loc[read["split"] == "train", "identity"]) <= people
        if modality == "voice" and objective == "semi-supervised":
            assert set(table.loc[table["video"].isin(videos), "identity"]) > labelled
    assert videos
    assert bool(rows["voice"] and rows["face"]) == (strategy == "lp-ft")


@pytest.mark.parametrize(("strategy", "objective"), FEW)
def test_the_same_seed_gives_the_same_bytes(config, reader, pretrained, tmp_path, monkeypatch, strategy, objective):
    chosen = settings(config, strategy, objective)
    made = []
    for name in ("a", "b"):
        rising = iter(range(1, 100))
        monkeypatch.setattr(finetuning, "validation_auc", lambda *args, rising=rising: next(rising) / 100)
        # Whatever was drawn before.
        torch.rand(len(made) + 1)
        run, _ = adapt(load_model(pretrained), "finetune", 0.2, 0, reader, chosen, tmp_path / name)
        made.append((run / MODEL).read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize("objective", get_args(Objective))
def test_two_people_are_enough(config, reader, tmp_path, monkeypatch, objective):
    rising = iter(range(1, 100))
    monkeypatch.setattr(finetuning, "validation_auc", lambda *args: next(rising) / 100)
    start = model_from_scratch(config)
    run, selected = adapt(start, "finetune", 0.2, 0, reader, settings(config, objective=objective), tmp_path / "run")
    assert read_provenance(run)["labelled_identities"] == 2
    assert selected.step == 3
    assert all(value.isfinite().all() for value in load_model(run).towers.state_dict().values())


def test_what_was_done_is_recorded(config, reader, pretrained, tmp_path):
    chosen = settings(config, "lp-ft", "margin-classifier")
    run, selected = adapt(load_model(pretrained), "finetune", 0.3, 0, reader, chosen, tmp_path / "run")
    facts, provenance = load_model(run).metadata, read_provenance(run)
    for record in (facts, provenance):
        assert (record["strategy"], record["objective"]) == ("lp-ft", "margin-classifier")
    assert facts["adaptation"] == "finetune-lp-ft-margin-classifier"
    assert provenance["kind"] == "finetune"
    assert provenance["selected"]["probe"]["val_auc"] == selected.probe.val_auc
    assert read_config(run).adapt.strategy == "lp-ft"
    with pytest.raises(RequestError, match="is already adapted"):
        adapt(load_model(run), "probe", 0.3, 0, reader, config, tmp_path / "twice")


def test_only_what_departs_from_the_usual_shows_in_names(config, reader, pretrained, tmp_path):
    for changes, name, called in (
        ({}, "0001-finetune-cmpc-0.3", "finetune"),
        ({"strategy": "head"}, "0002-finetune-cmpc-0.3-head", "finetune-head"),
        ({"objective": "classifier"}, "0003-finetune-cmpc-0.3-classifier", "finetune-classifier"),
    ):
        chosen = settings(config, **changes)
        run, _ = adapt(load_model(pretrained), "finetune", 0.3, 0, reader, chosen)
        assert (run.name, load_model(run).metadata["adaptation"]) == (name, called)
    probed, _ = adapt(load_model(pretrained), "probe", 0.3, 0, reader, settings(config, "head"))
    facts = load_model(probed).metadata
    assert (probed.name, facts["adaptation"], facts.get("strategy")) == ("0004-probe-cmpc-0.3", "probe", None)


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("strategy", "all", r"adapt\.strategy: input should be 'full', 'head', 'last-stage' or 'lp-ft'"),
        ("objective", "triplet", r"adapt\.objective: input should be 'contrast', 'classifier'"),
        ("head_learning_rates", [], r"adapt\.head_learning_rates: "),
        ("last_stage_learning_rates", [0], r"adapt\.last_stage_learning_rates\.0: input should be greater than 0"),
        ("lp_ft_learning_rates", [1e-3, -1e-4], r"adapt\.lp_ft_learning_rates\.1: "),
        ("margin", -0.1, r"adapt\.margin: "),
        ("margin", 1.5, r"adapt\.margin: "),
        ("margin_scale", 0, r"adapt\.margin_scale: "),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_key(key, value, fault):
    with pytest.raises(RequestError, match=fault) as error:
        build_config([{"adapt": {key: value}}])
    assert "\n" not in str(error.value)
