"""A world small enough to render once per test session."""

from pathlib import Path

import pytest

from lowshot.config import Config, build_config
from lowshot.data.dataset import Dataset
from lowshot.data.reader import MediaReader
from lowshot.data.synthetic.render import render_world
from lowshot.data.synthetic.world import WorldConfig

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


@pytest.fixture(autouse=True)
def _no_shared_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own current folder, so that runs/ of one never shows in another."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
