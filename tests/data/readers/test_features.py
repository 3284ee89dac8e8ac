"""Vectors to towers: what they are standardised by, how they are changed in training, and what is refused."""

import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from lowshot.checking.run import check_dataset
from lowshot.data.dataset import Dataset
from lowshot.data.features import ColumnStatistics, column_statistics, holds_features
from lowshot.data.pairs import PairBatches, sample_uniforms, videos_of
from lowshot.data.readers.base import Sampling
from lowshot.data.readers.choice import open_reader
from lowshot.data.readers.features import FeatureReader, augment_vectors
from lowshot.data.readers.media import MediaReader
from lowshot.errors import RequestError
from lowshot.models.embedding import USUAL
from lowshot.schema import FEATURES
from lowshot.settings import AugmentConfig, FaceConfig, VoiceConfig

PLAIN = AugmentConfig()
NOISY = AugmentConfig(feature_noise=0.5, feature_dropout=0.25)


@pytest.fixture
def copy(vectors, tmp_path):
    return shutil.copytree(vectors, tmp_path / "copy")


@pytest.fixture
def source(vectors):
    return FeatureReader(Dataset.open(vectors))


def rewrite(folder, **changes):
    save_file({**load_file(folder / FEATURES), **changes}, folder / FEATURES)
    return folder


def batches(source, augment, rank=0, processes=1):
    videos = videos_of(source.dataset, "train")
    return PairBatches(videos, source, 16, 3, VoiceConfig(), FaceConfig(), augment, rank, processes)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_statistics_are_those_of_the_training_rows_alone(copy, kind):
    tensors = {name: tensor.astype(kind) for name, tensor in load_file(copy / FEATURES).items()}
    source = FeatureReader(Dataset.open(rewrite(copy, **tensors)))
    train = (source.dataset.voices["split"] == "train").to_numpy()
    for name, tensor in tensors.items():
        np.testing.assert_allclose(source.statistics[name].mean, tensor[train].mean(0, dtype=np.float64), rtol=1e-6)
        np.testing.assert_allclose(source.statistics[name].std, tensor[train].std(0, dtype=np.float64), rtol=1e-6)
    rows = ~train
    changed = {name: np.where(rows[:, None], kind(1000), tensor) for name, tensor in tensors.items()}
    again = FeatureReader(Dataset.open(rewrite(copy, **changed)))
    for name in tensors:
        np.testing.assert_array_equal(again.statistics[name].mean, source.statistics[name].mean)
        np.testing.assert_array_equal(again.statistics[name].std, source.statistics[name].std)


def test_statistics_of_columns_far_from_zero_constant_ones_and_many_blocks(monkeypatch):
    monkeypatch.setattr("lowshot.data.features._BLOCK_ELEMENTS", 12)
    rng = np.random.default_rng(0)
    rows = np.arange(1, 40, 2)
    table = np.stack([1e6 + rng.standard_normal(40), np.full(40, 0.1), rng.standard_normal(40)], axis=1)
    found = column_statistics(table, rows)
    np.testing.assert_allclose(found.std, [table[rows, 0].std(), 0, table[rows, 2].std()], rtol=1e-6)
    assert found.std[1] == 0
    np.testing.assert_allclose(found.mean, table[rows].mean(0), rtol=1e-6)


def test_what_float32_leaves_of_a_constant_column_is_no_spread():
    table = np.stack([1e6 * (1 + np.arange(9) % 2 * 1e-7), np.arange(9.0)], axis=1).astype(np.float32)
    assert np.ptp(table[:, 0]) > 0
    assert (column_statistics(table, np.arange(9)).std > 0).tolist() == [False, True]


def test_without_augmentation_a_sample_is_its_row(source):
    uniforms = sample_uniforms(3, 0, 0)
    voice, face = source.samples([4, 4, 9], [7, 0, 1], uniforms, Sampling(VoiceConfig(), FaceConfig(), PLAIN))
    np.testing.assert_array_equal(voice, source.dataset.features["voice"][[4, 4, 9]])
    np.testing.assert_array_equal(face, source.dataset.features["face"][[7, 0, 1]])
    views = source.views("face", np.array([7, 0, 1]), VoiceConfig(), FaceConfig(), USUAL)
    assert (views.count, views.owner) == (3, None)
    assert torch.equal(views.make(slice(1, 3)), face[1:])


