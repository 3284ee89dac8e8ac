"""What fine-tuning minimises, as it is put together from batches, towers and losses."""

import pytest
import torch
from torch.nn import functional

from lowshot.adapt.batches import embed_step
from lowshot.adapt.chosen_objective import objective_maker
from lowshot.adapt.objectives import Classifier, mean_directions
from lowshot.adapt.run import labelled_videos
from lowshot.config import build_config
from lowshot.data.pairs import PairBatches, videos_of
from lowshot.losses.classifier import identity_classifier, margin_classifier
from lowshot.losses.supervised import cross_modal_supervised_contrast
from lowshot.models.embedding import embed
from lowshot.models.two_tower import TwoTower


@pytest.fixture
def model(config):
    return TwoTower.from_config(config).eval()


@pytest.fixture
def labelled(reader):
    people = sorted(set(videos_of(reader.dataset, "train").identities))[:3]
    return labelled_videos(reader.dataset, people)


def made(config, reader, model, labelled, **adapt):
    config = build_config([config.model_dump(mode="json"), {"adapt": adapt, "train": {"precision": "float32"}}])
    batches = PairBatches(labelled, reader, 6, 0, config.voice, config.face, config.augment)
    return objective_maker(model, labelled, batches, reader, config, 0, scratch=False), batches


def codes(labelled, index):
    people = sorted(set(labelled.identities))
    return torch.tensor([people.index(labelled.identities[i]) for i in index.tolist()])


def test_contrast_is_the_supervised_contrast_of_the_batch(config, reader, model, labelled):
    make, batches = made(config, reader, model, labelled)
    index, voice, face = embed_step(model, batches, 3, "float32")
    v2f, f2v = cross_modal_supervised_contrast(voice, face, codes(labelled, index), config.adapt.temperature)
    torch.testing.assert_close(make().loss(model, 3), v2f.mean() + f2v.mean())
    assert list(make().parameters()) == []


@pytest.mark.parametrize(
    ("adapt", "loss"),
    [
        ({"objective": "classifier", "temperature": 0.2}, lambda z, w, y: identity_classifier(z, w, y, 0.2)),
        (
            {"objective": "margin-classifier", "margin_scale": 8.0, "margin": 0.1},
            lambda z, w, y: margin_classifier(z, w, y, 8.0, 0.1),
        ),
    ],
)
def test_one_classifier_serves_voices_and_faces(config, reader, model, labelled, adapt, loss):
    make, batches = made(config, reader, model, labelled, **adapt)
    objective = make()
    assert isinstance(objective, Classifier)
    (weights,) = objective.parameters()
    index, voice, face = embed_step(model, batches, 3, "float32")
    people = codes(labelled, index)
    expected = loss(voice, weights, people).mean() + loss(face, weights, people).mean()
    torch.testing.assert_close(objective.loss(model, 3), expected)
    objective.loss(model, 3).backward()
    assert weights.grad.abs().sum(dim=1).gt(0).all()


def test_it_starts_from_the_mean_of_each_identity_and_every_attempt_anew(config, reader, model, labelled):
    make, _ = made(config, reader, model, labelled, objective="classifier")
    people = sorted(set(labelled.identities))
    expected = []
    for person in people:
        videos = [i for i, name in enumerate(labelled.identities) if name == person]
        voices = [int(row) for i in videos for row in labelled.voices[i]]
        faces = [int(row) for i in videos for row in labelled.faces[i]]
        vectors = embed(model, reader, voices, faces)
        total = torch.from_numpy(vectors.voice[voices]).sum(0) + torch.from_numpy(vectors.face[faces]).sum(0)
        expected.append(functional.normalize(total, dim=0))
    first, second = make(), make()
    torch.testing.assert_close(first.weights.data, torch.stack(expected), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        first.weights.zero_()
    assert second.weights.abs().sum() > 0
    assert make().weights.abs().sum() > 0


def test_directions_are_of_unit_length(config, reader, model, labelled):
    identity = codes(labelled, torch.arange(len(labelled)))
    directions = mean_directions(model, labelled, identity, reader)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(3))
