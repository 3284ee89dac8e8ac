"""Pictures of training, drawn from the metrics.csv of runs."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from lowshot.reporting import style
from lowshot.reporting.drawing import Missing, Picture, figure_and_axes, finish, read_columns

NO_LOG = "the pretraining's metrics.csv and clusters.csv are missing beside these results"


def training(curves: Mapping[str, Path], looks: Mapping[str, style.Look]) -> list[Picture | Missing]:
    """Draw loss and validation AUC by step.

    Args:
        curves: name of a training run -> its metrics.csv.
        looks: of the methods.
    """
    titles = {"training-loss": "Training loss", "training-auc": "Validation AUC during training"}
    if not curves:
        return [Missing(name, title, NO_LOG) for name, title in titles.items()]
    runs = {label: read_log(path) for label, path in curves.items()}
    return [_curve(runs, looks, name, title) for name, title in titles.items()]


def read_log(path: Path) -> pd.DataFrame:
    """Read the metrics.csv of a pretraining.

    Raises:
        RequestError: it is not a table, `step` or `loss` is missing, or one of them or `val_auc` holds text.
    """
    run = read_columns(path, ("step", "loss"))
    return read_columns(path, ("val_auc",)) if "val_auc" in run else run


def _curve(
    runs: Mapping[str, pd.DataFrame], looks: Mapping[str, style.Look], name: str, title: str
) -> Picture | Missing:
    is_auc = name == "training-auc"
    column, scale, ylabel = ("val_auc", 100, "validation AUC (%)") if is_auc else ("loss", 1, "loss")
    measured = {label: run for label, run in runs.items() if column in run.columns and run[column].notna().any()}
    if not measured:
        return Missing(name, title, f"no metrics.csv holds a figure in column '{column}'")
    figure, axes = figure_and_axes()
    if is_auc:
        axes.axhline(50, color=style.CHANCE_INK[0], linewidth=1.2)
    groups: dict[str, list[str]] = {}
    for label in measured:
        groups.setdefault(method_of(label), []).append(label)
    said, handles, feet = {}, [], 0
    for method, labels in groups.items():
        look = looks.get(method) or style.look(method)
        for label in labels:
            run = measured[label].dropna(subset=["step", column])
            marker = look.marker if is_auc else ""
            line = axes.plot(
                run["step"],
                scale * run[column],
                color=look.light,
                marker=marker,
                markersize=4,
                linewidth=1.6 if len(labels) == 1 else 1.0,
            )[0]
            said[label] = float(scale * run[column].iloc[-1])
        count = f" ({len(labels)} runs)" if len(labels) > 1 else ""
        line.set_label(style.short(style.name(method)) + count)
        handles.append(line)
        steps = np.unique(np.concatenate([_clusterings(runs[label]) for label in labels]))
        if len(steps):
            height = 0.02 + 0.035 * feet
            feet += 1
            foot = axes.get_xaxis_transform()
            axes.plot(steps, np.full(len(steps), height), "|", color=look.light, transform=foot, markersize=5)
    axes.set(xlabel="step", ylabel=ylabel)
    axes.margins(x=0.02, y=0.12)
    last = ", ".join(f"{label} {value:.4g}" for label, value in said.items())
    return finish(figure, handles, name, title, f"{title} by step; last values: {last}.")


def _clusterings(run: pd.DataFrame) -> np.ndarray:
    if "clustered" not in run:
        return np.array([])
    return run.loc[pd.to_numeric(run["clustered"], errors="coerce") == 1, "step"].to_numpy(float)


def method_of(label: str) -> str:
    """Return the method in a run's name, such as cmpc in pretrain-cmpc-seed0."""
    return re.sub(r"[-_, ]*seed[-_ ]?\d+$", "", label.removeprefix("pretrain-")) or label
