"""A world small enough to render once per test session."""

import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowshot.config import Config, build_config
from lowshot.data.dataset import Dataset
from lowshot.data.features import write_blocks
from lowshot.data.manifest import write_manifest
from lowshot.data.readers.media import MediaReader
from lowshot.schema import FEATURES
from lowshot.synthetic.render import render_world
from lowshot.synthetic.world import WorldConfig

MICRO = WorldConfig(
    name="micro",
    train_identities=10,
    val_identities=4,
    test_identities=6,
    train_videos=(3, 4, 5),
    val_videos=2,
    test_videos=3,
    seconds=(0.8, 1.2),
    image_size=48,
)
SETTINGS = {
    "voice": {"frames": 48},
    "face": {"size": 32},
    "model": {"dim": 16},
    "train": {"epochs": 6, "batch_size": 16, "log_every": 1, "validate_every": 3},
    "method": {"videos_per_cluster": [8, 4], "cluster_every": 2},
    "adapt": {"steps": 4, "probe_steps": 4, "checks": 2, "batch_size": 8},
    "evaluate": {"replicates": 100},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first, so that no long one is left when the other processes are done."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a rendered micro world. Do not change it: copy it."""
    root = tmp_path_factory.mktemp("world") / "micro"
    render_world(MICRO, root, workers=1)
    return root


@pytest.fixture(scope="session")
def config(world: Path) -> Config:
    """Settings under which everything takes a second."""
    return build_config([SETTINGS, {"data": str(world)}])


@pytest.fixture(scope="session")
def reader(world: Path, config: Config) -> MediaReader:
    """The micro world's media, decoded once."""
    return MediaReader(Dataset.open(world), config.voice, config.face)


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of 200 vectors whose identities have something in common in both modalities. Copy it to change it."""
    root = tmp_path_factory.mktemp("features") / "vectors"
    rng = np.random.default_rng(0)
    identities = np.repeat(np.arange(25), 4)
    shared = rng.standard_normal((25, 4))[identities]
    tensors = {}
    for modality, width in (("voice", 12), ("face", 20)):
        noise = rng.standard_normal((100, width))
        tensors[modality] = 5 + 3 * (shared @ rng.standard_normal((4, width)) + 0.3 * noise)
    splits = ["train"] * 14 + ["val"] * 4 + ["test"] * 7
    rows = [
        ("", modality, f"video{video}", f"person{identity}", splits[identity], "mf"[identity % 2])
        for modality in tensors
        for video, identity in enumerate(identities)
    ]
    write_blocks(root / FEATURES, tensors, {})
    columns = ["path", "modality", "video", "identity", "split", "gender"]
    write_manifest(pd.DataFrame(rows, columns=columns), root / "manifest.csv")
    return root


@pytest.fixture(scope="session")
def vector_config(vectors: Path) -> Config:
    """Settings for towers of vectors under which everything takes a second."""
    tower = {"model": {"tower": "mlp", "mlp": {"width": 32, "dropout": 0.1}}}
    noise = {"augment": {"feature_noise": 0.2, "feature_dropout": 0.1}}
    return build_config([SETTINGS, tower, noise, {"data": str(vectors)}])


@pytest.fixture(autouse=True)
def _no_shared_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own current folder, so that runs/ of one never shows in another."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pictures out of pages, unless a test is marked `pictures`: they take most of the time of a page."""
    if request.node.get_closest_marker("pictures") is None:
        monkeypatch.setattr("lowshot.reporting.plots.draw", lambda material: [])


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the processes of pretrainings where that is safe: a new Python imports torch for four seconds."""
    if sys.platform == "linux":
        fork = multiprocessing.get_context("fork")
        monkeypatch.setattr("lowshot.experiments.parallel_pretraining.multiprocessing.get_context", lambda _: fork)