def test_vectors_stay_on_the_disk(source):
    assert all(isinstance(tensor, np.memmap) for tensor in source.dataset.features.values())
    assert source._vectors["voice"] is source.dataset.features["voice"]


def test_a_batch_depends_on_its_step_alone_and_ranks_share_it_out(source, vectors):
    whole = batches(source, NOISY)
    later_first = [whole.batch(step) for step in (5, 0)]
    again = batches(FeatureReader(Dataset.open(vectors)), NOISY)
    parts = [batches(source, NOISY, rank, 2) for rank in (0, 1)]
    for step, batch in ((0, later_first[1]), (5, later_first[0])):
        for name in ("index", "voice", "face"):
            assert torch.equal(getattr(again.batch(step), name), getattr(batch, name))
            joined = torch.cat([getattr(part.batch(step), name) for part in parts])
            assert torch.equal(joined, getattr(batch, name))


def test_samples_steps_and_modalities_have_noise_of_their_own(source):
    only_noise = AugmentConfig(feature_noise=1.0)
    sampling = Sampling(VoiceConfig(), FaceConfig(), only_noise)
    same = [0] * 64
    changes = []
    for step in (0, 1):
        voice, face = source.samples(same, same, sample_uniforms(64, 0, step), sampling)
        for name, found in (("voice", voice), ("face", face)):
            plain, columns = source.dataset.features[name][0], source.statistics[name]
            changes.append(((found.numpy() - plain) / columns.std)[:, :12])
    noise = np.concatenate(changes)
    assert len(np.unique(noise.round(5), axis=0)) == 4 * 64
    # 3,072 draws of a standard Gaussian.
    assert abs(noise.mean()) < 0.08
    assert noise.std() == pytest.approx(1, abs=0.06)
    assert np.abs(np.corrcoef(noise.T) - np.eye(12)).max() < 0.25


def test_dropped_columns_hold_their_mean_and_constant_ones_have_no_noise():
    statistics = ColumnStatistics(np.array([1, 2, 3, 4], np.float32), np.array([1, 0, 1, 1], np.float32))
    generators = [np.random.Generator(np.random.Philox(key=k)) for k in range(4000)]
    found = augment_vectors(np.full((4000, 4), 9, np.float32), statistics, generators, NOISY)
    assert set(found[:, 1].tolist()) == {2.0, 9.0}
    dropped = (found == statistics.mean).mean(axis=0)
    np.testing.assert_allclose(dropped, 0.25, atol=0.035)
    assert found.dtype == np.float32


FAULTS = {
    "tensor 'voice' is of type int32; write it as float32": lambda t: {**t, "voice": t["voice"].astype(np.int32)},
    r"tensor 'face' has shape \[99, 20\], but the manifest has 100 face rows": lambda t: {**t, "face": t["face"][:-1]},
    r"tensor 'face' has shape \[100\]; needed: rows x dimensions, one row for each of the 100 face": lambda t: {
        **t,
        "face": t["face"][:, 0],
    },
    r"tensor 'face' has shape \[100, 20, 1\]; needed: rows x": lambda t: {**t, "face": t["face"][:, :, None]},
    "tensor 'face' has no columns": lambda t: {**t, "face": t["face"][:, :0]},
    "tensor 'face' is missing; tensors there: 'faces', 'voice'; needed: 'voice' and 'face', with one": lambda t: {
        "voice": t["voice"],
        "faces": t["face"],
    },
}


@pytest.mark.parametrize("words", FAULTS)
def test_bad_files_are_refused_by_name(copy, words, vector_config):
    save_file(FAULTS[words](load_file(copy / FEATURES)), copy / FEATURES)
    with pytest.raises(RequestError, match=f"features.safetensors: {words}") as refused:
        open_reader(Dataset.open(copy), vector_config.model, vector_config.voice, vector_config.face)
    # A check says the same.
    (problem,) = check_dataset(copy / "manifest.csv").of_kind("shape")
    assert str(refused.value).endswith(f": {problem.detail}")


