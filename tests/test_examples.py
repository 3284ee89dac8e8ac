"""Examples in docstrings and in docs/models.md run as they stand, in a folder with voices and faces."""

import doctest
import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "lowshot").rglob("*.py")
    if re.search(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for name, pitch in (("a", 110), ("b", 190), ("voice", 140)):
        time = np.arange(24_000) / 16_000
        soundfile.write(tmp_path / f"{name}.wav", 0.3 * np.sign(np.sin(2 * np.pi * pitch * time)), 16_000)
    for name in "abc":
        Image.fromarray(rng.integers(0, 255, (80, 64, 3), dtype=np.uint8)).save(tmp_path / f"{name}.jpg")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, folder):
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS, report=True)
    assert not found.failed


def test_the_examples_of_the_guide_run(folder, capsys):
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    scope: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        exec(block, scope)
    assert "(2, 128)" in capsys.readouterr().out
