"""label_efficiency.csv in words: labels that the reference needs."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from lowshot.reporting import style, tables, verdicts
from lowshot.reporting.difference_plots import share, two_digits

_TEXT = ("method", "reference", "adaptation", "metric", "protocol", "direction", "stratum", "seen")
_NUMBERS = (
    "fraction",
    "gallery_size",
    "value",
    "equal_fraction",
    "ci_low",
    "ci_high",
    "least_fraction",
    "largest_fraction",
)


def read(path: Path) -> pd.DataFrame | None:
    """Read label_efficiency.csv; None if it has no rows.

    Raises:
        RequestError: a column is missing, or a cell is not a number.
    """
    table = tables.read_csv(path)
    if table.empty:
        return None
    # Tables of earlier versions lack this column.
    known = table if "least_fraction" in table else table.assign(least_fraction=0.0)
    return tables.typed(known, _TEXT, _NUMBERS, path, "lowshot compare")


def rows(table: pd.DataFrame, figure: str = "auc") -> list[dict[str, Any]]:
    """Return the rows of the page's table for one figure of `verdicts.FIGURES`."""
    shown = []
    several = table["adaptation"].nunique() > 1
    for row in tables.where_equal(table, verdicts.FIGURES[figure]).to_dict("records"):
        least, largest = row["least_fraction"], row["largest_fraction"]
        low, high = (share(row[end], least, largest) for end in ("ci_low", "ci_high"))
        way = style.labels(row["adaptation"], math.nan)
        kind = f", {way}"
        if row["fraction"] == 0:
            # Without labels the method is the same model; the reference it is compared with is not.
            kind = f"; {style.name(row['reference'])} {way}" if several else ""
        shown.append(
            {
                "method": style.name(row["method"]),
                "labels": ("no labels" if row["fraction"] == 0 else style.percent(row["fraction"])) + kind,
                "adaptation": way,
                "value": tables.percentage(row["value"]),
                "equal": share(row["equal_fraction"], least, largest),
                "interval": "" if tables.MISSING in (low, high) else f"{low} to {high}",
                "words": _words(row["fraction"], row["equal_fraction"], row["ci_low"], row["ci_high"], least),
            }
        )
    return shown


def _words(fraction: float, equal: float, low: float, high: float, least: float) -> str:
    """Put a row into words, and say if its interval supports it."""
    if math.isnan(equal):
        return "not measured"
    if math.isinf(equal):
        reached = "more than measured"
    elif equal == fraction:
        reached = "as many labels"
    elif equal == 0:
        reached = "no labels at all"
    elif fraction == 0:
        reached = "labels; the method needs none"
    else:
        reached = f"{two_digits(equal / fraction)} times the labels"
    if 0 < equal == least and fraction > 0:
        reached += " or fewer"
    if math.isnan(low) or math.isnan(high):
        return f"{reached}; without an interval"
    # If the smallest fraction measured is enough, a smaller one may be too.
    if low > fraction and not 0 < low == least:
        return f"{reached}; more, by the interval"
    if high < fraction:
        return f"{reached}; fewer, by the interval"
    return f"{reached}; the interval does not decide"
