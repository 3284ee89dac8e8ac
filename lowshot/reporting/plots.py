"""Pictures of a report: drawn from results, score files and training curves, in memory, by matplotlib without
a screen.

matplotlib is imported when something is drawn, so that tables alone stay quick to make.
"""

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lowshot.errors import RequestError
from lowshot.metrics.verification import roc_points
from lowshot.reporting import style, tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROC_FILE = f"verification-{tables.UNSEEN}-U.csv"
_LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))


@dataclass(frozen=True)
class Picture:
    """One drawn picture in both formats; `alt` says in words what it shows."""

    name: str
    title: str
    alt: str
    svg: str
    png: bytes


@dataclass(frozen=True)
class Missing:
    """A picture that could not be drawn, and why."""

    name: str
    title: str
    reason: str


@dataclass(frozen=True)
class _Series:
    """What is drawn in one colour and line: a method under one label budget."""

    method: str
    adaptation: str
    fraction: float
    label: str
    line: Any

    @property
    def color(self) -> str:
        return style.look(self.method).light

    @property
    def marker(self) -> str:
        return style.look(self.method).marker

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        budget = {"method": self.method, "adaptation": self.adaptation, "fraction": self.fraction}
        return tables.of_budget(table, budget)


def draw(results: pd.DataFrame, directory: Path, curves: Mapping[str, Path]) -> list[Picture | Missing]:
    """Draw every picture that the material allows.

    Args:
        results: as `tables.check` returns it.
        directory: where `scores/` lies, if anywhere.
        curves: name of a training run -> its metrics.csv.

    Returns:
        Pictures and reasons for missing ones, in the order of the page. Nothing is written.

    Raises:
        RequestError: a score file or a metrics.csv is malformed.
    """
    import matplotlib as mpl

    with mpl.rc_context(style.rc()):
        return [
            _roc(results, directory),
            _label_fraction(results),
            *(_matching(results, direction) for direction in tables.DIRECTIONS),
            _strata(results),
            *_training(curves),
        ]


def _figure(height: float = 3.7) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, height), layout="constrained")
    return figure, figure.add_subplot()


def _finish(figure: "Figure", handles: Sequence[Any], name: str, title: str, alt: str) -> Picture:
    figure.axes[0].set_title(title)
    columns = 1 if any(len(str(handle.get_label())) > 24 for handle in handles) else 3
    figure.legend(handles=list(handles), loc="outside lower center", ncols=min(columns, len(handles)))
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.savefig(png, format="png")
    return Picture(name, title, alt, svg.getvalue(), png.getvalue())


def _series(results: pd.DataFrame) -> list[_Series]:
    """The models to compare in one picture: those without labels, or all of them where none goes without."""
    every = tables.budgets(results)
    models = every[~every["method"].isin((style.CHANCE, style.ORACLE))]
    plain = models[models["adaptation"] == "none"]
    series: list[_Series] = []
    for row in (models if plain.empty else plain).to_dict("records"):
        budget = style.labels(row["adaptation"], row["fraction"])
        label = style.name(row["method"]) + (f", {budget}" if plain.empty else "")
        line = _LINES[sum(item.method == row["method"] for item in series) % len(_LINES)]
        series.append(_Series(row["method"], row["adaptation"], row["fraction"], style.short(label), line))
    return series


def _reference(kind: str) -> Any:
    from matplotlib.lines import Line2D

    if kind == style.CHANCE:
        return Line2D([], [], color=style.CHANCE_INK[0], linewidth=1.2, label="chance")
    return Line2D([], [], color=style.ORACLE_INK[0], linestyle=(0, (5, 2)), linewidth=1.4, label="oracle")


def _handle(series: _Series, line: bool = True) -> Any:
    from matplotlib.lines import Line2D

    return Line2D(
        [],
        [],
        color=series.color,
        marker=series.marker,
        linestyle=series.line if line else "none",
        label=series.label,
        markeredgecolor=style.SURFACE[0],
        markeredgewidth=0.6,
    )


def _seed_ticks(axes: "Axes", x: Any, table: pd.DataFrame, column: str, color: str) -> None:
    for end in ("min", "max"):
        values = 100 * table[f"{column}_{end}"].to_numpy(float)
        axes.plot(x, values, linestyle="none", marker="_", markersize=7, markeredgewidth=0.9, color=color)


def _say(values: Mapping[str, float]) -> str:
    return ", ".join(f"{label} {tables.percentage(value)} %" for label, value in values.items())


def _value(table: pd.DataFrame, method: str, column: str) -> float:
    values = table.loc[table["method"] == method, column]
    return float(values.iloc[0]) if len(values) else math.nan


