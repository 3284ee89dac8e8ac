"""Selection: on validation identities only, never on a batch's loss and never on the test split."""

from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lowshot.adapt.early_stopping import select
from lowshot.adapt.run import adapt, validation_videos
from lowshot.data.dataset import Dataset
from lowshot.data.pairs import PairBatches, videos_of
from lowshot.data.readers.media import MediaReader
from lowshot.errors import RequestError
from lowshot.models.loaded import load_model, model_from_scratch
from lowshot.models.two_tower import TwoTower
from lowshot.settings import VoiceConfig
from lowshot.training.loop import pretrain
from lowshot.training.schedule import learning_rate
from lowshot.training.validation import auc_of_embeddings, validation_auc


class Recording(MediaReader):
    """A reader that remembers which rows were asked for."""

    def __init__(self, reader):
        super().__init__(reader.dataset, VoiceConfig(frames=48), reader.face_config)
        self.asked = {"voice": set(), "face": set()}

    def voice(self, index):
        self.asked["voice"].add(index)
        return super().voice(index)

    def face(self, index):
        self.asked["face"].add(index)
        return super().face(index)

    def splits(self):
        return {
            self.dataset.rows(modality)["split"].iloc[index]
            for modality, indices in self.asked.items()
            for index in indices
        }


@pytest.mark.slow
def test_row_9_pretraining_never_reads_test_or_held_out_media(config, reader, tmp_path):
    recording = Recording(reader)
    pretrain(config, recording, tmp_path / "run")
    assert recording.splits() == {"train", "val"}


def test_row_9_no_validation_video_is_in_a_training_batch(config, reader):
    batches = PairBatches(videos_of(reader.dataset, "train"), reader, 16, 0, config.voice, config.face, config.augment)
    manifest = reader.dataset.manifest
    validation = set(manifest.loc[manifest["split"] == "val", "identity"])
    assert not validation & set(batches.videos.identities)


@pytest.mark.slow
def test_row_9_the_weights_of_the_last_step_are_the_result(config, reader, tmp_path):
    """A pretrained model is not selected at all: switching validation off changes nothing."""
    from lowshot.config import build_config
    from lowshot.models.weights import read_model

    watched = pretrain(config, reader, tmp_path / "watched")
    blind = build_config([config.model_dump(mode="json"), {"train": {"validate_every": 0}}])
    unwatched = pretrain(blind, reader, tmp_path / "unwatched")
    a, b = (read_model(run / "model.safetensors")[0].state_dict() for run in (watched, unwatched))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("adaptation", ["probe", "finetune"])
def test_adaptation_reads_labelled_training_and_validation_media_only(config, reader, tmp_path, adaptation):
    recording = Recording(reader)
    run, _ = adapt(model_from_scratch(config), adaptation, 0.3, 0, recording, config, tmp_path / "run")
    assert recording.splits() == {"train", "val"}
    labelled = set(pd.read_csv(run / "labelled.csv")["identity"])
    assert len(labelled) == 3
    rows = reader.dataset.voices.iloc[sorted(recording.asked["voice"])]
    assert set(rows.loc[rows["split"] == "train", "identity"]) == labelled


def walk(learning_rates, steps, checks, values):
    """Select over a module whose validation AUC is looked up by (rate, step)."""
    start = nn.Linear(1, 1)
    with torch.no_grad():
        start.weight.fill_(0)
    seen = []

    def attempt(module, rate):
        def take_step(step):
            with torch.no_grad():
                module.weight.fill_(rate * 1000 + step + 1)

        return take_step

    def validate(module):
        seen.append(module.weight.item())
        return values(module.weight.item())

    best, chosen = select(start, learning_rates, steps, checks, attempt, validate)
    return best.weight.item(), chosen, seen


def test_the_best_validation_auc_wins_over_rates_and_steps():
    weight, chosen, seen = walk([1.0, 2.0], 10, 5, lambda w: 0.9 if w == 2004 else 0.6)
    assert weight == 2004
    assert (chosen.learning_rate, chosen.step, chosen.val_auc, chosen.start_auc) == (2.0, 4, 0.9, 0.6)
    assert seen == [0, *(1000 + s for s in (2, 4, 6, 8, 10)), *(2000 + s for s in (2, 4, 6, 8, 10))]


