"""Paired differences between two methods on the same trials, over several training seeds."""

from collections.abc import Mapping, Sequence

import pandas as pd

from lowshot.evaluation.evaluate import EvaluationResult
from lowshot.evaluation.verification import paired_differences

# The list that headline claims are made on.
HEADLINE = {"protocol": "verification", "stratum": "U", "seen": "unseen-unheard"}
COLUMNS = (
    "method_a",
    "method_b",
    "adaptation",
    "fraction",
    "metric",
    "protocol",
    "stratum",
    "seen",
    "seeds",
    "value_a",
    "value_b",
    "difference",
    "ci_low",
    "ci_high",
    "p_value",
)


def difference_row(
    methods: tuple[str, str],
    adaptation: str,
    fraction: float,
    a: Sequence[EvaluationResult],
    b: Sequence[EvaluationResult],
    replicates: int,
    seed: int,
) -> dict[str, object]:
    """AUC of the first method minus that of the second on unseen identities.

    Args:
        methods: their names.
        adaptation, fraction: how both were adapted.
        a, b: their results, one per training seed, in the order of the seeds.
        replicates, seed: of the identity bootstrap.

    Returns:
        A row of differences.csv. The interval resamples identities, with the training seeds as they are.
    """
    key = "-".join(HEADLINE[part] for part in ("protocol", "seen", "stratum"))
    scores_a, scores_b = ([result.scores[key] for result in results] for results in (a, b))
    found = paired_differences(scores_a, scores_b, replicates, seed)
    value_a, value_b = (sum(_auc(result) for result in results) / len(results) for results in (a, b))
    return {
        "method_a": methods[0],
        "method_b": methods[1],
        "adaptation": adaptation,
        "fraction": fraction,
        "metric": "auc",
        **HEADLINE,
        "seeds": len(a),
        "value_a": value_a,
        "value_b": value_b,
        "difference": found.value,
        "ci_low": found.low,
        "ci_high": found.high,
        "p_value": found.p_value,
    }


def _auc(result: EvaluationResult) -> float:
    rows = result.rows
    wanted = rows["metric"] == "auc"
    for column, value in HEADLINE.items():
        wanted &= rows[column] == value
    return float(rows.loc[wanted, "value"].iloc[0])


def differences_table(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Rows of `difference_row` as the table that is written to differences.csv."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS))
