"""What the package promises is what continuous integration tries."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_lowest_dependencies_are_tested():
    floors = dict(re.match(r"([\w-]+).*?>=([\d.]+)", each).groups() for each in PROJECT["dependencies"])
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert {name: tested.get(name, "")[: len(floor)] for name, floor in floors.items()} == floors


def test_every_python_that_is_promised_is_tested():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
    promised = {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)}
    assert set(jobs["systems"]["strategy"]["matrix"]["python"]) == promised
    assert min(promised) == PROJECT["requires-python"].removeprefix(">=")
