"""Pairs and batches: what a sample looks like depends on (seed, step, position) and on nothing else."""

import numpy as np
import pytest
import torch

from lowshot.data.augment import FACE_UNIFORMS, UNIFORMS, VOICE_UNIFORMS, augment_faces, augment_voices, centre_crop
from lowshot.data.media_inputs import crop_voice
from lowshot.data.pairs import PairBatches, epoch_order, sample_uniforms, videos_of
from lowshot.data.readers.media import MediaReader
from lowshot.errors import RequestError
from lowshot.settings import AugmentConfig


@pytest.fixture
def batches(reader, config):
    return PairBatches(videos_of(reader.dataset, "train"), reader, 16, 3, config.voice, config.face, config.augment)


def equal(a, b):
    return torch.equal(a.index, b.index) and torch.equal(a.voice, b.voice) and torch.equal(a.face, b.face)


def test_row_12_a_batch_depends_on_its_step_alone(batches, reader, config):
    later_first = [batches.batch(step) for step in (5, 0)]
    # Another reader, decoding anew and keeping nothing, in another order, from another thread's point of view.
    fresh = MediaReader(reader.dataset, config.voice, config.face, cache_bytes=0)
    again = PairBatches(batches.videos, fresh, 16, 3, config.voice, config.face, config.augment)
    assert equal(again.batch(0), later_first[1])
    assert equal(again.batch(5), later_first[0])


def test_row_12_samples_of_a_batch_differ_and_so_do_steps_and_seeds():
    uniforms = np.concatenate([sample_uniforms(64, seed, step) for seed in (0, 1) for step in (0, 1)])
    assert uniforms.shape == (256, UNIFORMS)
    assert len(np.unique(uniforms[:, 1])) == 256


def test_a_position_draws_the_same_in_a_larger_batch():
    np.testing.assert_array_equal(sample_uniforms(8, 0, 5), sample_uniforms(32, 0, 5)[:8])


def test_an_epoch_visits_every_video_once(batches):
    seen = torch.cat([batches.batch(step).index for step in range(batches.steps_per_epoch)])
    assert len(seen.unique()) == len(seen) == batches.steps_per_epoch * 16
    assert sorted(epoch_order(50, 0, 1)) == list(range(50))
    assert not np.array_equal(epoch_order(50, 0, 1), epoch_order(50, 0, 2))


def test_voice_and_face_of_a_pair_are_of_one_video(reader):
    videos = videos_of(reader.dataset, "train")
    for name, voices, faces in zip(videos.names, videos.voices, videos.faces, strict=True):
        assert set(reader.dataset.voices["video"].iloc[voices]) == {name}
        assert set(reader.dataset.faces["video"].iloc[faces]) == {name}


def test_only_videos_of_the_split_are_trained_on(reader):
    manifest = reader.dataset.manifest
    videos = videos_of(reader.dataset, "train")
    assert set(manifest.loc[manifest["video"].isin(videos.names), "split"]) == {"train"}


def test_videos_with_one_modality_are_left_out(reader, tmp_path):
    manifest = reader.dataset.manifest
    lone = manifest[(manifest["split"] == "train") & (manifest["modality"] == "face")]["video"].iloc[0]
    dataset = _with_manifest(
        reader, manifest[~((manifest["video"] == lone) & (manifest["modality"] == "face"))], tmp_path
    )
    assert lone in videos_of(reader.dataset, "train").names
    assert lone not in videos_of(dataset, "train").names


def test_a_split_without_pairs_is_refused(reader, tmp_path):
    manifest = reader.dataset.manifest
    train_faces = (manifest["split"] == "train") & (manifest["modality"] == "face")
    with pytest.raises(RequestError, match="no video of split 'train' has both"):
        videos_of(_with_manifest(reader, manifest[~train_faces], tmp_path), "train")


def _with_manifest(reader, manifest, folder):
    from lowshot.data.dataset import Dataset

    manifest.to_csv(folder / "manifest.csv", index=False)
    return Dataset.open(folder)


def test_a_small_set_gives_one_full_batch(reader, config):
    few = videos_of(reader.dataset, "train").select(np.arange(5))
    batches = PairBatches(few, reader, 64, 0, config.voice, config.face, config.augment)
    assert (batches.batch_size, batches.steps_per_epoch) == (5, 1)


def test_crops_cover_the_whole_clip_and_short_clips_are_padded():
    log_mel = np.tile(np.arange(10.0), (4, 1))
    starts = {crop_voice(log_mel, -9.0, 4, draw)[0, 0] for draw in np.linspace(0, 0.9999, 50)}
    assert starts == set(range(7))
    padded = crop_voice(log_mel, -9.0, 12, 0.7)
    np.testing.assert_array_equal(padded[0], [*range(10), -9, -9])


def test_augmentation_at_zero_is_the_centre_crop():
    off = AugmentConfig(
        tilt_db=0, time_mask=0, band_mask=0, shift=0, scale=0, rotate_degrees=0, brightness=0, contrast=0, flip=False
    )
    uniforms = torch.rand(3, VOICE_UNIFORMS + FACE_UNIFORMS)
    images = torch.randint(0, 256, (3, 3, 36, 36), dtype=torch.uint8)
    torch.testing.assert_close(augment_faces(images, uniforms, 32, off), centre_crop(images, 32), atol=1e-5, rtol=0)
    log_mel = torch.randn(3, 64, 48)
    torch.testing.assert_close(augment_voices(log_mel, uniforms, off), log_mel.unsqueeze(1))


def test_augmentation_changes_samples_and_stays_in_range():
    uniforms = torch.rand(32, VOICE_UNIFORMS + FACE_UNIFORMS, generator=torch.Generator().manual_seed(0))
    images = torch.randint(0, 256, (1, 3, 36, 36), dtype=torch.uint8).expand(32, -1, -1, -1)
    faces = augment_faces(images, uniforms, 32, AugmentConfig())
    assert faces.min() >= -1
    assert faces.max() <= 1
    assert len(faces.flatten(1).unique(dim=0)) == 32
    voices = augment_voices(torch.randn(1, 64, 48).expand(32, -1, -1), uniforms, AugmentConfig())
    assert len(voices.flatten(1).unique(dim=0)) == 32


def test_a_mirrored_face_is_mirrored():
    only_flip = AugmentConfig(shift=0, scale=0, rotate_degrees=0, brightness=0, contrast=0)
    images = torch.randint(0, 256, (2, 3, 36, 36), dtype=torch.uint8)
    uniforms = torch.full((2, VOICE_UNIFORMS + FACE_UNIFORMS), 0.9)
    uniforms[0, VOICE_UNIFORMS + 2] = 0.1
    faces = augment_faces(images, uniforms, 32, only_flip)
    torch.testing.assert_close(faces[0], centre_crop(images, 32)[0].flip(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(faces[1], centre_crop(images, 32)[1], atol=1e-5, rtol=0)
