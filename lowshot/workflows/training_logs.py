"""Find and keep the training logs behind a table of results."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lowshot.errors import RequestError
from lowshot.experiments.cells import pretraining_run
from lowshot.files import atomic_path
from lowshot.reporting import cluster_tables
from lowshot.reporting.training_plots import read_log
from lowshot.runs import read_provenance
from lowshot.schema import CLUSTERS, METRICS, MODEL

if TYPE_CHECKING:
    from lowshot.models.loaded import LoadedModel


def pretraining_curves(directory: Path, results: pd.DataFrame) -> dict[str, Path]:
    """Find the logs of pretraining runs in a directory, by name.

    Args:
        directory: of `lowshot demo` or `lowshot compare`. It may also hold runs of an earlier request.
        results: in the columns of results.csv; the runs of its `method` and `train_seed` values count.
    """
    seeds = sorted(int(seed) for seed in results["train_seed"].dropna().unique())
    runs = [pretraining_run(method, seed) for seed in seeds for method in results["method"].unique()]
    logs = {run: directory / run / METRICS for run in runs}
    return {run: log for run, log in logs.items() if log.is_file()}


def keep_training_log(loaded: "LoadedModel | None", directory: Path) -> str:
    """Copy the log of a model's pretraining into its evaluation.

    An adapted model has the log of the run that it started from, if that run lies beside it. Logs of other models,
    left by a killed evaluation, are removed.

    Args:
        loaded: the model; None for embeddings.
        directory: of the evaluation.

    Returns:
        Why an existing log was not kept; "" if it was kept or if there is none.
    """
    for old in directory.glob("pretrain-*/*"):
        old.unlink()
    if loaded is None:
        return ""
    name = pretraining_run(loaded.metadata["method"], int(loaded.metadata.get("train_seed", 0)))
    try:
        source = _pretraining_of(loaded)
        if source is None or not _is_name(name):
            return ""
        read_log(source / METRICS)
        cluster_tables.gather({name: source / METRICS})
    except RequestError as error:
        return f"the training log of {loaded.name} is skipped: {error}"
    for path in (source / METRICS, source / CLUSTERS):
        if path.is_file():
            (directory / name).mkdir(exist_ok=True)
            with atomic_path(directory / name / path.name) as temporary:
                shutil.copyfile(path, temporary)
    return ""


def _pretraining_of(loaded: "LoadedModel") -> Path | None:
    """Find the run with the log of a model's pretraining."""
    from lowshot.models.loaded import load_model

    if loaded.path is None or not (loaded.path.is_dir() or loaded.path.name == MODEL):
        return None
    path = loaded.path.resolve()
    run = path if path.is_dir() else path.parent
    if (run / METRICS).is_file():
        return run
    init = loaded.metadata.get("init", "")
    beside = run.parent / init
    if not _is_name(init) or not (beside / METRICS).is_file() or not (beside / MODEL).is_file():
        return None
    # Every folder of runs has the same names, so compare the weights.
    return beside if load_model(beside).sha == read_provenance(run).get("start_sha") else None


def _is_name(text: str) -> bool:
    """Tell if a text is a single folder name, not a path."""
    return Path(text).name == text and text not in ("", "..")