def _roc(results: pd.DataFrame, directory: Path) -> Picture | Missing:
    name, title = "roc", "ROC on unseen identities"
    series = _series(results)
    files = {item: _score_files(results, directory, item, alone=len(series) == 1) for item in series}
    if not any(files.values()):
        return Missing(name, title, f"there is no scores/<run_id>/{ROC_FILE} beside results.csv")
    oracle = _Series(style.ORACLE, "", math.nan, "oracle", _LINES[1])
    files[oracle] = sorted((directory / "scores").glob(f"{style.ORACLE}*/{ROC_FILE}"))
    auc = tables.figures(results, {"auc": tables.AUC})
    grid = np.linspace(0, 1, 401)
    figure, axes = _figure(4.6)
    axes.plot([0, 100], [0, 100], color=style.CHANCE_INK[0], linewidth=1.2)
    handles, said = [], {}
    for item, paths in files.items():
        if not paths:
            continue
        curves = [np.interp(grid, *_roc_curve(path)) for path in paths]
        if len(curves) > 1:
            for curve in curves:
                axes.plot(100 * grid, 100 * curve, color=item.color, linewidth=0.6, alpha=0.5)
        mean = np.mean(curves, axis=0)
        line = axes.plot(100 * grid, 100 * mean, color=item.color, linestyle=item.line)[0]
        row = item.of(auc)
        value = float(row["auc"].iloc[0]) if len(row) else math.nan
        line.set_label(f"{item.label} ({tables.percentage(value)})")
        said[item.label] = value
        handles.append(line)
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes.set(xlabel="different identity, accepted (%)", ylabel="same identity, accepted (%)")
    alt = f"ROC curves of verification; areas: {_say(said)}; chance 50 %."
    return _finish(figure, [*handles, _reference(style.CHANCE)], name, title, alt)


def _score_files(results: pd.DataFrame, directory: Path, series: _Series, alone: bool) -> list[Path]:
    """The score files of a series, one per run; `alone`: it is the only series of the directory."""
    scores = directory / "scores"
    runs: Any = series.of(results)["run_id"].dropna().unique() if "run_id" in results else []
    # A folder of scores has its run's name. Results are anybody's text: a name that is a path is none of ours.
    names = sorted(str(run) for run in runs if Path(str(run)).name == str(run))
    found = [path for name in names if (path := scores / name / ROC_FILE).is_file()]
    # A run directory may hold the scores of its one model directly.
    single = scores / ROC_FILE
    return [single] if not found and alone and single.is_file() else found


def _roc_curve(path: Path) -> tuple[np.ndarray, np.ndarray]:
    table = _read(path, ("label", "score"))
    try:
        points = roc_points(table["score"].to_numpy(float), table["label"].to_numpy(float))
    except ValueError as error:
        raise RequestError(f"{path}: columns 'label' and 'score': {error}") from error
    return points.fpr, points.tpr


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    table = tables.read_csv(path)
    for column in columns:
        if column not in table.columns:
            raise RequestError(f"{path}: column '{column}' is missing")
        if not pd.api.types.is_numeric_dtype(table[column]) and not table.empty:
            raise RequestError(f"{path}: column '{column}' must hold numbers only")
    return table


def _matching(results: pd.DataFrame, direction: str) -> Picture | Missing:
    words = tables.DIRECTIONS[direction]
    name, title = f"matching-{direction}", f"1:N matching, {words}"
    where: dict[str, object] = {
        "protocol": "matching",
        "metric": "accuracy",
        "direction": direction,
        "seen": tables.UNSEEN,
    }
    sizes = sorted({int(size) for size in tables.where_equal(results, where)["gallery_size"].dropna()})
    if not sizes:
        return Missing(name, title, f"results.csv has no matching accuracy from {words}")
    table = tables.figures(results, {str(n): {**where, "gallery_size": float(n)} for n in sizes})
    figure, axes = _figure()
    series = _series(results)
    axes.plot(sizes, [100 / n for n in sizes], color=style.CHANCE_INK[0], linewidth=1.2)
    handles, said = [], {}
    for index, item in enumerate(series):
        points = _by_size(item.of(table), sizes)
        if points["value"].isna().all():
            continue
        x = np.array(sizes) + 0.09 * (index - (len(series) - 1) / 2)
        axes.vlines(x, 100 * points["value_low"], 100 * points["value_high"], color=item.color, linewidth=1.2)
        _seed_ticks(axes, x, points, "value", item.color)
        axes.plot(
            x,
            100 * points["value"],
            color=item.color,
            linestyle=item.line,
            marker=item.marker,
            markeredgecolor=style.SURFACE[0],
            markeredgewidth=0.6,
        )
        handles.append(_handle(item))
        said[f"{item.label} 1:{sizes[0]}"] = float(points["value"].iloc[0])
        said[f"{item.label} 1:{sizes[-1]}"] = float(points["value"].iloc[-1])
    handles.append(_reference(style.CHANCE))
    ceiling = _by_size(table[table["method"] == style.ORACLE], sizes)["value"]
    if ceiling.notna().any():
        axes.plot(sizes, 100 * ceiling, color=style.ORACLE_INK[0], linestyle=_LINES[1], linewidth=1.4)
        handles.append(_reference(style.ORACLE))
    axes.set(ylim=(0, 100), xticks=sizes, xticklabels=[f"1:{n}" for n in sizes])
    axes.set(xlabel="candidates", ylabel="right choices (%)")
    alt = f"Accuracy of 1:N matching, {words}, falling with the number of candidates: {_say(said)}; chance is 1/N."
    return _finish(figure, handles, name, title, alt)


