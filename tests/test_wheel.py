"""A built wheel works from any folder, presets and protocol definitions included."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


def run(*arguments: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), cwd=ROOT)
    wheel = next((folder / "dist").glob("*.whl"))
    run("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder / "site"), str(wheel), cwd=folder)
    return folder / "site"


def lowshot(installed: Path, *arguments: str) -> str:
    """The wheel's own lowshot: -P keeps the current folder off the path, and the wheel comes before the checkout."""
    where = run("-P", "-c", "import lowshot; print(lowshot.__file__)", cwd=installed.parent, PYTHONPATH=str(installed))
    assert Path(where.strip()).is_relative_to(installed)
    return run("-P", "-m", "lowshot", *arguments, cwd=installed.parent, PYTHONPATH=str(installed))


def test_protocols_and_presets_come_along(installed):
    assert "strata" in lowshot(installed, "protocols", "show", "verification")
    assert str(Path("_protocols", "synth-demo")) in lowshot(installed, "protocols", "list")
    assert (installed / "lowshot" / "_protocols" / "synth-demo" / "per01-seed0.csv").is_file()
    assert str(Path("_pretrained", "cmpc-compact.md")) in lowshot(
        installed, "models", "show", "pretrained:cmpc-compact"
    )
    assert "tiny" in lowshot(installed, "demo", "--help")
    assert (installed / "lowshot" / "py.typed").is_file()
    assert list((installed / "lowshot" / "reporting" / "templates").glob("*.j2"))


def test_the_wheel_encodes_a_voice_and_a_face_in_an_empty_folder(installed, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(24_000) / 20), 16_000)
    Image.new("RGB", (80, 96), "brown").save(tmp_path / "b.jpg")
    lines = (
        "import lowshot; m = lowshot.load('pretrained:cmpc-compact'); "
        "print(m.similarity(m.encode_voice(['a.wav']), m.encode_face(['b.jpg'])))"
    )
    out = run("-P", "-c", lines, cwd=tmp_path, PYTHONPATH=str(installed))
    assert -1 <= float(out.strip().strip("[]")) <= 1
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["a.wav", "b.jpg"]


def test_the_wheel_trains_and_reports(installed, config, tmp_path):
    (tmp_path / "micro.yaml").write_text(config.to_yaml())
    run_folder = tmp_path / "run"
    little = ("--config", str(tmp_path / "micro.yaml"), "--set", "train.epochs=1")
    lowshot(installed, "pretrain", *little, "--out", str(run_folder))
    little = ("--protocol", "matching", "--set", "evaluate.replicates=100")
    lowshot(installed, "evaluate", "--model", str(run_folder), "--out", str(tmp_path / "out"), *little)
    assert (tmp_path / "out" / "report.html").is_file()
