"""Paired differences of two methods on the same trials, over seeds."""

from collections.abc import Mapping, Sequence

import pandas as pd

from lowshot.evaluation.evaluate import EvaluationResult
from lowshot.evaluation.paired import paired_difference
from lowshot.evaluation.protocols.registry import compared_figures, find_table, score_key
from lowshot.metrics.multiple_testing import holm
from lowshot.schema import DIFFERENCE_COLUMNS

# R resamples give a p-value of at least 2 / (R + 1), and a table of m differences multiplies it by up to m.
LEAST_REPLICATES = 10_000
# With fewer than 40 for each row, no difference of the table could reach a corrected p-value of 0.05.
REPLICATES_PER_ROW = 50


def enough_replicates(replicates: int, rows: int) -> int:
    """Return the number of resamples that a table's corrected p-values need.

    Args:
        replicates: requested number.
        rows: largest possible number of rows of the table.
    """
    return max(replicates, LEAST_REPLICATES, REPLICATES_PER_ROW * rows)


def difference_rows(
    methods: tuple[str, str],
    adaptation: str,
    fraction: float,
    a: Sequence[EvaluationResult],
    b: Sequence[EvaluationResult],
    replicates: int,
    seed: int,
) -> list[dict[str, object]]:
    """Subtract the second method's figures from the first's.

    The figures are those of `compared_figures` that have trials, on unseen identities.

    Args:
        methods: their names.
        adaptation, fraction: how both were adapted.
        a, b: their results on one trial set, one per training seed, in the order of the seeds.
        replicates, seed: of the identity bootstrap; at least `LEAST_REPLICATES` are drawn.

    Returns:
        Rows of differences.csv without `p_holm`, which needs the whole table. The intervals resample identities; the
        training runs stay fixed.
    """
    rows: list[dict[str, object]] = []
    replicates = max(replicates, LEAST_REPLICATES)
    for figure in compared_figures():
        key = score_key(figure)
        if key not in a[0].scores:
            continue
        scores_a, scores_b = ([result.scores[key] for result in results] for results in (a, b))
        protocol = find_table(str(figure["protocol"]))
        found = paired_difference(protocol, figure, scores_a, scores_b, replicates, seed)
        value_a, value_b = (sum(_value(result, figure) for result in results) / len(results) for results in (a, b))
        rows.append(
            {
                "method_a": methods[0],
                "method_b": methods[1],
                "adaptation": adaptation,
                "fraction": fraction,
                **figure,
                "seeds": len(a),
                "value_a": value_a,
                "value_b": value_b,
                "difference": found.value,
                "ci_low": found.low,
                "ci_high": found.high,
                "p_value": found.p_value,
            }
        )
    return rows


def _value(result: EvaluationResult, figure: Mapping[str, object]) -> float:
    rows = result.rows[result.rows["group"] == ""]
    for column, value in figure.items():
        rows = rows[rows[column].isna() if value is None else (rows[column] == value).fillna(False)]
    return float(rows["value"].iloc[0])


def differences_table(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Turn rows of `difference_rows` into the table differences.csv.

    Its `p_holm` corrects the p-values for their number; see `holm`.
    """
    table = pd.DataFrame(list(rows), columns=list(DIFFERENCE_COLUMNS)).astype({"gallery_size": "Int64"})
    return table.assign(p_holm=holm(table["p_value"].to_numpy(dtype=float)))
