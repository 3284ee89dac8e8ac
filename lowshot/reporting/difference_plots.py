"""Pictures of differences: the forest of paired differences, and label efficiency."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lowshot.reporting import style, tables, verdicts
from lowshot.reporting.drawing import LINES, Missing, Picture, figure_and_axes, finish

_FOREST = {"auc": ("AUC U: against any impostor", "o", True), "auc_g": ("AUC G: of the same gender", "s", False)}
_MOST_ROWS = 40


def forest(judged: pd.DataFrame | None) -> Picture | Missing:
    """Draw paired differences of verification AUC with their intervals.

    Each pair has a heading and a line per budget.

    Args:
        judged: from `verdicts.judge`; None if no difference was computed.
    """
    from matplotlib.lines import Line2D

    name, title = "forest", "Differences in verification AUC"
    shown = None if judged is None else judged[judged["figure"].isin(list(_FOREST))]
    if shown is None or shown["low"].isna().all():
        return Missing(name, title, "no paired difference with an interval was computed (differences.csv)")
    records = shown.to_dict("records")
    every = list(dict.fromkeys(map(_line, records)))
    lines = every[:_MOST_ROWS]
    alone = len({budget for _, budget in lines}) == 1
    if alone:
        title += f", {lines[0][1]}"
    if len(every) > len(lines):
        title += f" (the first {len(lines)} of {len(every)}; all are in the table)"
    headings, places = _places(lines, headed=not alone)
    rows_in_all = len(headings) + len(places)
    figure, axes = figure_and_axes(1.5 + (0.3 if alone else 0.25) * rows_in_all)
    axes.axvline(0, color=style.CHANCE_INK[0], linewidth=1.2)
    handles = []
    said: list[str] = []
    for figure_name, (meaning, marker, filled) in _FOREST.items():
        rows = [row for row in records if row["figure"] == figure_name and _line(row) in places]
        if not rows:
            continue
        color = style.INK[0] if filled else style.MUTED[0]
        y = np.array([places[_line(row)] for row in rows]) + (-0.14 if filled else 0.14)
        values, low, high = (100 * np.array([row[part] for row in rows]) for part in ("difference", "low", "high"))
        axes.hlines(y, low, high, color=color, linewidth=1.4)
        look: dict[str, Any] = {
            "color": color,
            "marker": marker,
            "linestyle": "none",
            "markerfacecolor": color if filled else style.SURFACE[0],
        }
        axes.plot(values, y, **look)
        handles.append(Line2D([], [], label=meaning, **look))
        said += [
            f"{', '.join(_line(row))}, {verdicts.NAMES[figure_name]} {verdicts.points(row['difference'])} "
            f"[{verdicts.band(row['low'], row['high'], ', ')}]"
            for row in rows
        ]
    words = [style.short(pair, 38) if alone else style.short(budget) for pair, budget in places]
    axes.set_yticks(list(places.values()), words, fontsize=8)
    # Labels have a background, because the line at zero would run through a minus.
    ground = {"facecolor": style.SURFACE[0], "edgecolor": "none", "pad": 1}
    bold: dict[str, Any] = {"va": "center", "fontsize": 8, "fontweight": "bold", "bbox": ground}
    for pair, place in headings.items():
        axes.text(0.01, place, style.short(pair, 60), transform=axes.get_yaxis_transform(), **bold)
    axes.set(ylim=(rows_in_all - 0.5, -0.5), xlabel="percentage points")
    axes.grid(visible=False, axis="y")
    return finish(figure, handles, name, title, f"Paired differences in percentage points: {'; '.join(said)}.")


def _line(row: Mapping[object, object]) -> tuple[str, str]:
    """Name the pair and the budget of a line."""
    labels = style.labels(str(row["adaptation"]), float(str(row["fraction"])))
    return f"{style.name(str(row['first']))} − {style.name(str(row['second']))}", labels or "labels not stated"


def _places(lines: Sequence[tuple[str, str]], headed: bool) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """Place headings and lines, counted from the top.

    Args:
        lines: pair and budget of each, those of a pair together.
        headed: whether each pair has a heading.
    """
    headings: dict[str, int] = {}
    places: dict[tuple[str, str], int] = {}
    for line in lines:
        if headed and line[0] not in headings:
            headings[line[0]] = len(headings) + len(places)
        places[line] = len(headings) + len(places)
    return headings, places


def efficiency(table: pd.DataFrame | None, looks: Mapping[str, style.Look]) -> Picture | Missing:
    """Draw the label fraction that the reference needs against a method's own.

    Args:
        table: from `efficiency_table.read`; None if there is none.
        looks: of the methods.
    """
    name, title = "label-efficiency", "Labels needed for the same AUC"
    shown = None if table is None else tables.where_equal(table, {**tables.AUC})
    if shown is None or shown.empty:
        return Missing(name, title, "no label efficiency was computed (label_efficiency.csv)")
    reference, largest = str(shown["reference"].iloc[0]), float(shown["largest_fraction"].iloc[0])
    fractions = sorted(fraction for fraction in shown["fraction"].unique() if fraction > 0)
    least = fractions[0]
    span = max(math.log10(largest / least), 1.0)
    none, over = -0.45 * span, math.log10(largest / least) + 0.4 * span

    def place(shares: pd.Series, shift: float = 0.0) -> np.ndarray:
        """Place fractions on the axis.

        The axis is linear up to the least fraction, then logarithmic. `shift` moves lines apart at both ends, where
        they would hide each other.
        """
        values = shares.to_numpy(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log10(values / least)
        logs = np.where(values < least, none * (1 - values / least), logs)
        return np.where(np.isinf(values), over, logs) + np.where((values == 0) | np.isinf(values), shift, 0.0)

    figure, axes = figure_and_axes(4.4)
    ends = np.array([none, math.log10(largest / least)])
    axes.plot(ends, ends, color=style.CHANCE_INK[0], linewidth=1.2, label=f"as many labels as {style.name(reference)}")
    said: list[str] = []
    handles = list(axes.get_lines())
    kinds = list(dict.fromkeys(shown["adaptation"]))
    ordered = shown.sort_values("fraction", kind="stable")
    groups = ordered.groupby(["method", "adaptation"], sort=False)
    shifts = min(0.04, 0.3 / groups.ngroups) * span * (np.arange(groups.ngroups) - (groups.ngroups - 1) / 2)
    for shift, ((method, kind), rows) in zip(shifts, groups, strict=True):
        look, line = looks.get(str(method)) or style.look(str(method)), LINES[kinds.index(kind) % len(LINES)]
        x = place(rows["fraction"])
        low, high = place(rows["ci_low"], shift), place(rows["ci_high"], shift)
        axes.fill_between(x, low, high, color=look.light, alpha=0.16, linewidth=0)
        label = style.short(f"{style.name(str(method))}, {style.labels(str(kind), math.nan)}")
        handles += axes.plot(
            x, place(rows["equal_fraction"], shift), color=look.light, linestyle=line, marker=look.marker, label=label
        )
        needs = f"equals {style.name(reference)} with"
        said += [
            f"{style.name(row['method'])} with {style.labels(str(kind), row['fraction'])} {needs} "
            f"{share(row['equal_fraction'], row['least_fraction'], largest)}"
            for row in rows.to_dict("records")
        ]
    logs = [math.log10(fraction / least) for fraction in fractions]
    ticks, words = [none, *logs], ["none", *map(style.percent, fractions)]
    axes.set_xticks(ticks, words)
    axes.set_yticks([*ticks, over], [*words, f"over {style.percent(largest)}"])
    axes.set(ylim=(none - 0.18 * span, over + 0.18 * span))
    axes.axhline((logs[-1] + over) / 2, color=style.MUTED[0], linestyle=LINES[2], linewidth=1)
    axes.set(xlabel="labels that the method has", ylabel=f"labels that {style.name(reference)} needs")
    return finish(figure, handles, name, title, f"{'; '.join(said)}.")


def share(fraction: float, least: float, largest: float) -> str:
    """Put a label fraction into words.

    Returns:
        'none', '3.2 %', 'at most 1 %' if the least measured fraction is enough, or 'over 10 %' if the largest is not.
    """
    if math.isnan(fraction):
        return tables.MISSING
    if math.isinf(fraction):
        return f"over {style.percent(largest)}"
    if fraction == 0:
        return "none"
    return f"{'at most ' if fraction == least else ''}{two_digits(100 * fraction)} %"


def two_digits(value: float) -> str:
    """Write a number with two digits, never as a power of ten."""
    return f"{float(f'{value:.2g}'):,g}"
