"""The closed-form towers: exact maps, nothing learned from held-out people, and a choice that helps unseen people."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from lowshot import held_out
from lowshot.canonical import Moments, canonical_maps
from lowshot.data import video_vectors
from lowshot.data.dataset import Dataset
from lowshot.data.pairs import videos_of
from lowshot.data.readers.features import FeatureReader
from lowshot.methods import cca
from lowshot.methods.cca import fit_cca
from lowshot.models.embedding import embed
from lowshot.models.two_tower import TwoTower
from lowshot.settings import CcaConfig, ModelConfig
from lowshot.training.validation import validation_auc


@pytest.fixture
def towers(vectors, vector_config):
    reader = FeatureReader(Dataset.open(vectors))
    linear = ModelConfig.model_validate({"tower": "mlp", "dim": 8, "mlp": {"layers": 0}})
    return TwoTower.from_config(vector_config.model_copy(update={"model": linear}), reader.statistics).eval(), reader


def fit(towers, **settings):
    model, reader = towers
    return fit_cca(
        model, reader, videos_of(reader.dataset, "train"), CcaConfig(rank=4, **settings), 0, torch.device("cpu")
    )


def test_cosines_are_those_of_the_weighted_maps(towers):
    model, reader = towers
    fit(towers, ridge=1.0, power=2.0)
    voice, face = (torch.from_numpy(np.asarray(reader.dataset.features[m], np.float64)) for m in ("voice", "face"))
    train = np.flatnonzero(reader.dataset.voices["split"] == "train")
    moments = Moments(12, 20)
    moments.add(voice[train], face[train])
    maps = canonical_maps(moments, 1.0, 4)
    x, y = maps.weighted(2.0)
    a = torch.nn.functional.normalize((voice - maps.mean_x) / maps.scale_x @ x, dim=1)
    b = torch.nn.functional.normalize((face - maps.mean_y) / maps.scale_y @ y, dim=1)
    rows = np.arange(100)
    found = embed(model, reader, rows, rows)
    np.testing.assert_allclose(found.voice @ found.face.T, a @ b.T, atol=2e-6)


def test_blocks_change_nothing_but_rounding(towers, monkeypatch):
    model, _ = towers
    fit(towers, ridge=1.0, power=1.0)
    whole = {name: value.clone() for name, value in model.state_dict().items()}
    monkeypatch.setattr(video_vectors, "_BLOCK", 7)
    fit(towers, ridge=1.0, power=1.0)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, whole[name], rtol=1e-4, atol=1e-6)


def test_the_usual_strength_stays_unless_another_is_clearly_better(towers):
    tried = fit(towers)
    assert len(tried) == len(cca.RIDGES) * len(cca.POWERS)
    assert all(one.auc >= other.auc for one, other in pairwise(tried[1:]))
    chosen, best = tried[0], max(tried, key=lambda each: each.auc)
    assert chosen.auc == best.auc or (chosen.ridge, chosen.power) == cca.UNJUDGED
    assert best.auc - chosen.auc <= best.error + chosen.error
    assert all(0 <= each.auc <= 1 and each.error > 0 for each in tried)
    assert fit(towers) == tried


def test_what_is_given_is_not_chosen(towers):
    assert {each.ridge for each in fit(towers, ridge=2.5)} == {2.5}
    assert {each.power for each in fit(towers, power=0.0)} == {0.0}


def test_it_learns_from_training_rows_alone(towers, monkeypatch):
    _, reader = towers
    seen = set()
    views = reader.views

    def record(modality, rows, *rest):
        seen.update((modality, int(row)) for row in rows)
        return views(modality, rows, *rest)

    monkeypatch.setattr(reader, "views", record)
    fit(towers)
    splits = {m: reader.dataset.rows(m)["split"].to_numpy() for m in ("voice", "face")}
    assert seen
    assert {splits[modality][row] for modality, row in seen} == {"train"}


def test_unseen_people_are_told_apart(towers):
    model, reader = towers
    fit(towers)
    assert validation_auc(model, reader, videos_of(reader.dataset, "val")) > 0.9


def test_two_videos_are_fitted_without_a_choice(towers):
    model, reader = towers
    videos = videos_of(reader.dataset, "train").select(np.arange(2))
    tried = fit_cca(model, reader, videos, CcaConfig(rank=4), 0, torch.device("cpu"))
    assert [(each.ridge, each.power) for each in tried] == [cca.UNJUDGED]
    given = fit_cca(model, reader, videos, CcaConfig(rank=4, power=0.0), 0, torch.device("cpu"))
    assert given[0].power == 0
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_more_directions_than_the_embedding_has_are_left_out(towers):
    model, _ = towers
    fit(towers, ridge=1.0, power=1.0)
    narrow = {name: value.clone() for name, value in model.state_dict().items()}
    model_, reader = towers
    videos = videos_of(reader.dataset, "train")
    fit_cca(model_, reader, videos, CcaConfig(rank=32, ridge=1.0, power=1.0), 0, torch.device("cpu"))
    assert (model.voice.project.weight[:4] != 0).any()
    assert (model.voice.project.weight[4:8] != 0).any()
    assert not torch.equal(model.state_dict()["voice.project.weight"], narrow["voice.project.weight"])


def test_people_of_a_held_out_part_are_not_fitted_to_when_many_videos_are_sampled(monkeypatch):
    """Of a large archive only a part is clustered; the rest of the same people must not be trained on beside it."""
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(60), 20)
    joint = rng.normal(size=(60, 24))[identity] + 0.2 * rng.normal(size=(1200, 24))
    joint = (joint / np.linalg.norm(joint, axis=1, keepdims=True)).astype(np.float32)
    monkeypatch.setattr(held_out, "MOST_CLUSTERED", 300)
    parts = held_out.hold_out(joint, 0, cca.PARTS, 120)
    assert len(parts) == cca.PARTS
    assert len(np.unique(np.concatenate([held for held, _ in parts]))) == sum(len(held) for held, _ in parts)
    for held, clusters in parts:
        outside = np.delete(identity, held)
        assert np.isin(identity[held], outside).mean() < 0.05
        assert len(clusters) == len(held)
