"""Closed forms of chance on a retrieval."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import digamma, gammaln

from lowshot.evaluation.trial_lists.listed import Names
from lowshot.evaluation.trial_lists.media_metadata import MediaMetadata

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def none_drawn(ranked: IntArray, relevant: IntArray, k: int) -> FloatArray:
    """Compute the probability that k draws miss every relevant item.

    Drawing is without replacement, so it is C(n - r, k) / C(n, k).

    Args:
        ranked: n, number of items, for each query.
        relevant: r, number of relevant items, for each query.
        k: number of draws.
    """
    rest = ranked - relevant
    possible = rest >= k
    n, m = np.where(possible, ranked, k), np.where(possible, rest, k)
    logs = gammaln(m + 1) - gammaln(m - k + 1) - gammaln(n + 1) + gammaln(n - k + 1)
    return np.where(possible, np.exp(logs), 0.0)


def random_order_map(ranked: IntArray, relevant: IntArray) -> float:
    """Compute the expected mean average precision of random order, without ties.

    It is above the fraction of relevant items, which equal scores earn: a hit near the top of a long ranking gains more
    than a late one loses.

    Args:
        ranked, relevant: as in `none_drawn`.

    Source:
        Bestgen, Exact expected average precision of the random baseline for system evaluation, Prague Bulletin of
        Mathematical Linguistics 2015.
    """
    n, r = ranked.astype(np.float64), relevant
    harmonic = digamma(n + 1) - digamma(1)
    rest = np.where(n > 1, (r - 1) / np.maximum(n - 1, 1), 0.0)
    return float(((harmonic + rest * (n - harmonic)) / n).mean())


def listed_chance(query: MediaMetadata, gallery: MediaMetadata, recall_at: Sequence[int]) -> dict[str, float]:
    """mAP and recall at k of equal scores, from a list alone.

    Args:
        query: [Q] metadata of the queries.
        gallery: [G] metadata of the items.
        recall_at: the k of recall at k.

    Returns:
        `map_as_listed`: the mean fraction of relevant items among all. `map` and `recall@k`: by this project's
        protocol, which excludes items of the query's own video; missing if no query has a relevant item.
    """
    size = len(gallery.identity)
    every = _count(query.identity, gallery.identity)
    own = np.where(query.video == "", 0, _count(query.video, gallery.video))
    figures = {"map_as_listed": float((every / size).mean())}
    kept = every > own
    relevant, ranked = (every - own)[kept], (size - own)[kept]
    if kept.any():
        figures["map"] = float((relevant / ranked).mean())
        for k in recall_at:
            figures[f"recall@{k}"] = float((1 - none_drawn(ranked, relevant, k)).mean())
    return figures


def _count(wanted: Names, among: Names) -> IntArray:
    """Count how often each wanted name occurs among others: [Q]."""
    counts = pd.Series(among).value_counts()
    return np.asarray(pd.Series(wanted).map(counts).fillna(0), dtype=np.int64)
