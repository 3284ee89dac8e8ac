"""Verification by the gender of the voice, as bars."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lowshot.reporting import style, tables
from lowshot.reporting.drawing import Missing, Picture, figure_and_axes, finish, reference, say, series_of


def by_gender(results: pd.DataFrame, groups: pd.DataFrame, looks: Mapping[str, style.Look]) -> Picture | Missing:
    """Draw the verification AUC of each gender's voices.

    There is a bar per model, group and stratum.

    Args:
        results: from `tables.check`.
        groups: from `tables.check_groups`.
        looks: of the methods.
    """
    from matplotlib.patches import Patch

    name, title = "groups", "AUC by the gender of the voice"
    table = tables.by_group(groups) if len(groups) else pd.DataFrame()
    names = [column for column in tables.names_of_figures(table) if " gender=" in column]
    series = [item for item in series_of(results, looks) if names and len(item.of(table))]
    if not series:
        return Missing(name, title, "results.csv has no verification AUC by gender on unseen identities")
    figure, axes = figure_and_axes()
    width, places = 0.8 / len(series), np.arange(len(names), dtype=float)
    said: dict[str, float] = {}
    handles = []
    for index, item in enumerate(series):
        row = item.of(table).iloc[0]
        value, low, high = (
            100 * np.array([row[f"{column}{part}"] for column in names], dtype=float) for part in ("", "_low", "_high")
        )
        x = places + width * (index - (len(series) - 1) / 2)
        axes.bar(x, value - 50, width * 0.9, bottom=50, color=item.color, alpha=0.85, linewidth=0)
        axes.vlines(x, low, high, color=style.INK[0], linewidth=1)
        handles.append(Patch(color=item.color, alpha=0.85, label=item.label))
        said |= {f"{item.label} {column}": float(row[column]) for column in names}
    axes.axhline(50, color=style.CHANCE_INK[0], linewidth=1.2)
    axes.set_xticks(places, [column.replace(" gender=", "\n") for column in names])
    axes.grid(visible=False, axis="x")
    axes.set(ylabel="verification AUC (%)", xlabel="stratum, and gender of the voice")
    return finish(figure, [*handles, reference(style.CHANCE)], name, title, f"AUC by gender: {say(said)}; chance 50 %.")
