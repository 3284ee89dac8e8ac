"""The training curves that belong to a table of results."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lowshot.experiments.cells import pretraining_run
from lowshot.runs import safe_name

if TYPE_CHECKING:
    from lowshot.adapt.start import Start

LOG = "metrics.csv"


def pretraining_curves(directory: Path, results: pd.DataFrame) -> dict[str, Path]:
    """Logs of the pretraining runs in a directory, by the runs' names.

    Args:
        directory: of `lowshot demo` or `lowshot compare`, which may also hold runs of methods and seeds that were asked
            for another time.
        results: in the columns of results.csv; the runs of its `method` and `train_seed` values count.
    """
    seeds = sorted(int(seed) for seed in results["train_seed"].dropna().unique())
    runs = [pretraining_run(method, seed) for seed in seeds for method in results["method"].unique()]
    logs = {run: directory / run / LOG for run in runs}
    return {run: log for run, log in logs.items() if log.is_file()}


def keep_training_log(start: "Start", directory: Path) -> None:
    """Copy the log of a model's pretraining to where it is measured: the page of that directory shows it for good.

    Of an adapted model it is that of the run which it started from, if that lies beside it. Nothing is copied where
    there is none.
    """
    method, seed = start.facts["method"], start.facts.get("train_seed", "")
    if start.path is None or not start.path.is_dir() or safe_name(method) != method or not seed.isdecimal():
        return
    init = start.facts.get("init", "")
    beside = [start.path.parent / init] if safe_name(init) == init else []
    source = next((run for run in [start.path, *beside] if (run / LOG).is_file()), None)
    if source is None:
        return
    target = directory / pretraining_run(method, int(seed))
    target.mkdir(exist_ok=True)
    for name in (LOG, "clusters.csv"):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