def _by_size(rows: pd.DataFrame, sizes: Sequence[int]) -> pd.DataFrame:
    """Turn one row with a figure per gallery size into one row per gallery size."""
    parts = ("", *tables.PARTS)
    if rows.empty:
        return pd.DataFrame({f"value{part}": [math.nan] * len(sizes) for part in parts})
    return pd.DataFrame({f"value{part}": [rows[f"{n}{part}"].iloc[0] for n in sizes] for part in parts})


def _label_fraction(results: pd.DataFrame) -> Picture | Missing:
    name, title = "label-fraction", "AUC by share of identities labelled"
    table = tables.figures(results, {"auc": tables.AUC})
    models = table[~table["method"].isin((style.CHANCE, style.ORACLE)) & table["fraction"].notna()]
    models = models[models["auc"].notna()]
    fractions = sorted(fraction for fraction in models["fraction"].unique() if fraction > 0)
    if not fractions:
        return Missing(name, title, "results.csv has no verification AUC of a model adapted with labels")
    from matplotlib.lines import Line2D

    figure, axes = _figure(4.0)
    logs = [math.log10(fraction) for fraction in fractions]
    span = max(logs[-1] - logs[0], 1.0)
    zero = logs[0] - 0.45 * span
    methods = sorted(models["method"].unique(), key=style.sort_key)
    adaptations = sorted(set(models["adaptation"]) - {"none"})
    lanes = [(method, kind) for method in methods for kind in ["none", *adaptations]]
    said, handles = {}, []
    for method in methods:
        item = _Series(method, "none", 0.0, style.short(style.name(method)), "-")
        handles.append(_handle(item, line=False))
    for lane, (method, kind) in enumerate(lanes):
        rows = models[(models["method"] == method) & (models["adaptation"] == kind)]
        if rows.empty:
            continue
        shift = 0.022 * span * (lane - (len(lanes) - 1) / 2)
        x = np.array([zero if f == 0 else math.log10(f) for f in rows["fraction"]]) + shift
        look = style.look(method)
        filled = kind != "probe"
        axes.vlines(x, 100 * rows["auc_low"], 100 * rows["auc_high"], color=look.light, linewidth=1.2)
        _seed_ticks(axes, x, rows, "auc", look.light)
        axes.plot(
            x,
            100 * rows["auc"],
            color=look.light,
            linestyle="none" if kind == "none" else _LINES[0] if filled else _LINES[2],
            marker=look.marker,
            markersize=6,
            markerfacecolor=look.light if filled else style.SURFACE[0],
            markeredgecolor=style.SURFACE[0] if filled else look.light,
            markeredgewidth=0.6 if filled else 1.3,
        )
        for row in rows.to_dict("records"):
            said[f"{style.name(method)}, {style.labels(kind, row['fraction'])}"] = row["auc"]
    for kind, line, face in (("finetune", _LINES[0], style.MUTED[0]), ("probe", _LINES[2], style.SURFACE[0])):
        if kind in adaptations:
            label = style.labels(kind, math.nan)
            handles.append(
                Line2D([], [], color=style.MUTED[0], linestyle=line, marker="o", markerfacecolor=face, label=label)
            )
    axes.axhline(50, color=style.CHANCE_INK[0], linewidth=1.2)
    handles.append(_reference(style.CHANCE))
    ceiling = _value(table, style.ORACLE, "auc")
    if not math.isnan(ceiling):
        axes.axhline(100 * ceiling, color=style.ORACLE_INK[0], linestyle=_LINES[1], linewidth=1.4)
        handles.append(_reference(style.ORACLE))
    unlabelled = (models["fraction"] == 0).any()
    ticks = [style.percent(fraction) for fraction in fractions]
    if unlabelled:
        # No logarithm of nothing: "none" stands left of the axis, past a dotted divider, joined to nothing.
        axes.axvline(logs[0] - 0.225 * span, color=style.MUTED[0], linestyle=_LINES[2], linewidth=1)
        axes.set_xticks([zero, *logs], ["none", *ticks])
        axes.set_xlim(zero - 0.2 * span, logs[-1] + 0.2 * span)
    else:
        axes.set_xticks(logs, ticks)
        axes.set_xlim(logs[0] - 0.2 * span, logs[-1] + 0.2 * span)
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="training identities with a label (log scale; none apart)", ylabel="verification AUC (%)")
    alt = f"Verification AUC against the share of labelled identities: {_say(said)}; chance 50 %."
    return _finish(figure, handles, name, title, alt)


