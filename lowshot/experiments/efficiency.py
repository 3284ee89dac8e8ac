"""Label efficiency: the label fraction at which a reference matches another method."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.evaluation.evaluate import EvaluationResult
from lowshot.evaluation.protocols.registry import compared_figures, find_table, score_key
from lowshot.metrics.variance_correction import corrected
from lowshot.schema import EFFICIENCY_COLUMNS

FloatArray = npt.NDArray[np.float64]
Budget = tuple[str, float]
# Models that no label changed have equal figures, but the means may differ in the last digits.
ROUNDING = 1e-12


class Point(NamedTuple):
    """One figure of one method at one budget.

    Attributes:
        value: the mean over its runs.
        replicates: [R] the mean over its runs in each resample of identities.
        runs: how many there are.
    """

    value: float
    replicates: FloatArray
    runs: int


def points(results: Sequence[EvaluationResult], replicates: int, seed: int) -> dict[int, Point]:
    """Average the compared figures over runs, with their resamples.

    Args:
        results: of one method at one budget, one per run, on one trial set.
        replicates, seed: of the identity bootstrap. The same values resample all methods and budgets alike.

    Returns:
        Points by number in `compared_figures`; a figure without trials, or of a single identity, is missing. The
        function `corrected` sets the spread of the resamples.
    """
    found = {}
    for number, figure in enumerate(compared_figures()):
        key = score_key(figure)
        if key not in results[0].scores:
            continue
        protocol = find_table(str(figure["protocol"]))
        tables = [protocol.usable(result.scores[key], figure) for result in results]
        runs = protocol.resample(tables, figure, replicates, seed)
        if runs.by_identity is None or runs.counts is None:
            continue
        value = float(np.mean(runs.values))
        single = None if runs.by_pair is None else np.mean(runs.by_pair, axis=0)
        means = np.mean(runs.by_identity, axis=0)
        spread = corrected(value, means, runs.counts, by_pair=single, level=_level(figure))
        found[number] = Point(value, spread, len(tables))
    return found


def efficiency_rows(
    measured: Mapping[str, Mapping[Budget, Mapping[int, Point]]], reference: str
) -> list[dict[str, object]]:
    """Count the labels that the reference needs to match each other method.

    The reference's figures form a curve over fractions that never falls (the best so far). Between fractions, it is
    interpolated along the logarithm of the fraction; from no labels to the least fraction, along the fraction itself.

    Args:
        measured: method -> (adaptation, fraction) -> figures, from `points`.
        reference: one of the methods.

    Returns:
        Rows of label_efficiency.csv. With the labelled fraction `equal_fraction`, the reference reaches the `value`
        that `method` has with `fraction`. It is `inf` if the largest measured fraction does not suffice, and the least
        measured fraction if that suffices. The interval is from the identity bootstrap: each resample takes figure and
        curve of the same identities; the training runs stay fixed. An adaptation has no rows if the reference has
        fewer than two fractions in it.
    """
    adaptations = dict.fromkeys(kind for budgets in measured.values() for kind, _ in budgets if kind != "none")
    rows: list[dict[str, object]] = []
    for method, budgets in measured.items():
        if method == reference:
            continue
        for adaptation in adaptations:
            for number, figure in enumerate(compared_figures()):
                curve = _by_fraction(measured[reference], adaptation, number)
                for fraction, point in _by_fraction(budgets, adaptation, number).items():
                    if len(curve) < 2:
                        continue
                    rows.append(
                        {
                            "method": method,
                            "reference": reference,
                            "adaptation": adaptation,
                            "fraction": fraction,
                            **figure,
                            "runs": point.runs,
                            "value": point.value,
                            **_equal(point, curve, _level(figure)),
                            "least_fraction": min(curve),
                            "largest_fraction": max(curve),
                        }
                    )
    return rows


def efficiency_table(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Turn rows of `efficiency_rows` into the table label_efficiency.csv."""
    return pd.DataFrame(list(rows), columns=list(EFFICIENCY_COLUMNS)).astype({"gallery_size": "Int64"})


