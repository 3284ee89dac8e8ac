"""Every example in a docstring runs as it stands, in a folder with two voices and three faces."""

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "lowshot").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for name, pitch in (("a", 110), ("b", 190)):
        time = np.arange(24_000) / 16_000
        soundfile.write(tmp_path / f"{name}.wav", 0.3 * np.sign(np.sin(2 * np.pi * pitch * time)), 16_000)
    for name in "abc":
        Image.fromarray(rng.integers(0, 255, (80, 64, 3), dtype=np.uint8)).save(tmp_path / f"{name}.jpg")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, folder):
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS, report=True)
    assert found.attempted and not found.failed