def _strata(results: pd.DataFrame) -> Picture | Missing:
    from matplotlib.patches import Patch

    name, title = "strata", "AUC by what the impostor shares"
    table = tables.strata(results)
    names = tables.names_of_figures(table)
    series = [item for item in _series(results) if names and item.of(table)[names].notna().any(axis=None)]
    if not series:
        return Missing(name, title, "results.csv has no verification AUC of a model on unseen identities")
    figure, axes = _figure()
    places = np.arange(len(names), dtype=float)
    width = 0.76 / len(series)
    handles: list[Any] = []
    said: dict[str, float] = {}
    for index, item in enumerate(series):
        row = item.of(table).iloc[0]
        parts = {part: [row[f"{column}{part}"] for column in names] for part in ("", *tables.PARTS)}
        value, low, high, least, most = (100 * np.array(shares, dtype=float) for shares in parts.values())
        x = places + width * (index - (len(series) - 1) / 2)
        # Bars stand on chance: their length is what the model knows beyond guessing.
        axes.bar(x, value - 50, width * 0.9, bottom=50, color=item.color, alpha=0.85, linewidth=0)
        axes.vlines(x, low, high, color=style.INK[0], linewidth=1)
        for seeds in (least, most):
            axes.plot(x, seeds, "_", markersize=7, markeredgewidth=0.9, color=style.INK[0])
        handles.append(Patch(color=item.color, alpha=0.85, label=item.label))
        said |= {f"{item.label} {column}": float(row[column]) for column in names}
    axes.axhline(50, color=style.CHANCE_INK[0], linewidth=1.2)
    handles.append(_reference(style.CHANCE))
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
        handles.append(_reference(style.ORACLE))
    axes.set_xticks(places, names)
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="stratum", ylabel="verification AUC (%)")
    return _finish(figure, handles, name, title, f"Verification AUC by stratum: {_say(said)}; chance 50 %.")


def _training(curves: Mapping[str, Path]) -> list[Picture | Missing]:
    titles = {"training-loss": "Training loss", "training-auc": "Validation AUC during training"}
    if not curves:
        return [Missing(name, title, "no training run was given") for name, title in titles.items()]
    runs = {label: _read(path, ("step", "loss")) for label, path in curves.items()}
    for label, run in runs.items():
        if "val_auc" in run and not pd.api.types.is_numeric_dtype(run["val_auc"]) and not run.empty:
            raise RequestError(f"{curves[label]}: column 'val_auc' must hold numbers only")
    return [_curve(runs, name, title) for name, title in titles.items()]


def _curve(runs: Mapping[str, pd.DataFrame], name: str, title: str) -> Picture | Missing:
    is_auc = name == "training-auc"
    column, scale, ylabel = ("val_auc", 100, "validation AUC (%)") if is_auc else ("loss", 1, "loss")
    measured = {label: run for label, run in runs.items() if column in run.columns and run[column].notna().any()}
    if not measured:
        return Missing(name, title, f"no metrics.csv holds a figure in column '{column}'")
    figure, axes = _figure()
    if is_auc:
        axes.axhline(50, color=style.CHANCE_INK[0], linewidth=1.2)
    groups: dict[str, list[str]] = {}
    for label in measured:
        groups.setdefault(_method_of(label), []).append(label)
    said, handles, feet = {}, [], 0
    for method, labels in groups.items():
        look = style.look(method)
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
    return _finish(figure, handles, name, title, f"{title} by step; last values: {last}.")


def _clusterings(run: pd.DataFrame) -> np.ndarray:
    if "clustered" not in run:
        return np.array([])
    return run.loc[pd.to_numeric(run["clustered"], errors="coerce") == 1, "step"].to_numpy(float)


def _method_of(label: str) -> str:
    """The method in a run's name: cmpc in pretrain-cmpc-seed0; the whole name where it is built otherwise."""
    return re.sub(r"[-_, ]*seed[-_ ]?\d+$", "", label.removeprefix("pretrain-")) or label
