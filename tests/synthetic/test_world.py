"""The plan of a world: who is in it and what the latents are distributed like."""

import itertools
from dataclasses import replace

import numpy as np

from lowshot.synthetic.world import (
    FACE,
    NATIONALITIES,
    SIZES,
    VOICE,
    WorldConfig,
    bounded,
    build_world,
    config_hash,
    latent_model,
)


def test_splits_share_no_identity_and_seen_heard_clips_belong_to_training_identities():
    world = build_world(SIZES["demo"])
    by_split = {split: {v.identity for v in world.videos if v.split == split} for split in ("train", "val", "test", "")}
    assert len(by_split["train"]) == 150 and len(by_split["val"]) == 40 and len(by_split["test"]) == 200
    assert not by_split["train"] & by_split["val"]
    assert not by_split["train"] & by_split["test"]
    assert not by_split["val"] & by_split["test"]
    assert by_split[""] == by_split["train"]
    per_identity = np.bincount([v.identity for v in world.videos if v.split == "train"])
    assert per_identity.min() >= 8 and per_identity.max() <= 30 and 13 < per_identity.mean() < 19


def test_bench_has_enough_training_identities_for_one_percent():
    assert SIZES["bench"].train_identities >= 400


def test_video_names_and_face_folders_are_unique_and_youtube_like():
    world = build_world(SIZES["demo"])
    names = [video.name for video in world.videos]
    assert len(set(names)) == len(names)
    assert all(len(name) == 11 and name.isascii() and "/" not in name for name in names)
    assert len(set(world.names)) == len(world.ids) == len(set(world.ids))
    assert all(name.isascii() and name.count("_") == 1 for name in world.names)


def test_exactly_the_configured_share_of_training_videos_deviates_and_no_other_video():
    world = build_world(SIZES["demo"])
    train = [video for video in world.videos if video.split == "train"]
    deviating = [video for video in world.videos if video.voice_identity != video.identity]
    assert len(deviating) == round(0.10 * len(train))
    assert {video.split for video in deviating} == {"train"}
    assert all(world.splits[video.voice_identity] == "train" for video in deviating)


def test_no_share_means_no_deviating_video():
    world = build_world(WorldConfig(deviating_share=0.0))
    assert all(video.voice_identity == video.identity for video in world.videos)


def test_genders_follow_the_quota_in_every_split():
    world = build_world(SIZES["demo"])
    for split, size in (("train", 150), ("val", 40), ("test", 200)):
        men = sum(g == "m" for g, s in zip(world.genders, world.splits, strict=True) if s == split)
        assert men == round(690 / 1251 * size)


def test_another_seed_is_another_world_and_the_same_seed_the_same():
    config = SIZES["tiny"]
    first, again, other = build_world(config), build_world(config), build_world(replace(config, seed=1))
    assert first.videos == again.videos and np.array_equal(first.voice, again.voice)
    assert not np.allclose(first.voice, other.voice)
    assert not {v.name for v in first.videos} & {v.name for v in other.videos}


def test_latents_have_unit_variance_within_a_class_and_the_modelled_covariance():
    model = latent_model()
    assert np.isclose(model.class_prior.sum(), 1)
    assert model.voice_noise.min() > 0 and model.face_noise.min() > 0
    world = build_world(WorldConfig(train_identities=4000, train_videos=(1, 1, 1), seen_heard_videos=0))
    train = np.array(world.splits) == "train"
    gender = np.array([g == "f" for g in world.genders])[train].astype(int)
    nation = np.array([NATIONALITIES.index(n) for n in world.nationalities])[train]
    c = gender * len(NATIONALITIES) + nation
    centred = np.concatenate(
        [world.voice[train] - model.voice_means[c], world.face[train] - model.face_means[c]], axis=1
    )
    loadings = np.concatenate([model.voice_loadings, model.face_loadings])
    expected = loadings @ loadings.T + np.diag(np.concatenate([model.voice_noise, model.face_noise]))
    assert np.allclose(np.diag(expected), 1)
    assert centred.shape[1] == len(VOICE) + len(FACE)
    # Standard error of a covariance from 4000 draws is about 0.016: five of them.
    assert np.abs(centred.T @ centred / len(centred) - expected).max() < 0.08


def test_age_in_years_follows_the_shared_latent():
    world = build_world(SIZES["bench"])
    assert np.corrcoef(world.ages, world.shared[:, 0])[0, 1] > 0.99
    assert min(world.ages) >= 16 and 40 < np.mean(world.ages) < 50


def test_bounded_keeps_the_order_and_hardly_moves_the_usual():
    x = np.linspace(-8, 8, 33)
    y = [bounded(value) for value in x]
    assert all(a < b for a, b in itertools.pairwise(y)) and max(np.abs(y)) < 4.5
    assert abs(bounded(1.0) - 1.0) < 0.02


def test_the_cache_key_follows_configuration_and_render_version():
    config = SIZES["tiny"]
    keys = {config_hash(config, 1), config_hash(config, 2), config_hash(replace(config, snr_db=(8.0, 36.0)), 1)}
    assert len(keys) == 3 and config_hash(config, 1) == config_hash(replace(config), 1)