def _by_fraction(budgets: Mapping[Budget, Mapping[int, Point]], adaptation: str, figure: int) -> dict[float, Point]:
    """Select one figure by rising fraction; 0 is the model without labels."""
    chosen = {
        fraction: points[figure]
        for (kind, fraction), points in budgets.items()
        if kind in (adaptation, "none") and figure in points
    }
    return dict(sorted(chosen.items()))


def _level(figure: Mapping[str, object]) -> float:
    return float(find_table(str(figure["protocol"])).definition.interval.level)


def _equal(point: Point, curve: Mapping[float, Point], level: float) -> dict[str, float]:
    """Find the fraction at which a curve reaches a point, with interval."""
    fractions = list(curve)
    value = reach(np.array([point.value]), np.array([[at.value for at in curve.values()]]), fractions)
    resampled = np.stack([at.replicates for at in curve.values()], axis=1)
    whole = ~(np.isnan(resampled).any(axis=1) | np.isnan(point.replicates))
    reached = np.sort(reach(point.replicates[whole], resampled[whole], fractions))
    tail = (1 - level) / 2
    low, high = float("nan"), float("nan")
    if reached.size:
        # Nothing can be interpolated beyond the largest fraction, so the ends are resamples.
        low = float(np.quantile(reached, tail, method="lower"))
        high = float(np.quantile(reached, 1 - tail, method="higher"))
    return {"equal_fraction": float(value[0]), "ci_low": low, "ci_high": high}


def reach(values: FloatArray, curves: FloatArray, fractions: Sequence[float]) -> FloatArray:
    """Find the fractions at which curves reach values.

    Args:
        values: [R] values to reach.
        curves: [R, K] one curve per value. A curve that falls is replaced by its highest value so far. A mean over the
            fall would lower what the curve has reached, and its own copy would then beat it.
        fractions: K rising labelled fractions, in [0, 1].

    Returns:
        [R] fractions: the least of `fractions` if that suffices, inf if the largest does not.
    """
    rising = np.maximum.accumulate(curves, axis=1)
    values = values - ROUNDING
    out = np.full(len(values), np.inf)
    # From the largest down, so that the least segment that reaches a value wins.
    for upper in range(len(fractions) - 1, 0, -1):
        low, high = fractions[upper - 1], fractions[upper]
        within = (rising[:, upper - 1] < values) & (values <= rising[:, upper])
        step = np.where(within, rising[:, upper] - rising[:, upper - 1], 1.0)
        share = (values - rising[:, upper - 1]) / step
        # Zero has no logarithm.
        there = share * high if low == 0 else low * (high / low) ** np.where(within, share, 0.0)
        out = np.where(within, there, out)
    return np.where(values <= rising[:, 0], fractions[0], out)


def efficiency_lines(table: pd.DataFrame) -> list[str]:
    """Put the verification AUC in label_efficiency.csv into words.

    Args:
        table: from `efficiency_table`.
    """
    shown = table[(table["metric"] == "auc") & (table["stratum"] == "U") & (table["fraction"] > 0)]
    return [
        f"{row['method']} with {100 * row['fraction']:.3g} % ({row['adaptation']}) = {row['reference']} with "
        f"{_share(row['equal_fraction'], row)} [{_share(row['ci_low'], row)}, {_share(row['ci_high'], row)}]"
        for row in shown[shown["fraction"] < shown["largest_fraction"]].to_dict("records")
    ]


def _share(fraction: float, row: Mapping[object, object]) -> str:
    if np.isinf(fraction):
        return f"over {100 * float(str(row['largest_fraction'])):.3g} %"
    # A smaller fraction than the least measured one may suffice. Tables of earlier versions lack the column.
    bound = "at most " if 0 < fraction == row.get("least_fraction") else ""
    return f"{bound}{100 * fraction:.3g} %"
