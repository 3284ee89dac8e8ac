"""Embedding: every medium once, whatever asks for it."""

import numpy as np
import pytest
import torch

from lowshot.data.media_inputs import MediaInputs, even_crops
from lowshot.data.voice import pad_to
from lowshot.errors import RunError
from lowshot.evaluation.protocols.matching import MatchingTrials
from lowshot.evaluation.protocols.verification import VerificationTrials
from lowshot.evaluation.run import score_model
from lowshot.evaluation.trial_set import TrialSet, build_trial_set
from lowshot.models import embedding as room
from lowshot.models.embedding import USUAL, embed, embed_blocks, embed_rows
from lowshot.models.two_tower import TwoTower
from lowshot.settings import EvaluateConfig


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
    for part in trials.of(VerificationTrials):
        count["voice"] += len(part)
        count["face"] += len(part)
    for part in trials.of(MatchingTrials):
        probe, candidate = part.direction.split("_to_")
        count[probe] += len(part)
        count[candidate] += len(part) + int((part.impostors >= 0).sum())  # type: ignore[attr-defined]
    return count


def crops_of(reader, rows) -> int:
    """Crops that cover these voices, counted from their lengths."""
    return sum(min(USUAL.voice_crops, -(-max(reader.voice(row)[0].shape[1], 48) // 48)) for row in rows)


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


@pytest.mark.parametrize("mirror", [False, True])
def test_forwards_are_as_many_as_distinct_media(model, reader, trials, mirror) -> None:
    score_model(trials, model, reader, {"method": "cmpc"}, EvaluateConfig(voice_crops=1, mirror=mirror))
    assert model.passed == {"voice": len(trials.voices), "face": len(trials.faces) * (1 + mirror)}
    assert len(set(trials.voices.tolist())) == len(trials.voices)


@pytest.mark.parametrize("crops", [1, 2, 3])
def test_a_voice_is_averaged_over_as_many_crops_as_are_asked_for(model, reader, crops) -> None:
    log_mel, silence = reader.voice(0)
    frames = pad_to(log_mel, 48, silence)
    assert -(-frames.shape[1] // 48) == 3
    cut = np.stack(even_crops(frames, 48, crops))
    assert len(cut) == crops
    with torch.inference_mode():
        mean = model.eval().encode_voice(torch.from_numpy(cut).float().unsqueeze(1)).mean(dim=0).numpy()
    found = embed(model, reader, np.array([0]), np.arange(0), EvaluateConfig(voice_crops=crops)).voice[0]
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-5)


def test_a_face_is_averaged_with_its_mirror_image_if_asked_for(model, reader) -> None:
    rows = np.array([4, 7])
    plain = embed_rows(model, reader, "face", rows)
    found = embed_rows(model, reader, "face", rows, EvaluateConfig(mirror=True))
    turned = MirroredFaces(reader)
    mean = plain + embed_rows(model, turned, "face", rows)
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)
    assert np.abs(found - plain).max() > 1e-3


class MirroredFaces(MediaInputs):
    """A reader that sees every face in a mirror."""

    def __init__(self, reader) -> None:
        self.reader = reader

    def voices(self, indices):
        return self.reader.voices(indices)

    def faces(self, indices):
        return [np.ascontiguousarray(image[..., ::-1]) for image in self.reader.faces(indices)]


def test_blocks_are_made_one_after_the_other_and_media_are_counted(model, reader, monkeypatch) -> None:
    monkeypatch.setattr(room, "BATCH", 4)
    rows = np.arange(10)
    blocks = embed_blocks(model, reader, "face", rows)
    first = next(blocks)
    # Nothing beyond the first block has been looked at, and the model is not left in another mode.
    assert len(first) == 4 and model.passed["face"] == 4 and model.training
    counts: list[int] = []
    whole = embed_rows(model, reader, "face", rows, advance=counts.append)
    assert counts == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([first, *blocks]), whole)


class Narrow(Counting):
    """Towers on a machine with room for only so many inputs at a time."""

    room = 3
    failed = 0
    fault: Exception = torch.OutOfMemoryError("out of memory")

    def encode_voice(self, log_mel: torch.Tensor) -> torch.Tensor:
        self._fit(log_mel)
        return super().encode_voice(log_mel)

    def encode_face(self, images: torch.Tensor) -> torch.Tensor:
        self._fit(images)
        return super().encode_face(images)

    def _fit(self, inputs: torch.Tensor) -> None:
        if len(inputs) > self.room:
            self.failed += 1
            raise self.fault


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("fault", OUT_OF_MEMORY)
def test_batches_shrink_until_they_fit_and_stay_small(config, reader, fault) -> None:
    model = Narrow.from_config(config)
    model.passed, model.fault = {"voice": 0, "face": 0}, fault
    voices, faces = np.arange(7), np.arange(20)
    found = embed(model, reader, voices, faces)
    # 128 to 64, ... to 2: from the number that was tried, which may be less than a batch.
    assert 2 <= model.failed <= 12
    assert model.passed == {"voice": crops_of(reader, voices), "face": 20}
    model.room = 1000
    whole = embed(model, reader, voices, faces)
    np.testing.assert_allclose(found.voice[voices], whole.voice[voices], atol=1e-5)
    np.testing.assert_allclose(found.face[faces], whole.face[faces], atol=1e-5)
    assert model.training


def test_one_file_that_does_not_fit_is_said_plainly_and_other_faults_are_not_hidden(config, reader) -> None:
    model = Narrow.from_config(config)
    model.passed, model.room = {"voice": 0, "face": 0}, 0
    with pytest.raises(RunError, match="one file at a time does not fit"):
        embed(model, reader, np.arange(3), np.arange(0))
    model.fault = RuntimeError("shapes do not match")
    with pytest.raises(RuntimeError, match="shapes do not match"):
        embed(model, reader, np.arange(3), np.arange(0))
    assert model.training


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
    assert len(crops) == USUAL.voice_crops
    assert (crops[0][0, 0], crops[-1][0, -1]) == (0, length - 1)
    starts = np.array([crop[0, 0] for crop in crops])
    assert np.ptp(np.diff(starts)) <= 1


@pytest.mark.parametrize(("length", "start"), [(10, 0), (11, 0), (15, 2), (100, 45)])
def test_a_single_crop_is_that_of_the_middle(length, start) -> None:
    (crop,) = even_crops(np.arange(length)[None], 10, 1)
    assert crop[0, 0] == start


def test_a_voice_is_the_mean_direction_over_its_crops(model, reader) -> None:
    log_mel, silence = reader.voice(0)
    crops = np.stack(even_crops(pad_to(log_mel, 48, silence), 48))
    assert len(crops) > 1
    with torch.inference_mode():
        vectors = model.eval().encode_voice(torch.from_numpy(crops).float().unsqueeze(1))
    mean = vectors.mean(dim=0).numpy()
    found = embed(model, reader, np.array([0]), np.arange(0)).voice[0]
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-5)