ODD = {
    "voice vector holds values that are not finite": ("voice", (41, 0), np.nan, np.float32),
    "face vector holds values that are not finite": ("face", (17, 0), 1e300, np.float64),
    "voice vector is all zeros": ("voice", 41, 0, np.float32),
    "face vector is all zeros": ("face", 99, 0, np.float16),
}


@pytest.mark.parametrize("words", ODD)
def test_a_vector_at_fault_is_named_by_the_row_that_a_check_names(copy, words, vector_config, monkeypatch):
    monkeypatch.setattr("lowshot.data.readers.features._CHECKED_ROWS", 30)
    modality, place, value, kind = ODD[words]
    tensors = load_file(copy / FEATURES)
    tensors[modality] = tensors[modality].astype(kind)
    tensors[modality][place] = value
    save_file(tensors, copy / FEATURES)
    (problem,) = [problem for problem in check_dataset(copy / "manifest.csv").issues if problem.fault]
    assert (problem.detail, Dataset.open(copy).manifest["modality"][problem.rows[0] - 2]) == (words, modality)
    with pytest.raises(RequestError, match=rf"manifest\.csv, row {problem.rows[0]}: {words}; `lowshot data check"):
        open_reader(Dataset.open(copy), vector_config.model, vector_config.voice, vector_config.face)


def test_a_column_of_zeros_is_no_vector_of_zeros(copy):
    vectors = load_file(copy / FEATURES)
    vectors["voice"][:, 0] = 0
    rewrite(copy, voice=vectors["voice"])
    FeatureReader(Dataset.open(copy))


def test_vectors_that_no_tower_takes_may_be_zero(copy):
    # As they are they have a cosine: 0 with everything.
    vectors = load_file(copy / FEATURES)
    vectors["voice"][3] = 0
    rewrite(copy, voice=vectors["voice"])
    assert not Dataset.open(copy).features["voice"][3].any()


def test_vectors_of_other_widths_are_refused_by_name(vectors):
    dataset = Dataset.open(vectors)
    FeatureReader(dataset, {"voice": 12, "face": 20})
    with pytest.raises(RequestError, match="tensor 'face' has 20 columns, and the model takes 512"):
        FeatureReader(dataset, {"voice": 12, "face": 512})


def test_a_split_without_training_rows_and_vectors_that_say_nothing_are_refused(copy):
    manifest = copy / "manifest.csv"
    text = manifest.read_text()
    rewrite(copy, face=np.full((100, 20), 0.1, np.float32))
    with pytest.raises(RequestError, match="all 56 training rows of 'face' are equal"):
        _ = FeatureReader(Dataset.open(copy)).statistics
    manifest.write_text(text.replace(",train,", ",,"))
    with pytest.raises(RequestError, match="no voice row has split 'train'"):
        _ = FeatureReader(Dataset.open(copy)).statistics


def test_towers_and_data_of_different_kinds_are_refused(vectors, reader, config, vector_config):
    with pytest.raises(RequestError, match=r"holds feature vectors, and the towers compact take voice and face files"):
        open_reader(Dataset.open(vectors), config.model, config.voice, config.face)
    with pytest.raises(RequestError, match=r"holds voice and face files, and the towers mlp take feature vectors"):
        open_reader(reader.dataset, vector_config.model, config.voice, config.face)
    media = open_reader(reader.dataset, config.model, config.voice, config.face, cache_bytes=7)
    assert isinstance(media, MediaReader) and media.cache_bytes == 7


def test_which_data_are_vectors(vectors, world, tmp_path):
    assert holds_features(str(vectors)) and holds_features(str(vectors / "manifest.csv"))
    for source in (world, tmp_path / "nowhere", "synth:tiny"):
        assert not holds_features(str(source))


def test_a_worker_gets_the_reader_without_its_vectors_and_makes_the_same_batches(source):
    made = batches(source, NOISY)
    wanted = made.batch(3)
    sent = pickle.dumps(made)
    # A memory map would travel as a copy.
    assert source.dataset.features["voice"][:2].tobytes() not in sent
    received = pickle.loads(sent)
    received.reader = received.reader.for_worker(2)
    found = received.batch(3)
    assert torch.equal(found.voice, wanted.voice)
    assert torch.equal(found.face, wanted.face)
