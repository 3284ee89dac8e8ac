"""Evaluate score tables alone, without a dataset, a model or torch."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lowshot.config import Config
from lowshot.errors import RequestError
from lowshot.evaluation.from_scores import EXTERNAL
from lowshot.evaluation.from_scores import evaluate_scores as measure
from lowshot.evaluation.results import write_results, write_scores
from lowshot.progress import Report, warning
from lowshot.reporting.page import write_report
from lowshot.runs import called_with, check_out, command_line, open_run, safe_name, start_run, write_provenance
from lowshot.schema import RESULTS


def evaluate_scores(
    paths: Sequence[Path], config: Config, out: Path | None, report: Report
) -> tuple[Path, pd.DataFrame]:
    """Evaluate score tables.

    Args:
        paths: score tables, and folders of them.
        config: replicates and seed; written to config.yaml.
        out: the directory, if given.
        report: takes warnings.

    Returns:
        The run directory and the rows of its results.csv.
    """
    check_out(out, "evaluate")
    files = [file for path in paths for file in (sorted(path.glob("*.csv")) if path.is_dir() else [path])]
    if not files:
        raise RequestError(f"`scores` {paths[0]}: no CSV files in this folder; name a score table")
    key = safe_name(paths[0].stem if paths[0].is_file() else paths[0].resolve().name)
    settings = config.evaluate
    result = measure(files, {**EXTERNAL, "run_id": key}, replicates=settings.replicates, seed=settings.seed)
    for line in result.warnings:
        warning(report, line)
    hashes = {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    directory = open_run(out, "evaluate", key)
    start_run(directory, "evaluate", config, "", scores=hashes)
    write_scores(directory / "scores" / key, result.scores)
    write_scores(directory / "curves" / key, result.curves)
    write_results(directory / RESULTS, result.rows)
    write_provenance(directory, "evaluate", config, "", scores=hashes, warnings=list(result.warnings), finished=True)
    write_report(directory, title=key, curves={}, commands=[command_line(called_with())])
    return directory, result.rows
