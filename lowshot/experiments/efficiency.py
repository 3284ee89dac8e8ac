"""Label efficiency: the share of labels at which a reference reaches what another method reaches with fewer."""

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
# Figures of models that no label changed are equal; their means are so but for the last digits.
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
    """The figures that methods are compared by, each with its resamples.

    Args:
        results: of one method at one budget, one per run, on one trial set.
        replicates, seed: of the identity bootstrap; with the same, all methods and budgets are resampled alike.

    Returns:
        By number in `compared_figures`; a figure without trials, or of a single identity, is missing. The resamples are
        spread as `corrected` says.
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
    """How many labels the reference needs for each figure of each other method.

    The reference's figures at its fractions are joined to a curve that never falls (the best so far), between
    fractions along the logarithm of the fraction, from no labels to the least fraction along the fraction itself.

    Args:
        measured: method -> (adaptation, fraction) -> figures, as `points` gives them.
        reference: one of the methods.

    Returns:
        Rows of label_efficiency.csv: with `equal_fraction` labelled the reference reaches the `value` that `method`
        has with `fraction`; `inf` where it does not with the largest fraction measured, which is the last column, and
        the least fraction measured where that is enough already. The interval is the identity bootstrap's: in each
        resample figure and curve are those of the same identities, with the training runs as they are. Adaptations in
        which the reference has fewer than two fractions have no rows.
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
    """Rows of `efficiency_rows` as the table that is written to label_efficiency.csv."""
    return pd.DataFrame(list(rows), columns=list(EFFICIENCY_COLUMNS)).astype({"gallery_size": "Int64"})


def _by_fraction(budgets: Mapping[Budget, Mapping[int, Point]], adaptation: str, figure: int) -> dict[float, Point]:
    """One figure by fraction, rising, with that of the model before any label."""
    chosen = {
        fraction: points[figure]
        for (kind, fraction), points in budgets.items()
        if kind in (adaptation, "none") and figure in points
    }
    return dict(sorted(chosen.items()))


def _level(figure: Mapping[str, object]) -> float:
    return float(find_table(str(figure["protocol"])).definition.interval.level)


def _equal(point: Point, curve: Mapping[float, Point], level: float) -> dict[str, float]:
    """The fraction at which a curve reaches a point, and its interval."""
    fractions = list(curve)
    value = reach(np.array([point.value]), np.array([[at.value for at in curve.values()]]), fractions)
    resampled = np.stack([at.replicates for at in curve.values()], axis=1)
    whole = ~(np.isnan(resampled).any(axis=1) | np.isnan(point.replicates))
    reached = np.sort(reach(point.replicates[whole], resampled[whole], fractions))
    tail = (1 - level) / 2
    low, high = float("nan"), float("nan")
    if reached.size:
        # Beyond the largest fraction nothing can be interpolated: the ends are resamples themselves.
        low = float(np.quantile(reached, tail, method="lower"))
        high = float(np.quantile(reached, 1 - tail, method="higher"))
    return {"equal_fraction": float(value[0]), "ci_low": low, "ci_high": high}


def reach(values: FloatArray, curves: FloatArray, fractions: Sequence[float]) -> FloatArray:
    """Where rising curves reach values.

    Args:
        values: [R] what is to be reached.
        curves: [R, K] a curve each, in any order of height: each is replaced by its highest value so far. Levelling
            falls by their mean would take from a curve what it has reached, and let its own copy outdo it.
        fractions: K rising labelled shares, in [0, 1].

    Returns:
        [R] fractions: the least of `fractions` where that is enough, inf where the largest is not.
    """
    rising = np.maximum.accumulate(curves, axis=1)
    values = values - ROUNDING
    out = np.full(len(values), np.inf)
    # From the largest down, so that the least segment that reaches a value has the last word.
    for upper in range(len(fractions) - 1, 0, -1):
        low, high = fractions[upper - 1], fractions[upper]
        within = (rising[:, upper - 1] < values) & (values <= rising[:, upper])
        step = np.where(within, rising[:, upper] - rising[:, upper - 1], 1.0)
        share = (values - rising[:, upper - 1]) / step
        # No logarithm of nothing.
        there = share * high if low == 0 else low * (high / low) ** np.where(within, share, 0.0)
        out = np.where(within, there, out)
    return np.where(values <= rising[:, 0], fractions[0], out)


def efficiency_lines(table: pd.DataFrame) -> list[str]:
    """What label_efficiency.csv says of the verification AUC over all impostors, in words, for a person.

    Args:
        table: as `efficiency_table` gives it.
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
    # Below the least share that was measured, less may do; tables of earlier versions do not say which that is.
    bound = "at most " if 0 < fraction == row.get("least_fraction") else ""
    return f"{bound}{100 * fraction:.3g} %"
