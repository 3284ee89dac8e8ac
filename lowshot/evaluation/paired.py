"""Paired differences between two methods on the same trials.

Every replicate resamples the identities once, for all training seeds of both methods. The interval covers the choice of
identities, given these training runs; it does not cover the spread over runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.errors import RequestError
from lowshot.evaluation.protocols.base import TableProtocol
from lowshot.metrics.bootstrap import Difference, difference_of
from lowshot.metrics.variance_correction import corrected

Tables = Sequence[pd.DataFrame]
FloatArray = npt.NDArray[np.float64]


def paired_difference(
    protocol: TableProtocol[Any],
    figure: Mapping[str, object],
    scores_a: Tables,
    scores_b: Tables,
    replicates: int,
    seed: int,
) -> Difference:
    """Compute the difference of a figure between two methods, a minus b.

    Each method's figure is the mean over its training seeds.

    Args:
        protocol: of the figure.
        figure: one of `protocol.compared`.
        scores_a: score tables of the first method, one per training seed.
        scores_b: those of the second, at least one.
        replicates: number of resamples.
        seed: seed of the resamples.

    Returns:
        The difference with its interval at the protocol's level and its two-sided p-value; NaN for both if a single
        identity has all trials.

    Raises:
        RequestError: there are no tables, a column is missing, or the trials differ.
    """
    usable_a, usable_b = ([protocol.usable(table, figure) for table in given] for given in (scores_a, scores_b))
    tables = _same_trials(usable_a, usable_b, *protocol.compared_columns(figure))
    found = protocol.resample(tables, figure, replicates, seed)
    level, split = protocol.definition.interval.level, len(scores_a)
    value = float(_gap(found.values, split))
    if found.by_identity is None or found.counts is None:
        return difference_of(value, [], level)
    single = None if found.by_pair is None else _gap(found.by_pair, split)
    gaps = corrected(
        value, _gap(found.by_identity, split), found.counts, by_pair=single, level=level, bounds=(-1.0, 1.0)
    )
    return difference_of(value, gaps, level)


def _gap(figures: FloatArray, split: int) -> FloatArray:
    """Subtract mean of b from mean of a over runs: [S, ...] -> [...]."""
    gap: FloatArray = figures[:split].mean(axis=0) - figures[split:].mean(axis=0)
    return gap


def _same_trials(
    scores_a: Tables, scores_b: Tables, trials: Sequence[str], scores: Sequence[str]
) -> list[pd.DataFrame]:
    """Sort tables by trials; first those of a, then those of b."""
    if not scores_a or not scores_b:
        raise RequestError("a paired difference needs score tables of both methods")
    tables = [_in_order(table, trials, scores) for table in (*scores_a, *scores_b)]
    for table in tables[1:]:
        if not table[list(trials)].equals(tables[0][list(trials)]):
            raise RequestError(
                "score tables of different trials cannot be compared in pairs; evaluate with one `evaluate.seed`"
            )
    return tables


def _in_order(table: pd.DataFrame, trials: Sequence[str], scores: Sequence[str]) -> pd.DataFrame:
    for column in (*trials, *scores):
        if column not in table.columns:
            raise RequestError(f"score table: column '{column}' is missing; it needs {', '.join((*trials, *scores))}")
    # A computed number and one read from a file may be written differently.
    types = {column: float if pd.api.types.is_numeric_dtype(table[column]) else str for column in trials}
    return table.astype(types).sort_values(list(trials), kind="stable", ignore_index=True)
