"""Pictures of figures: matching, label fractions and strata."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lowshot.reporting import style, tables
from lowshot.reporting.drawing import (
    LINES,
    Missing,
    Picture,
    Series,
    figure_and_axes,
    finish,
    handle,
    reference,
    say,
    seed_ticks,
    series_of,
)


def matching(results: pd.DataFrame, looks: Mapping[str, style.Look], direction: str) -> Picture | Missing:
    """Draw matching accuracy in stratum U against the number of candidates."""
    words = tables.DIRECTIONS[direction]
    name, title = f"matching-{direction}", f"1:N matching, {words}"
    where: dict[str, object] = {
        "protocol": "matching",
        "metric": "accuracy",
        "direction": direction,
        "stratum": "U",
        "seen": tables.UNSEEN,
    }
    sizes = sorted({int(size) for size in tables.where_equal(results, where)["gallery_size"].dropna()})
    if not sizes:
        return Missing(name, title, f"results.csv has no accuracy of stratum U from {words} on unseen identities")
    table = tables.figures(results, {str(n): {**where, "gallery_size": float(n)} for n in sizes})
    figure, axes = figure_and_axes()
    series = series_of(results, looks)
    axes.plot(sizes, [100 / n for n in sizes], color=style.CHANCE_INK[0], linewidth=1.2)
    handles, said = [], {}
    for index, item in enumerate(series):
        points = _by_size(item.of(table), sizes)
        if points["value"].isna().all():
            continue
        x = np.array(sizes) + 0.09 * (index - (len(series) - 1) / 2)
        axes.vlines(x, 100 * points["value_low"], 100 * points["value_high"], color=item.color, linewidth=1.2)
        seed_ticks(axes, x, points, "value", item.color)
        axes.plot(
            x,
            100 * points["value"],
            color=item.color,
            linestyle=item.line,
            marker=item.marker,
            markeredgecolor=style.SURFACE[0],
            markeredgewidth=0.6,
        )
        handles.append(handle(item))
        said[f"{item.label} 1:{sizes[0]}"] = float(points["value"].iloc[0])
        said[f"{item.label} 1:{sizes[-1]}"] = float(points["value"].iloc[-1])
    handles.append(reference(style.CHANCE))
    ceiling = _by_size(table[table["method"] == style.ORACLE], sizes)["value"]
    if ceiling.notna().any():
        axes.plot(sizes, 100 * ceiling, color=style.ORACLE_INK[0], linestyle=LINES[1], linewidth=1.4)
        handles.append(reference(style.ORACLE))
    axes.set(ylim=(0, 100), xticks=sizes, xticklabels=[f"1:{n}" for n in sizes])
    axes.set(xlabel="candidates", ylabel="right choices (%)")
    alt = f"Accuracy of 1:N matching, {words}, falling with the number of candidates: {say(said)}; chance is 1/N."
    return finish(figure, handles, name, title, alt)


def _by_size(rows: pd.DataFrame, sizes: Sequence[int]) -> pd.DataFrame:
    """Turn a row of figures into one row per gallery size."""
    parts = ("", *tables.PARTS)
    if rows.empty:
        return pd.DataFrame({f"value{part}": [math.nan] * len(sizes) for part in parts})
    return pd.DataFrame({f"value{part}": [rows[f"{n}{part}"].iloc[0] for n in sizes] for part in parts})


def label_fraction(results: pd.DataFrame, looks: Mapping[str, style.Look]) -> Picture | Missing:
    """Draw the verification AUC in stratum U against the label fraction."""
    name, title = "label-fraction", "AUC by label fraction"
    table = tables.figures(results, {"auc": tables.AUC})
    models = table[~table["method"].isin((style.CHANCE, style.ORACLE)) & table["fraction"].notna()]
    models = models[models["auc"].notna()]
    fractions = sorted(fraction for fraction in models["fraction"].unique() if fraction > 0)
    if not fractions:
        return Missing(name, title, "results.csv has no verification AUC of an adapted model on unseen identities")
    from matplotlib.lines import Line2D

    figure, axes = figure_and_axes(4.0)
    logs = [math.log10(fraction) for fraction in fractions]
    span = max(logs[-1] - logs[0], 1.0)
    zero = logs[0] - 0.45 * span
    methods = sorted(models["method"].unique(), key=style.sort_key)
    adaptations = sorted(set(models["adaptation"]) - {"none"})
    # Points at one fraction stand side by side, less than halfway to the next fraction.
    lanes = [(method, kind) for method in methods for kind in adaptations]
    gap = min(0.45 * span if (models["fraction"] == 0).any() else span, *np.diff(logs), span)
    said, handles = {}, []
    for method in methods:
        item = Series(method, "none", 0.0, style.short(style.name(method)), "-", looks[method])
        handles.append(handle(item, line=False))
    for method, kind in [(method, kind) for method in methods for kind in ("none", *adaptations)]:
        rows = models[(models["method"] == method) & (models["adaptation"] == kind)]
        if rows.empty:
            continue
        beside = [(other, "none") for other in methods] if kind == "none" else lanes
        shift = min(0.044 * span, 0.7 * gap / len(beside)) * (beside.index((method, kind)) - (len(beside) - 1) / 2)
        x = np.array([zero if f == 0 else math.log10(f) for f in rows["fraction"]]) + shift
        _lane(axes, x, rows, kind, looks[method])
        for row in rows.to_dict("records"):
            said[f"{style.name(method)}, {style.labels(kind, row['fraction'])}"] = row["auc"]
    for kind in filter(None, adaptations):
        label, line = style.labels(kind, math.nan), _kind_line(kind)
        face = style.SURFACE[0] if kind == "probe" else style.MUTED[0]
        handles.append(
            Line2D([], [], color=style.MUTED[0], linestyle=line, marker="o", markerfacecolor=face, label=label)
        )
    axes.axhline(50, color=style.CHANCE_INK[0], linewidth=1.2)
    handles.append(reference(style.CHANCE))
    ceiling = _value(table, style.ORACLE, "auc")
    if not math.isnan(ceiling):
        axes.axhline(100 * ceiling, color=style.ORACLE_INK[0], linestyle=LINES[1], linewidth=1.4)
        handles.append(reference(style.ORACLE))
    unlabelled = (models["fraction"] == 0).any()
    ticks = [style.percent(fraction) for fraction in fractions]
    if unlabelled:
        # Zero has no logarithm: "none" stands apart, left of a dotted divider.
        axes.axvline(logs[0] - 0.225 * span, color=style.MUTED[0], linestyle=LINES[2], linewidth=1)
        axes.set_xticks([zero, *logs], ["none", *ticks])
        axes.set_xlim(zero - 0.2 * span, logs[-1] + 0.2 * span)
    else:
        axes.set_xticks(logs, ticks)
        axes.set_xlim(logs[0] - 0.2 * span, logs[-1] + 0.2 * span)
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="training identities with a label (log scale; none apart)", ylabel="verification AUC (%)")
    alt = f"Verification AUC against the label fraction: {say(said)}; chance 50 %."
    return finish(figure, handles, name, title, alt)


def _lane(axes: Any, x: Any, rows: pd.DataFrame, kind: str, look: style.Look) -> None:
    """Draw the figures of one method and adaptation over fractions."""
    filled = kind != "probe"
    axes.vlines(x, 100 * rows["auc_low"], 100 * rows["auc_high"], color=look.light, linewidth=1.2)
    seed_ticks(axes, x, rows, "auc", look.light)
    axes.plot(
        x,
        100 * rows["auc"],
        color=look.light,
        linestyle=_kind_line(kind),
        marker=look.marker,
        markersize=6,
        markerfacecolor=look.light if filled else style.SURFACE[0],
        markeredgecolor=style.SURFACE[0] if filled else look.light,
        markeredgewidth=0.6 if filled else 1.3,
    )


def _kind_line(kind: str) -> Any:
    """Return the line style of an adaptation.

    Fine-tuning is solid, the probe dotted, and other strategies of fine-tuning are dash-dotted.
    """
    return {"none": "none", "": LINES[0], "finetune": LINES[0], "probe": LINES[2]}.get(kind, LINES[3])


def strata(results: pd.DataFrame, looks: Mapping[str, style.Look]) -> Picture | Missing:
    """Draw the verification AUC by stratum, a bar per model."""
    from matplotlib.patches import Patch

    name, title = "strata", "AUC by what the impostor shares"
    table = tables.strata(results)
    names = tables.names_of_figures(table)
    series = [item for item in series_of(results, looks) if names and item.of(table)[names].notna().any(axis=None)]
    if not series:
        return Missing(name, title, "results.csv has no verification AUC of a model on unseen identities")
    figure, axes = figure_and_axes()
    places = np.arange(len(names), dtype=float)
    width = 0.76 / len(series)
    handles: list[Any] = []
    said: dict[str, float] = {}
    for index, item in enumerate(series):
        row = item.of(table).iloc[0]
        parts = {part: [row[f"{column}{part}"] for column in names] for part in ("", *tables.PARTS)}
        value, low, high, least, most = (100 * np.array(shares, dtype=float) for shares in parts.values())
        x = places + width * (index - (len(series) - 1) / 2)
        # Bars start at chance, so their length is the gain over guessing.
        axes.bar(x, value - 50, width * 0.9, bottom=50, color=item.color, alpha=0.85, linewidth=0)
        axes.vlines(x, low, high, color=style.INK[0], linewidth=1)
        for seeds in (least, most):
            axes.plot(x, seeds, "_", markersize=7, markeredgewidth=0.9, color=style.INK[0])
        handles.append(Patch(color=item.color, alpha=0.85, label=item.label))
        said |= {f"{item.label} {column}": float(row[column]) for column in names}
    axes.axhline(50, color=style.CHANCE_INK[0], linewidth=1.2)
    handles.append(reference(style.CHANCE))
    for place, column in zip(places, names, strict=True):
        ceiling = _value(table, style.ORACLE, column)
        if not math.isnan(ceiling):
            axes.hlines(
                100 * ceiling,
                place - 0.42,
                place + 0.42,
                color=style.ORACLE_INK[0],
                linestyle=(0, (3, 1)),
                linewidth=1.4,
            )
    if not math.isnan(_value(table, style.ORACLE, names[0])):
        handles.append(reference(style.ORACLE))
    axes.set_xticks(places, names)
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="stratum", ylabel="verification AUC (%)")
    return finish(figure, handles, name, title, f"Verification AUC by stratum: {say(said)}; chance 50 %.")


def _value(table: pd.DataFrame, method: str, column: str) -> float:
    values = table.loc[table["method"] == method, column]
    return float(values.iloc[0]) if len(values) else math.nan
