"""Verdicts on pairs of methods, from differences.csv and results.csv."""

import math
from pathlib import Path

import pandas as pd

from lowshot.errors import RequestError
from lowshot.metrics.multiple_testing import holm
from lowshot.metrics.verification import FloatArray
from lowshot.reporting import style, tables
from lowshot.schema import DIFFERENCES

FIGURES: dict[str, dict[str, object]] = {
    "auc": tables.HEADLINE["auc"],
    "auc_g": tables.HEADLINE["auc_g"],
    "auc_gna": {**tables.AUC, "stratum": "GNA"},
    "accuracy": tables.HEADLINE["accuracy"],
    "map": tables.HEADLINE["map"],
}
NAMES = {"auc": "AUC U", "auc_g": "AUC G", "auc_gna": "AUC GNA", "accuracy": "1:2 V→F", "map": "mAP V→F"}
COLUMNS = (
    "first",
    "second",
    "adaptation",
    "fraction",
    "figure",
    "seeds",
    "difference",
    "low",
    "high",
    "seed_low",
    "seed_high",
    "p_value",
    "p_holm",
    "verdict",
)
# Largest corrected p-value of a verdict for one of the two.
ALPHA = 0.05
# With fewer training seeds, a verdict is about these runs, not about the methods.
ENOUGH_SEEDS = 3
_TEXT = ("method_a", "method_b", "adaptation", "metric", "protocol", "direction", "stratum", "seen")
_NUMBERS = ("fraction", "gallery_size", "seeds", "difference", "ci_low", "ci_high", "p_value")
_RUNS = {1.0: "this one training run", 2.0: "these two training runs"}


def judge(differences: pd.DataFrame, results: pd.DataFrame, source: str | Path = DIFFERENCES) -> pd.DataFrame:
    """Give a verdict on every pair of methods, on unseen identities.

    Args:
        differences: columns method_a, method_b, adaptation, fraction, metric, protocol, direction, stratum, seen,
            gallery_size, seeds, difference (a minus b), ci_low, ci_high, p_value and p_holm. If p_holm is missing, it
            is computed from all p-values of the table.
        results: from `tables.check`, with the figures of each seed.
        source: name of the table of differences in messages.

    Returns:
        `COLUMNS`, a row per pair, budget and figure of `FIGURES`. `difference` is first minus second, `low` and `high`
        its interval, `seed_low` and `seed_high` the smallest and largest difference of single training seeds (NaN with
        one seed). A verdict names the better method if the interval excludes zero and the corrected p-value is at most
        `ALPHA`. With cmpc as the reference, cmpc is the first. cmpc and cid come before other pairs; budgets are sorted
        by their number of labels.

    Raises:
        RequestError: a column is missing, or a cell is not a number.
    """
    table = tables.typed(differences, _TEXT, _NUMBERS, source, "lowshot demo")
    if "p_holm" in table.columns:
        table = tables.typed(table, (), ("p_holm",), source, "lowshot demo")
    else:
        table["p_holm"] = _corrected(table["p_value"], source)
    rows = []
    for figure, where in FIGURES.items():
        for item in tables.where_equal(table, where).to_dict("records"):
            first, second, low, high = item["method_a"], item["method_b"], item["ci_low"], item["ci_high"]
            value = item["difference"]
            # With cmpc as the reference, the difference is cmpc minus the other.
            if second == "cmpc":
                first, second, value, low, high = second, first, -value, -high, -low
            budget = {"adaptation": item["adaptation"], "fraction": item["fraction"]}
            gaps = _by_seed(tables.where_equal(results, {**where, **budget}), first, second)
            rows.append(
                {
                    "first": first,
                    "second": second,
                    **budget,
                    "figure": figure,
                    "seeds": item["seeds"],
                    "difference": value,
                    "low": low,
                    "high": high,
                    "seed_low": gaps.min() if len(gaps) > 1 else math.nan,
                    "seed_high": gaps.max() if len(gaps) > 1 else math.nan,
                    "p_value": item["p_value"],
                    "p_holm": item["p_holm"],
                    "verdict": _verdict(figure, first, second, low, high, item["p_holm"], item["seeds"]),
                }
            )
    # Sorting keeps the order of figures within a pair and budget.
    rows.sort(
        key=lambda row: (
            (row["first"], row["second"]) != ("cmpc", "cid"),
            style.sort_key(row["first"]),
            style.sort_key(row["second"]),
            tables.order("", row["adaptation"], row["fraction"]),
        )
    )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _by_seed(results: pd.DataFrame, first: str, second: str) -> pd.Series:
    """Subtract second from first per common training seed, averaged over subsets."""
    seeds = ["train_seed", "subset_seed"]
    a, b = (results.loc[results["method"] == name, [*seeds, "value"]].drop_duplicates() for name in (first, second))
    both = a.merge(b, on=seeds)
    gaps = both.assign(gap=both["value_x"] - both["value_y"]).dropna(subset="gap")
    # Labelled subsets of one training do not count as trainings.
    return gaps.groupby("train_seed", dropna=False)["gap"].mean()


def _corrected(p_values: pd.Series, source: str | Path) -> FloatArray:
    try:
        return holm(p_values.to_numpy(dtype=float))
    except ValueError as error:
        raise RequestError(f"{source}: column 'p_value': {error}") from error


def _verdict(figure: str, first: str, second: str, low: float, high: float, p_holm: float, seeds: float) -> str:
    if math.isnan(low) or math.isnan(high) or math.isnan(p_holm):
        return "no interval: no verdict"
    # Resamples of retrieval draw queries and keep the gallery.
    scope = " in this gallery" if figure == "map" else ""
    scope += "" if seeds >= ENOUGH_SEEDS else f" for {_RUNS.get(seeds, 'these training runs')}"
    if low <= 0 <= high:
        return f"no difference shown{scope}"
    if p_holm > ALPHA:
        return f"no difference shown{scope} after correction for all comparisons"
    return f"{style.name(first if low > 0 else second)} is better{scope}"


def points(value: float) -> str:
    """Write a difference of two fractions in percentage points, with its sign."""
    # Adding zero turns a rounded -0.0 into 0.0.
    return tables.MISSING if math.isnan(value) else f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", "−")


def band(low: float, high: float, between: str) -> str:
    """Write an interval in percentage points; "" if there is none."""
    return "" if math.isnan(low) or math.isnan(high) else f"{points(low)}{between}{points(high)}"
