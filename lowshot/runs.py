"""Run directories: their names, locks, provenance and order."""

import json
import platform
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lowshot import __version__
from lowshot.config import Config, build_config, read_yaml
from lowshot.errors import RequestError
from lowshot.files import write_text
from lowshot.schema import CONFIG, LOCK, MODEL, PROVENANCE, REPORT, RESULTS

RUNS = Path("runs")
# These kinds write the page last; other kinds end in a model.
MEASURING = ("evaluate", "demo", "compare")
WITHIN = "within"
LIBRARIES = ("torch", "torchvision", "torchaudio", "numpy", "scikit-learn", "pandas", "scipy")


def new_run(kind: str, label: str, runs: Path = RUNS) -> Path:
    """Make the next run directory, such as `runs/0007-pretrain-cmpc`.

    Args:
        kind: the verb that makes it.
        label: any text that distinguishes it from others of its kind.
        runs: the folder that holds all runs.
    """
    label = safe_name(label)
    number = 1 + max((_number(path) for path in runs.glob("[0-9]*-*")), default=0)
    while True:
        path = runs / f"{number:04d}-{kind}-{label}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return path


def safe_name(text: str) -> str:
    """Turn text into a file name that any operating system takes."""
    return re.sub(r"[^\w.+-]", "_", text).strip(".") or "unnamed"


def open_run(out: Path | None, kind: str, label: str) -> Path:
    """Open a verb's run directory: `out`, or the next numbered run.

    Raises:
        RequestError: `out` is a file, or holds something other than an unfinished run of this kind.
    """
    if out is None:
        return new_run(kind, label)
    check_out(out, kind)
    out.mkdir(parents=True, exist_ok=True)
    return out


def check_out(out: Path | None, kind: str) -> None:
    """Refuse early what `open_run` would refuse later.

    Raises:
        RequestError: see `open_run`.
    """
    if out is None:
        return
    if out.is_file():
        raise RequestError(f"`out` {out}: is a file; name a directory")
    if not all(path.is_dir() or _left_behind(path) for path in out.rglob("*")):
        found = read_provenance(out).get("kind")
        if found != kind:
            what = f"a run of `{found}`" if found else "files that are not a run's"
            raise RequestError(f"`out` {out}: holds {what}; name an empty directory")
        if is_finished(out):
            raise RequestError(f"`out` {out}: holds a finished run; name another directory")


def _left_behind(path: Path) -> bool:
    """Tell if a killed process left this temporary or lock file."""
    return path.name.startswith(".") and (path.suffix == ".part" or path.name == LOCK.name)


def start_run(run: Path, kind: str, config: Config, data_sha: str, **facts: Any) -> None:
    """Write a run's provenance and settings before anything else.

    They identify the run if it is killed.

    Args:
        run: from `open_run` or `new_run`.
        kind, config, data_sha, facts: as `write_provenance` takes them.
    """
    write_provenance(run, kind, config, data_sha, **facts, finished=False)
    write_text(run / CONFIG, config.to_yaml())


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Lock a run against other processes within the block.

    The lock ends with the process at the latest.

    Raises:
        RequestError: another process holds it.
    """
    path = run / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RequestError(
            f"{run}: another process is writing to this run; wait until it ends, or name another directory by `out`"
        ) from error
    try:
        yield
    finally:
        lock.release()


def is_locked(run: Path) -> bool:
    """Tell if a process is writing to a run now."""
    try:
        with lock_run(run):
            return False
    except RequestError:
        return True


def is_finished(run: Path) -> bool:
    """Tell if a run has finished and its outcome is still there."""
    provenance = read_provenance(run)
    kind = provenance.get("kind")
    outcome = RESULTS if kind == WITHIN else REPORT if kind in MEASURING else MODEL
    return bool(provenance.get("finished")) and (run / outcome).is_file()


def _number(path: Path) -> int:
    head = path.name.split("-", 1)[0]
    return int(head) if head.isdigit() else 0


def newest_run(kinds: tuple[str, ...], runs: Path = RUNS) -> Path:
    """Find the newest finished run of one of `kinds`.

    Raises:
        RequestError: there is none.
    """
    for path in _newest_first(runs):
        if read_provenance(path).get("kind") in kinds and is_finished(path):
            return path
    raise RequestError(
        f"no finished {' or '.join(kinds)} run in {runs.resolve()}; run `lowshot pretrain` first, "
        "or name a model (`lowshot models list` shows those that come with lowshot)"
    )


def unfinished_run(kind: str, same: Callable[[Path], bool], runs: Path = RUNS) -> Path | None:
    """Find the newest unfinished run that no process is writing to.

    Args:
        kind: the verb that made it.
        same: tells if a run has the same request as the present one.
        runs: the folder that holds all runs.
    """
    for path in _newest_first(runs):
        if read_provenance(path).get("kind") == kind and not is_finished(path) and same(path) and not is_locked(path):
            return path
    return None


def _newest_first(runs: Path) -> list[Path]:
    return sorted(runs.glob("[0-9]*-*"), key=_number, reverse=True)


def called_with() -> list[str]:
    """Return the command line of this process."""
    program = Path(sys.argv[0])
    ours = program.stem == "lowshot" or program.parts[-2:] == ("lowshot", "__main__.py")
    return ["lowshot" if ours else program.name or "python", *sys.argv[1:]]


def command_line(words: Sequence[str], arguments: Mapping[str, object] | None = None) -> str:
    """Quote a command for a shell.

    Args:
        words: the program, its verb, and what follows.
        arguments: arguments by name; they become options.
    """
    options = [word for name, value in (arguments or {}).items() for word in (_option(name), str(value))]
    return shlex.join([*words, *options])


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def read_provenance(run: Path) -> dict[str, Any]:
    """Read the provenance of a run; empty if nothing was written yet.

    Raises:
        RequestError: the file cannot be read, or is damaged.
    """
    path = run / PROVENANCE
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise RequestError(f"{path}: not JSON ({error})") from error
    if not isinstance(facts, dict):
        raise RequestError(f"{path}: not a JSON object; the file is damaged")
    return facts


@cache
def _library_versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in LIBRARIES}


def write_provenance(run: Path, kind: str, config: Config, data_sha: str, **facts: Any) -> None:
    """Write provenance.json: versions, machine, command, hashes, and `facts`."""
    record = {
        "kind": kind,
        "lowshot": __version__,
        "command": called_with(),
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": _library_versions(),
        "seed": config.seed,
        "config_sha": config.sha(),
        "data": config.data,
        "data_sha": data_sha,
        **facts,
    }
    write_text(run / PROVENANCE, json.dumps(record, indent=2) + "\n")


def read_config(run: Path) -> Config:
    """Read the settings of a run.

    Raises:
        RequestError: there are none, or this version does not know them.
    """
    return build_config([read_yaml(run / CONFIG)])
