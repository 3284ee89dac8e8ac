"""Figures of a retrieval from the table of its queries: means and medians, their intervals, and chance."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import gammaln

from lowshot.evaluation.groups import groups
from lowshot.evaluation.protocols import RetrievalProtocol
from lowshot.evaluation.results import Figure
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.verification import identity_codes
from lowshot.metrics.bootstrap import (
    Interval,
    identity_counts,
    mean_replicates,
    median_replicates,
    percentile_interval,
)
from lowshot.metrics.variance_correction import corrected
from lowshot.metrics.verification import FloatArray

MEDIAN_RANK = "median_rank"


def retrieval_figures(table: pd.DataFrame, protocol: RetrievalProtocol, replicates: int, seed: int) -> list[Figure]:
    """Means over queries, and the median rank, of all queries and of each group, with intervals over their identities.

    Args:
        table: as `rank_queries` gives it; without the column `identity` there are no intervals.
        protocol: metrics, groups and the interval's rule.
        replicates: number of resamples.
        seed: seed of the resamples.

    Returns:
        The figures of all queries first.
    """
    figures = []
    for group, rows in groups(table, protocol.groups):
        part = table[rows]
        codes, counts, n_identities = None, None, None
        if "identity" in part.columns:
            (codes,), n_identities = identity_codes(part["identity"].to_numpy(dtype=object))
            # A single identity has no spread to resample.
            counts = identity_counts(n_identities, replicates, seed) if n_identities > 1 else None
        ties = int(part["tied"].sum())
        for metric, column in _metrics(protocol):
            values = part[column].to_numpy(dtype=np.float64)
            interval = None
            if codes is not None and counts is not None:
                interval = _interval(metric, values, codes, counts, protocol)
            figures.append(
                Figure(metric, _summary(metric, values), len(part), n_identities, interval, ties, group=group)
            )
    return figures


def _interval(
    metric: str, values: FloatArray, codes: IntArray, counts: npt.NDArray[np.int32], protocol: RetrievalProtocol
) -> Interval:
    resample = median_replicates if metric == MEDIAN_RANK else mean_replicates
    bounds = (1.0, float("inf")) if metric == MEDIAN_RANK else (0.0, 1.0)
    rule = protocol.interval
    resampled = corrected(
        _summary(metric, values), resample(values, (codes,), counts), counts, level=rule.level, bounds=bounds
    )
    return percentile_interval(resampled, rule.level, rule.method)


def retrieval_chance(table: pd.DataFrame, protocol: RetrievalProtocol) -> list[Figure]:
    """Closed-form figures of a model that knows nothing, by the rule that equal scores share.

    mAP: the mean share of relevant items. Recall at k: the chance that k items drawn without replacement hold a
    relevant one, averaged over queries. Median rank: the median over queries of the expected rank of the first relevant
    item, (n + 1) / (r + 1) for r relevant among n.

    Args:
        table: of queries, with their `n_ranked` and `n_relevant`; see `query_table`.
        protocol: metrics and groups.
    """
    figures = []
    for group, rows in groups(table, protocol.groups):
        part = table[rows]
        ranked, relevant = part["n_ranked"].to_numpy(), part["n_relevant"].to_numpy()
        values = {"average_precision": relevant / ranked, "first_rank": (ranked + 1) / (relevant + 1)}
        for k in protocol.recall_at:
            values[f"recall@{k}"] = 1.0 - _none_drawn(ranked, relevant, k)
        people = part["identity"].nunique() if "identity" in part.columns else None
        figures += [
            Figure(metric, _summary(metric, values[column]), len(part), people, group=group)
            for metric, column in _metrics(protocol)
        ]
    return figures


def _metrics(protocol: RetrievalProtocol) -> list[tuple[str, str]]:
    """Metric names and the columns of a ranking that they sum up."""
    metrics = [("map", "average_precision")] if "map" in protocol.metrics else []
    if "recall" in protocol.metrics:
        metrics += [(f"recall@{k}", f"recall@{k}") for k in protocol.recall_at]
    return metrics + ([(MEDIAN_RANK, "first_rank")] if MEDIAN_RANK in protocol.metrics else [])


def _summary(metric: str, values: FloatArray) -> float:
    return float(np.median(values) if metric == MEDIAN_RANK else values.mean())


def _none_drawn(ranked: IntArray, relevant: IntArray, k: int) -> FloatArray:
    """Chance that k draws without replacement miss every relevant item: C(n - r, k) / C(n, k)."""
    rest = ranked - relevant
    possible = rest >= k
    n, m = np.where(possible, ranked, k), np.where(possible, rest, k)
    logs = gammaln(m + 1) - gammaln(m - k + 1) - gammaln(n + 1) + gammaln(n - k + 1)
    return np.where(possible, np.exp(logs), 0.0)
