"""The choice of a pretraining run's directory.

It is a new one, or that of a stopped run with the same data and settings.
"""

from collections.abc import Set
from pathlib import Path
from typing import Any

from lowshot.config import Config
from lowshot.errors import RequestError
from lowshot.runs import new_run, open_run, read_config, read_provenance, unfinished_run
from lowshot.schema import CHECKPOINT

# The settings that decide the weights; data are identified by their hash, not by their path.
DECISIVE = frozenset({"seed", "voice", "face", "augment", "model", "train", "method"})
INDIFFERENT = frozenset({"train.checkpoint_seconds", "train.threads", "train.workers", "train.worker_start"})


def choose_run(config: Config, data_sha: str, out: Path | None, resume: str) -> tuple[Path, bool]:
    """Choose the directory of a pretraining run.

    Args:
        config: settings of the run.
        data_sha: hash of its data.
        out: the run directory, if given.
        resume: `auto`, `never`, or the path of a run.

    Returns:
        The directory, and whether the run continues from a checkpoint there.

    Raises:
        RequestError: the directory holds something else or a finished run, or has no checkpoint to continue from.
    """
    if resume not in {"auto", "never"}:
        run = Path(resume)
        if not (run / CHECKPOINT).is_file():
            raise RequestError(f"`resume={run}`: no checkpoint there; name a run directory, auto or never")
        if out is not None and out.resolve() != run.resolve():
            raise RequestError(f"`out` {out}: another directory than `resume={run}`; give one of them")
        return run, True
    if out is None:
        unfinished = _unfinished(config, data_sha) if resume == "auto" else None
        return (unfinished, True) if unfinished else (new_run("pretrain", config.method.name), False)
    run = open_run(out, "pretrain", config.method.name)
    started = (run / CHECKPOINT).is_file()
    if started and resume == "never":
        raise RequestError(f"`out` {run}: holds a run that was stopped; name another directory, or `resume=auto`")
    return run, started


def _unfinished(config: Config, data_sha: str) -> Path | None:
    """The newest stopped run in `runs/` with the same data and settings."""

    def same(run: Path) -> bool:
        saved = (run / CHECKPOINT).is_file() and read_provenance(run).get("data_sha") == data_sha
        return saved and not changed_settings(read_config(run), config)

    return unfinished_run("pretrain", same)


def changed_settings(old: Config, new: Config, sections: Set[str] = DECISIVE) -> list[str]:
    """Keys of settings that differ between two configurations and affect the result.

    Args:
        old, new: the configurations.
        sections: sections to compare; by default those that decide a pretraining run's weights.
    """
    before, after = (_flat(config.model_dump(mode="json", include=set(sections))) for config in (old, new))
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return {key: value for key, value in flat.items() if key not in INDIFFERENT}
