"""Prototype health: the last clusters of each pretraining, table and picture."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lowshot.reporting import style, tables
from lowshot.reporting.drawing import Missing, Picture, figure_and_axes, finish
from lowshot.reporting.training_plots import NO_LOG, method_of
from lowshot.schema import CLUSTER_COLUMNS, CLUSTERS

NAME, TITLE = "clusters", "Sizes of the clusters"


def gather(curves: Mapping[str, Path]) -> pd.DataFrame:
    """Gather clusters.csv of the pretrainings, averaged over a method's runs.

    Args:
        curves: name of a training run -> its metrics.csv; clusters.csv lies beside it.

    Returns:
        Columns method, modality, runs and numbers of clusters.csv; no rows if no run has clusters.

    Raises:
        RequestError: a file is malformed.
    """
    parts = []
    for run, log in curves.items():
        path = log.parent / CLUSTERS
        if path.is_file():
            table = tables.typed(tables.read_csv(path), ("modality",), CLUSTER_COLUMNS[1:], path, "lowshot pretrain")
            parts.append(table.assign(method=method_of(run), runs=1))
    if not parts:
        return pd.DataFrame(columns=["method", "modality", "runs", *CLUSTER_COLUMNS[1:]])
    grouped = pd.concat(parts, ignore_index=True).groupby(["method", "modality", "granularity"], sort=False)
    means = grouped[list(CLUSTER_COLUMNS[1:][1:])].mean()
    return means.assign(runs=grouped["runs"].sum()).reset_index()


def rows(clusters: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of the page's table as text."""

    def number(value: float) -> str:
        return tables.MISSING if math.isnan(value) else f"{value:,.4g}"

    return [
        {
            "method": style.name(row["method"]),
            "runs": int(row["runs"]),
            "which": _which(row),
            "clusters": number(row["clusters"]),
            "sizes": f"{number(row['median'])} ({number(row['smallest'])} to {number(row['largest'])})",
            "single": tables.percentage(row["single"]),
            "purity": tables.percentage(row["purity"]),
            "purity_chance": tables.percentage(row["purity_chance"]),
            "weights": tables.percentage(row["weights_below_half"]),
        }
        for row in clusters.to_dict("records")
    ]


def _which(row: Mapping[Any, Any]) -> str:
    modality = "voice and face" if row["modality"] == "both" else row["modality"]
    return f"{modality} {row['granularity'] + 1:.0f}"


def sizes(clusters: pd.DataFrame, looks: Mapping[str, style.Look], logged: bool) -> Picture | Missing:
    """Draw the sizes of clusters, with quartiles.

    Args:
        clusters: from `gather`.
        looks: of the methods.
        logged: a training log is there.
    """
    if clusters.empty:
        return Missing(
            NAME,
            TITLE,
            "these pretrainings made no clusters, or have no clusters.csv" if logged else NO_LOG,
        )
    figure, axes = figure_and_axes(1.3 + 0.28 * len(clusters))
    words = []
    for place, row in enumerate(clusters.to_dict("records")):
        color = (looks.get(row["method"]) or style.look(row["method"])).light
        axes.hlines(place, row["smallest"], row["largest"], color=color, linewidth=1.2)
        axes.hlines(place, row["lower_quartile"], row["upper_quartile"], color=color, linewidth=5)
        axes.plot(row["median"], place, "|", color=style.INK[0], markersize=10, markeredgewidth=1.6)
        words.append(f"{style.name(row['method'])} {_which(row)} median {row['median']:.3g}")
    labels = [style.short(f"{style.name(row['method'])}, {_which(row)}", 34) for row in clusters.to_dict("records")]
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set(ylim=(len(labels) - 0.5, -0.5), xscale="log", xlabel="videos in a cluster (log scale)")
    largest = float(clusters["largest"].max())
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 20000) if tick <= largest] or [1]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xticks(np.array([]), minor=True)
    axes.grid(visible=False, axis="y")
    return finish(figure, [], NAME, TITLE, f"Cluster sizes: {'; '.join(words)}.")