def test_labels_that_do_not_help_on_validation_change_nothing():
    weight, chosen, _ = walk([1.0], 10, 2, lambda w: 0.5 if w else 0.7)
    assert weight == 0
    assert (chosen.learning_rate, chosen.step, chosen.val_auc) == (0.0, 0, 0.7)


def test_of_equal_aucs_the_earliest_is_kept():
    weight, _, _ = walk([1.0, 2.0], 4, 4, lambda w: 0.8 if w else 0.7)
    assert weight == 1001


def test_adaptation_without_validation_identities_is_refused(reader, tmp_path):
    manifest = reader.dataset.manifest
    manifest[manifest["split"] != "val"].to_csv(tmp_path / "manifest.csv", index=False)
    with pytest.raises(RequestError, match="needs a split 'val'"):
        validation_videos(Dataset.open(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("adaptation", ["probe", "finetune"])
def test_adaptation_is_reproducible_and_reloads(config, reader, tmp_path, adaptation):
    starts = pretrain(config, reader, tmp_path / "run")
    made = [adapt(load_model(starts), adaptation, 0.3, 0, reader, config, tmp_path / name)[0] for name in ("a", "b")]
    a, b = (load_model(run) for run in made)
    assert all(
        torch.equal(x, y) for x, y in zip(a.towers.state_dict().values(), b.towers.state_dict().values(), strict=True)
    )
    assert a.metadata["method"] == "cmpc"
    assert a.metadata["adaptation"] == adaptation
    assert a.metadata["fraction"] == "0.3"


def test_the_recorded_validation_auc_is_that_of_the_saved_model(config, reader, tmp_path):
    for adaptation in ("probe", "finetune"):
        run, chosen = adapt(model_from_scratch(config), adaptation, 0.5, 1, reader, config, tmp_path / adaptation)
        model = load_model(run).towers
        measured = validation_auc(model, reader, validation_videos(reader.dataset))
        assert measured == pytest.approx(chosen.val_auc, abs=1e-6)


def test_batch_norm_statistics_of_a_pretrained_model_stay(config, reader, tmp_path):
    from lowshot.adapt.finetune import finetune
    from lowshot.adapt.run import labelled_videos

    model = TwoTower.from_config(config)
    people = sorted(set(videos_of(reader.dataset, "train").identities))[:3]
    arguments = (labelled_videos(reader.dataset, people), validation_videos(reader.dataset), reader, config, 0)
    before = model.voice.trunk[1].running_mean.clone()
    kept, _ = finetune(model, *arguments, scratch=False)
    assert torch.equal(kept.voice.trunk[1].running_mean, before)


def test_validation_auc_leaves_out_pairs_of_one_video():
    voice = face = np.eye(4, dtype=np.float32)
    # Every video matches itself alone: across videos nothing is known.
    assert auc_of_embeddings(voice, face, np.array(["p", "p", "q", "q"])) == 0.5
    alike = np.repeat(np.eye(2, dtype=np.float32), 2, axis=0)
    assert auc_of_embeddings(alike, alike, np.array(["p", "p", "q", "q"])) == 1.0


def test_of_very_many_validation_videos_whole_identities_count(monkeypatch):
    rng = np.random.default_rng(0)
    identities = np.array(["", *np.repeat([f"p{k}" for k in range(30)], 3)])
    voice, face = rng.standard_normal((2, len(identities), 4)).astype(np.float32)
    monkeypatch.setattr("lowshot.training.validation.MOST_VIDEOS", 90)
    every = auc_of_embeddings(voice, face, identities)
    monkeypatch.setattr("lowshot.training.validation.MOST_VIDEOS", 10)
    some = auc_of_embeddings(voice, face, identities)
    assert some == auc_of_embeddings(voice, face, identities) != every
    by_hand = [
        auc_of_embeddings(voice[chosen], face[chosen], identities[chosen])
        for trio in combinations([f"p{k}" for k in range(30)], 3)
        for chosen in [np.isin(identities, trio)]
    ]
    assert some in by_hand
    # Two people at the least, however many videos they have.
    monkeypatch.setattr("lowshot.training.validation.MOST_VIDEOS", 4)
    assert 0 <= auc_of_embeddings(voice, face, identities) <= 1


def test_learning_rate_rises_then_falls_to_the_end():
    rates = [learning_rate(step, 100, 1.0, 0.01, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[99] == pytest.approx(0.01)
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert learning_rate(0, 1, 1.0, 0.01, 0.1) == 1.0
