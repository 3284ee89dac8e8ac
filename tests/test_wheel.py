"""A built wheel works from any folder, presets and protocol definitions included."""

import json
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
    where = run("-P", "-c", "import lowshot; print(lowshot.__file__)", cwd=folder, PYTHONPATH=str(folder / "site"))
    assert Path(where.strip()).is_relative_to(folder / "site")
    return folder / "site"


# Several command lines in one process, which imports torch once.
COMMANDS = """
import json, sys
from lowshot import cli
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["lowshot", *arguments]
    try:
        cli.main()
    except SystemExit as end:
        if end.code:
            raise
"""


def lowshot(installed: Path, *commands: tuple[str, ...]) -> str:
    """The wheel's own lowshot: -P keeps the current folder off the path, and the wheel comes before the checkout."""
    return run("-P", "-c", COMMANDS, json.dumps(commands), cwd=installed.parent, PYTHONPATH=str(installed))


def test_protocols_and_presets_come_along(installed):
    shown = run("-P", "-m", "lowshot", "protocols", "list", cwd=installed.parent, PYTHONPATH=str(installed))
    assert str(Path("_protocols", "synth-demo")) in shown
    commands = (("protocols", "show", "verification"), ("models", "show", "pretrained:cmpc-compact"))
    shown = lowshot(installed, *commands, ("demo", "--help"))
    for words in ("strata", str(Path("_pretrained", "cmpc-compact.md")), "tiny"):
        assert words in shown
    assert (installed / "lowshot" / "_protocols" / "synth-demo" / "per01-seed0.csv").is_file()
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
    pretrain = (
        "pretrain",
        "--config",
        str(tmp_path / "micro.yaml"),
        "--set",
        "train.epochs=1",
        "--out",
        str(run_folder),
    )
    little = ("--protocol", "matching", "--set", "evaluate.replicates=100")
    lowshot(installed, pretrain, ("evaluate", "--model", str(run_folder), "--out", str(tmp_path / "out"), *little))
    assert (tmp_path / "out" / "report.html").is_file()
