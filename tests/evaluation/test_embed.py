"""Embedding: every medium once, whatever asks for it."""

import numpy as np
import pytest
import torch

from lowshot.data.voice import pad_to
from lowshot.evaluation import embed as room
from lowshot.evaluation.embed import MOST_CROPS, embed, even_crops
from lowshot.evaluation.run import score_model
from lowshot.evaluation.trial_set import TrialSet, build_trial_set
from lowshot.models.two_tower import TwoTower


class Counting(TwoTower):
    """Towers that count what passes through them."""

    passed: dict[str, int]

    def encode_voice(self, log_mel: torch.Tensor) -> torch.Tensor:
        self.passed["voice"] += len(log_mel)
        return super().encode_voice(log_mel)

    def encode_face(self, images: torch.Tensor) -> torch.Tensor:
        self.passed["face"] += len(images)
        return super().encode_face(images)


@pytest.fixture
def model(config) -> Counting:
    model = Counting.from_config(config)
    model.passed = {"voice": 0, "face": 0}
    return model


@pytest.fixture(scope="module")
def trials(reader) -> TrialSet:
    return build_trial_set(reader.dataset, replicates=20)


def named(trials: TrialSet) -> dict[str, int]:
    """How often trials name a voice or a face, retrieval left out."""
    count = {"voice": 0, "face": 0}
    for part in trials.verification:
        count["voice"] += len(part)
        count["face"] += len(part)
    for part in trials.matching:
        probe, candidate = part.direction.split("_to_")
        count[probe] += len(part)
        count[candidate] += len(part) + int((part.impostors >= 0).sum())
    return count


def crops_of(reader, rows) -> int:
    """Crops that cover these voices, counted from their lengths."""
    return sum(min(MOST_CROPS, -(-max(reader.voice(row)[0].shape[1], 48) // 48)) for row in rows)


def test_row_14_every_medium_is_encoded_once_however_many_trials_name_it(model, reader, trials) -> None:
    score_model(trials, model, reader, {"method": "cmpc"})
    count = named(trials)
    assert model.passed["face"] == len(trials.faces) < count["face"] / 3
    assert model.passed["voice"] == crops_of(reader, trials.voices)
    assert len(trials.voices) < count["voice"] / 3


def test_row_14_a_row_asked_for_again_is_not_encoded_again(model, reader) -> None:
    rows = np.array([3, 1, 3, 3, 1])
    embed(model, reader, rows, rows)
    assert model.passed == {"voice": crops_of(reader, [1, 3]), "face": 2}


def test_rows_not_asked_for_hold_nothing(model, reader) -> None:
    found = embed(model, reader, np.array([2, 0]), np.array([5]))
    for vectors, rows, modality in ((found.voice, [0, 2], "voice"), (found.face, [5], "face")):
        assert vectors.shape == (len(reader.dataset.rows(modality)), 16) and vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors[rows], axis=1), 1, rtol=1e-5)
        assert np.isnan(np.delete(vectors, rows, axis=0)).all()


@pytest.mark.parametrize("size", [1, 3])
def test_the_batch_size_changes_nothing(model, reader, monkeypatch, size) -> None:
    voices, faces = np.arange(7), np.arange(9)
    whole = embed(model, reader, voices, faces)
    monkeypatch.setattr(room, "BATCH", size)
    parts = embed(model, reader, voices, faces)
    np.testing.assert_allclose(parts.voice[voices], whole.voice[voices], atol=1e-5)
    np.testing.assert_allclose(parts.face[faces], whole.face[faces], atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(model, reader, training) -> None:
    model.train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    embed(model, reader, np.arange(4), np.arange(4))
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(IndexError):
        embed(model, reader, np.array([10**6]), np.arange(0))
    assert model.training is training


def test_the_mode_of_the_model_changes_no_embedding(model, reader) -> None:
    found = [embed(model.train(training), reader, np.arange(3), np.arange(3)) for training in (True, False)]
    np.testing.assert_array_equal(found[0].voice, found[1].voice)
    np.testing.assert_array_equal(found[0].face, found[1].face)


@pytest.mark.parametrize("length", [10, 11, 19, 20, 21, 35, 79, 80])
def test_even_crops_cover_a_clip(length) -> None:
    frames = np.arange(length, dtype=np.float32)[None].repeat(2, axis=0)
    crops = even_crops(frames, 10)
    assert {crop.shape for crop in crops} == {(2, 10)}
    assert len(crops) == -(-length // 10)
    assert {frame for crop in crops for frame in crop[0]} == set(range(length))


@pytest.mark.parametrize("length", [81, 200, 10_000])
def test_a_long_clip_is_sampled_from_its_first_frame_to_its_last(length) -> None:
    crops = even_crops(np.arange(length)[None], 10)
    assert len(crops) == MOST_CROPS
    assert (crops[0][0, 0], crops[-1][0, -1]) == (0, length - 1)
    starts = np.array([crop[0, 0] for crop in crops])
    assert np.ptp(np.diff(starts)) <= 1


def test_a_voice_is_the_mean_direction_over_its_crops(model, reader) -> None:
    log_mel, silence = reader.voice(0)
    crops = np.stack(even_crops(pad_to(log_mel, 48, silence), 48))
    assert len(crops) > 1
    with torch.inference_mode():
        vectors = model.eval().encode_voice(torch.from_numpy(crops).float().unsqueeze(1))
    mean = vectors.mean(dim=0).numpy()
    found = embed(model, reader, np.array([0]), np.arange(0)).voice[0]
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-5)
