"""Parts of every picture: formats, series and reference lines.

matplotlib is imported when something is drawn, so tables alone stay fast.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lowshot.errors import RequestError
from lowshot.reporting import style, tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))


FORMATS = ("png", "svg", "pdf")
# Without a date and a version, equal pictures are equal files.
_METADATA: dict[str, dict[str, None]] = {
    "png": {},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@dataclass(frozen=True, eq=False)
class Picture:
    """A drawn picture; `alt` describes it in words."""

    name: str
    title: str
    alt: str
    figure: "Figure"

    @cached_property
    def svg(self) -> str:
        """Return the picture as SVG."""
        return self._saved("svg").decode("utf-8")

    def file(self, kind: str) -> bytes:
        """Return the picture as a file in one of `FORMATS`."""
        return self.svg.encode("utf-8") if kind == "svg" else self._saved(kind)

    def _saved(self, kind: str) -> bytes:
        import matplotlib as mpl

        content = io.BytesIO()
        with mpl.rc_context(style.rc()):
            self.figure.savefig(content, format=kind, metadata=_METADATA[kind])
        return content.getvalue()


@dataclass(frozen=True)
class Missing:
    """A picture that could not be drawn, and why."""

    name: str
    title: str
    reason: str


@dataclass(frozen=True)
class Series:
    """A method under one label budget, drawn in one colour and line."""

    method: str
    adaptation: str
    fraction: float
    label: str
    line: Any
    look: style.Look

    @property
    def color(self) -> str:
        """Hue of the method."""
        return self.look.light

    @property
    def marker(self) -> str:
        """Mark of the method."""
        return self.look.marker

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """Select the rows of this method and budget."""
        budget = {"method": self.method, "adaptation": self.adaptation, "fraction": self.fraction}
        return tables.of_budget(table, budget)


def figure_and_axes(height: float = 3.7) -> tuple["Figure", "Axes"]:
    """Make an empty picture, 4.8 inches wide and `height` inches high."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, height), layout="constrained")
    return figure, figure.add_subplot()


def finish(figure: "Figure", handles: Sequence[Any], name: str, title: str, alt: str) -> Picture:
    """Put title and legend on a figure."""
    # Over the whole width, because long names beside the axes leave little room above them.
    figure.suptitle(title, x=0.01, horizontalalignment="left")
    longest = max((len(str(item.get_label())) for item in handles), default=0)
    columns = 1 if longest > 30 else 2 if longest > 16 else 3
    if handles:
        columns = min(columns, len(handles))
        # A long legend makes the picture longer, not the axes smaller.
        figure.set_figheight(figure.get_figheight() + 0.16 * max(0, -(-len(handles) // columns) - 2))
        figure.legend(handles=list(handles), loc="outside lower center", ncols=columns)
    return Picture(name, title, alt, figure)


def series_of(results: pd.DataFrame, looks: Mapping[str, style.Look]) -> list[Series]:
    """Return the models of a picture: those without labels, else all.

    Args:
        results: from `tables.check`.
        looks: of its methods.
    """
    models, plain = _models(results)
    series: list[Series] = []
    for row in (models if plain.empty else plain).to_dict("records"):
        budget = style.labels(row["adaptation"], row["fraction"])
        label = style.name(row["method"]) + (f", {budget}" if plain.empty else "")
        line = LINES[sum(item.method == row["method"] for item in series) % len(LINES)]
        series.append(
            Series(row["method"], row["adaptation"], row["fraction"], style.short(label), line, looks[row["method"]])
        )
    return series


def labelled_undrawn(results: pd.DataFrame) -> bool:
    """Tell if `series_of` skips models with labels."""
    models, plain = _models(results)
    return 0 < len(plain) < len(models)


def _models(results: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return methods and budgets of all models, and of those without labels."""
    every = tables.budgets(results)
    models = every[~every["method"].isin((style.CHANCE, style.ORACLE))]
    return models, models[models["adaptation"] == "none"]


def reference(kind: str) -> Any:
    """Make the legend entry of chance or oracle."""
    from matplotlib.lines import Line2D

    if kind == style.CHANCE:
        return Line2D([], [], color=style.CHANCE_INK[0], linewidth=1.2, label="chance")
    return Line2D([], [], color=style.ORACLE_INK[0], linestyle=(0, (5, 2)), linewidth=1.4, label="oracle")


def handle(series: Series, line: bool = True) -> Any:
    """Make the legend entry of a series, with or without its line."""
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


def seed_ticks(axes: "Axes", x: Any, table: pd.DataFrame, column: str, color: str) -> None:
    """Draw thin ticks at the least and greatest seed of a figure."""
    for end in ("min", "max"):
        values = 100 * table[f"{column}_{end}"].to_numpy(float)
        axes.plot(x, values, linestyle="none", marker="_", markersize=7, markeredgewidth=0.9, color=color)


def say(values: Mapping[str, float]) -> str:
    """Put fractions by name into words, for a picture's description."""
    return ", ".join(f"{label} {tables.percentage(value)} %" for label, value in values.items())


def read_columns(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a CSV table.

    Raises:
        RequestError: it is not a table, or one of `columns` is missing or holds text.
    """
    table = tables.read_csv(path)
    for column in columns:
        if column not in table.columns:
            raise RequestError(f"{path}: column '{column}' is missing")
        if not pd.api.types.is_numeric_dtype(table[column]) and not table.empty:
            raise RequestError(f"{path}: column '{column}' must hold numbers only")
    return table
