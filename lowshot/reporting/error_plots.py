"""ROC and DET of verification, drawn from curves/ or scores/."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr, ndtri

from lowshot.errors import RequestError
from lowshot.metrics.verification import roc_points
from lowshot.reporting import style, tables
from lowshot.reporting.drawing import (
    LINES,
    Missing,
    Picture,
    Series,
    figure_and_axes,
    finish,
    read_columns,
    reference,
    say,
    series_of,
)
from lowshot.schema import CHANCE, CURVES, EVERYONE, ORACLE, RESULTS, SCORES, UNSEEN

FloatArray = npt.NDArray[np.float64]
TRIALS = f"verification-{UNSEEN}-{EVERYONE}.csv"
"""Name of a table of scores or of points of a curve."""
# Ends of a DET curve; beyond them it rests on one or two trials.
_RAREST = 0.005
_TICKS = (0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99)


def error_curves(
    results: pd.DataFrame, looks: Mapping[str, style.Look], directories: Sequence[Path]
) -> list[Picture | Missing]:
    """Draw ROC and DET of verification in stratum U, by model.

    With several seeds, a curve is their mean.

    Args:
        results: from `sources.gather`; `source` is the directory with a row's curves/ and scores/.
        looks: of the methods.
        directories: of the results, in order. The oracle's curve is from the first that has one.

    Raises:
        RequestError: a table of points or of scores is malformed.
    """
    titles = {"roc": "ROC on unseen identities", "det": "DET on unseen identities"}
    series = series_of(results, looks)
    files = {item: _tables(results, item, alone=len(series) == 1) for item in series}
    if not any(files.values()):
        reason = f"there is no {CURVES}/<run_id>/{TRIALS} or {SCORES}/<run_id>/{TRIALS} beside {RESULTS}"
        return [Missing(name, title, reason) for name, title in titles.items()]
    found = (
        sorted((directory / kind).glob(f"{ORACLE}*/{TRIALS}")) for directory in directories for kind in (CURVES, SCORES)
    )
    oracle = Series(ORACLE, "", math.nan, ORACLE, LINES[1], looks[ORACLE])
    files[oracle] = next(filter(None, found), [])
    points = {item: [_curve(path) for path in paths] for item, paths in files.items() if paths}
    return [_roc(results, points, titles["roc"]), _det(results, points, titles["det"])]


def _roc(
    results: pd.DataFrame, points: Mapping[Series, Sequence[tuple[FloatArray, FloatArray]]], title: str
) -> Picture:
    auc = tables.figures(results, {"auc": tables.AUC})
    grid = np.linspace(0, 1, 401)
    figure, axes = figure_and_axes(4.6)
    axes.plot([0, 100], [0, 100], color=style.CHANCE_INK[0], linewidth=1.2)
    handles, said = [], {}
    for item, runs in points.items():
        curves = [np.interp(grid, *run) for run in runs]
        if len(curves) > 1:
            for curve in curves:
                axes.plot(100 * grid, 100 * curve, color=item.color, linewidth=0.6, alpha=0.5)
        line = axes.plot(100 * grid, 100 * np.mean(curves, axis=0), color=item.color, linestyle=item.line)[0]
        row = item.of(auc)
        said[item.label] = float(row["auc"].iloc[0]) if len(row) else math.nan
        line.set_label(f"{item.label} ({tables.percentage(said[item.label])})")
        handles.append(line)
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes.set(xlabel="different identity, accepted (%)", ylabel="same identity, accepted (%)")
    alt = f"ROC curves of verification; areas: {say(said)}; chance 50 %."
    return finish(figure, [*handles, reference(CHANCE)], "roc", title, alt)


def _det(
    results: pd.DataFrame, points: Mapping[Series, Sequence[tuple[FloatArray, FloatArray]]], title: str
) -> Picture:
    eer = tables.figures(results, {"eer": {**tables.AUC, "metric": "eer"}})
    end = float(ndtri(1 - _RAREST))
    ends = np.array([-end, end])
    grid = np.linspace(-end, end, 401)
    figure, axes = figure_and_axes(4.6)
    axes.plot(ends, -ends, color=style.CHANCE_INK[0], linewidth=1.2)
    handles, said = [], {}
    for item, runs in points.items():
        # Average the error rates first, then transform them to the axis.
        missed = np.mean([1 - np.interp(ndtr(grid), *run) for run in runs], axis=0)
        line = axes.plot(grid, ndtri(np.clip(missed, _RAREST, 1 - _RAREST)), color=item.color, linestyle=item.line)[0]
        row = item.of(eer)
        said[item.label] = float(row["eer"].iloc[0]) if len(row) else math.nan
        error = "" if math.isnan(said[item.label]) else f" ({tables.percentage(said[item.label])})"
        line.set_label(item.label + error)
        handles.append(line)
    places, names = ndtri(np.array(_TICKS)), [f"{100 * tick:g}" for tick in _TICKS]
    axes.set_xticks(places, names)
    axes.set_yticks(places, names)
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.set(xlabel="different identity, accepted (%)", ylabel="same identity, rejected (%)")
    known = {label: value for label, value in said.items() if not math.isnan(value)}
    errors = f"; equal error rates: {say(known)}" if known else ""
    alt = f"DET curves of verification of {', '.join(said)}{errors}; chance 50 %."
    return finish(figure, [*handles, reference(CHANCE)], "det", title, alt)


def _tables(results: pd.DataFrame, series: Series, alone: bool) -> list[Path]:
    """Find a series' tables, one per run; prefer curves to scores.

    Args:
        results: from `sources.gather`.
        series: of the picture.
        alone: no other series is on the page.
    """
    rows = series.of(results)
    if "run_id" not in rows:
        rows = rows.assign(run_id="")
    found, single = [], []
    for source, run in sorted(
        set(rows[["source", "run_id"]].fillna("").astype(str).itertuples(index=False, name=None))
    ):
        if not source:
            continue
        for folder in (Path(source) / CURVES, Path(source) / SCORES):
            # A folder of tables has its run's name. Results may come from anyone, so a name must not be a path.
            if run and Path(run).name == run and (path := folder / run / TRIALS).is_file():
                found.append(path)
                break
            # A run directory may hold the tables of its one model directly.
            if alone and (folder / TRIALS).is_file():
                single.append(folder / TRIALS)
                break
    return found or sorted(set(single))


def _curve(path: Path) -> tuple[FloatArray, FloatArray]:
    if "fpr" in tables.read_csv(path):
        points = read_columns(path, ("fpr", "tpr"))
        fpr, tpr = (points[name].to_numpy(float) for name in ("fpr", "tpr"))
        if not len(fpr) or not (np.diff(fpr) >= 0).all() or not ((tpr >= 0) & (tpr <= 1)).all():
            raise RequestError(f"{path}: columns 'fpr' and 'tpr' are not the points of a curve; fpr rises from 0 to 1")
        return fpr, tpr
    table = read_columns(path, ("label", "score"))
    try:
        roc = roc_points(table["score"].to_numpy(float), table["label"].to_numpy(float))
    except ValueError as error:
        raise RequestError(f"{path}: columns 'label' and 'score': {error}") from error
    return roc.fpr, roc.tpr
