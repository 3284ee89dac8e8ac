"""Retrieval: rank a gallery for each query.

Items of equal score form one block, in no particular order.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from lowshot.metrics.verification import FloatArray, checked_binary, checked_scores


def _checked_queries(scores: npt.ArrayLike, relevant: npt.ArrayLike) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    array = checked_scores(scores, ndim=2)
    truth = checked_binary(relevant, array.shape, "relevant")
    without = np.flatnonzero(~truth.any(axis=1))
    if without.size:
        raise ValueError(
            f"{without.size} queries have no relevant item (first: row {without[0]}); leave such queries out"
        )
    return array, truth


def _count_below(
    ascending: npt.NDArray[Any], rows: npt.NDArray[np.int64], values: npt.NDArray[Any]
) -> npt.NDArray[np.int64]:
    """Count the items of `ascending[rows[i]]` below `values[i]`, by binary search.

    Args:
        ascending: [Q, G], each row sorted.
        rows: [M] row of each value.
        values: [M], each one present in its row.

    Returns:
        [M] counts in 0..G-1.
    """
    low = np.zeros(rows.shape, dtype=np.int64)
    high = np.full(rows.shape, ascending.shape[1] - 1, dtype=np.int64)
    for _ in range(ascending.shape[1].bit_length()):
        middle = (low + high) // 2
        below = ascending[rows, middle] < values
        low = np.where(below, middle + 1, low)
        high = np.where(below, high, middle)
    return low


def average_precision(scores: npt.ArrayLike, relevant: npt.ArrayLike) -> FloatArray:
    """Average precision of each query.

    It is the precision at each distinct score, weighted by the recall gained. Equivalently, it is the mean over
    relevant items of (relevant items scored at least as high) / (all items scored at least as high). Only the values
    of a row are sorted and only relevant items are looked up, so the cost is that of sorting.

    Args:
        scores: [Q, G] finite real numbers, one row per query and one column per gallery item.
        relevant: [Q, G] boolean or 0/1; true when the item belongs to the query. At least one per row.

    Returns:
        [Q] in (0, 1]; their mean is the mAP. A row of equal scores gives the share of relevant items: chance.

    Raises:
        ValueError: wrong shapes, scores that are not finite, or a query without a relevant item.

    Source:
        Manning, Raghavan and Schuetze, Introduction to Information Retrieval, section 8.4; tied scores are
        one threshold, as in `sklearn.metrics.average_precision_score`.
    """
    array, truth = _checked_queries(scores, relevant)
    queries, gallery = array.shape
    rows, columns = np.nonzero(truth)
    values = array[rows, columns]
    values = values[np.lexsort((values, rows))]  # ascending within each row; `rows` is in order already
    per_query = np.bincount(rows, minlength=queries)
    row_ends = np.cumsum(per_query)
    starts = np.flatnonzero(np.concatenate(([True], (values[1:] != values[:-1]) | (rows[1:] != rows[:-1]))))
    sizes = np.diff(np.append(starts, len(values)))
    row_of = rows[starts]
    relevant_at_least = row_ends[row_of] - starts
    all_at_least = gallery - _count_below(np.sort(array, axis=1), row_of, values[starts])
    return np.bincount(row_of, sizes * relevant_at_least / all_at_least, minlength=queries) / per_query


def recall_at_k(scores: npt.ArrayLike, relevant: npt.ArrayLike, k: int) -> FloatArray:
    """Recall at k: whether a relevant item ranks among the k best.

    If the k-th place falls inside a block of equal scores, the value is the probability over a random
    order of that block (hypergeometric). No position in the gallery is favoured.

    Args:
        scores: [Q, G] finite real numbers, one row per query and one column per gallery item.
        relevant: [Q, G] boolean or 0/1; true when the item belongs to the query. At least one per row.
        k: number of places, at least 1. A k above G covers the whole gallery.

    Returns:
        [Q] in [0, 1]; 0 or 1 unless a tie decides.

    Raises:
        ValueError: wrong shapes, scores that are not finite, a query without a relevant item, or k below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    array, truth = _checked_queries(scores, relevant)
    places = min(k, array.shape[1])
    last = np.partition(array, array.shape[1] - places, axis=1)[:, array.shape[1] - places, None]
    above, level = array > last, array == last
    free = places - np.count_nonzero(above, axis=1)  # places left for the block of the k-th score
    block = np.count_nonzero(level, axis=1)
    irrelevant = block - np.count_nonzero(level & truth, axis=1)
    missed = np.where((above & truth).any(axis=1), 0.0, 1.0)
    for drawn in range(places):
        # Fill the free places one by one, each with the chance that the draw is irrelevant.
        draws = drawn < free
        left = np.where(draws, block - drawn, 1)
        missed *= np.where(draws, np.maximum(irrelevant - drawn, 0) / left, 1.0)
    return 1.0 - missed
