"""Run directories: where they are, what is in them, which one is the newest."""

import json
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from lowshot import __version__
from lowshot.config import Config, build_config, read_yaml
from lowshot.errors import RequestError
from lowshot.files import write_text

RUNS = Path("runs")
MODEL = "model.safetensors"
PROVENANCE = "provenance.json"
LIBRARIES = ("torch", "torchvision", "torchaudio", "numpy", "scikit-learn", "pandas", "scipy")


def new_run(kind: str, label: str, runs: Path = RUNS) -> Path:
    """Make the next run directory, as in `runs/0007-pretrain-cmpc`.

    Args:
        kind: the verb that makes it.
        label: what tells it from others of its kind.
        runs: the folder that holds all runs.
    """
    number = 1 + max((_number(path) for path in runs.glob("[0-9]*-*")), default=0)
    while True:
        path = runs / f"{number:04d}-{kind}-{label}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return path


def open_run(out: Path | None, kind: str, label: str) -> Path:
    """The directory that a verb writes to: `--out` where given, the next numbered run otherwise.

    Raises:
        RequestError: `out` is a file, or holds something that is not a run of this kind.
    """
    if out is None:
        return new_run(kind, label)
    if out.is_file():
        raise RequestError(f"--out {out}: is a file; name a directory")
    if out.is_dir() and any(out.iterdir()):
        found = read_provenance(out).get("kind") if (out / PROVENANCE).is_file() else None
        if found != kind:
            what = f"a {found} run" if found else "files that are not a run's"
            raise RequestError(f"--out {out}: holds {what}; name an empty directory")
    out.mkdir(parents=True, exist_ok=True)
    return out


def _number(path: Path) -> int:
    head = path.name.split("-", 1)[0]
    return int(head) if head.isdigit() else 0


def newest_run(kinds: tuple[str, ...], runs: Path = RUNS) -> Path:
    """The newest finished run of one of `kinds`.

    Raises:
        RequestError: there is none.
    """
    for path in sorted(runs.glob("[0-9]*-*"), key=_number, reverse=True):
        if (path / MODEL).is_file() and read_provenance(path).get("kind") in kinds:
            return path
    raise RequestError(f"no finished {' or '.join(kinds)} run in {runs.resolve()}; run `lowshot pretrain` first")


def read_provenance(run: Path) -> dict[str, Any]:
    """What is known of how a run came about; empty where nothing was written yet.

    Raises:
        RequestError: the file is damaged.
    """
    path = run / PROVENANCE
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RequestError(f"{path}: not JSON ({error})") from error


def write_provenance(run: Path, kind: str, config: Config, data_sha: str, **facts: Any) -> None:
    """Write provenance.json: versions, machine, command, hashes, and `facts`."""
    record = {
        "kind": kind,
        "lowshot": __version__,
        "command": ["lowshot", *sys.argv[1:]],
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "seed": config.seed,
        "config_sha": config.sha(),
        "data": config.data,
        "data_sha": data_sha,
        **facts,
    }
    write_text(run / PROVENANCE, json.dumps(record, indent=2) + "\n")


def read_config(run: Path) -> Config:
    """The settings a run was made with.

    Raises:
        RequestError: there are none, or this version does not know them.
    """
    return build_config([read_yaml(run / "config.yaml")])
