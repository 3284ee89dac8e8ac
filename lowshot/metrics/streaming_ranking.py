"""Rankings too large for memory: ranks of relevant items by counting.

Average precision, recall and the rank of the first hit follow from two numbers for each relevant item: how many items
score at least as high, and how many score higher. Both add up over parts of a gallery, so no whole ranking is needed.
One pass over a matrix of scores serves the queries along its rows and those along its columns.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lowshot.metrics.verification import FloatArray

IntArray = npt.NDArray[np.int64]

# Numbers per intermediate array while scores are counted: few enough to stay in the cache.
_BLOCK_ELEMENTS = 2**17
# Bucket numbers are computed in float32, which holds whole numbers up to 2**24.
_MOST_BUCKETS = 2**20


class Ranking(NamedTuple):
    """Ranks of the relevant items of Q queries, by level.

    A level is a distinct score of a query's relevant items. There are L levels in total.

    Args:
        query: [L] query of each level: 0 to Q - 1, each at least once, ascending; a query's levels ascend by score.
        hits: [L] number of relevant items on the level.
        hits_at_least: [L] number of relevant items on it or above.
        at_least: [L] number of all items ranked that are on it or above.
        above: [L] number of all items ranked that are above it.
    """

    query: IntArray
    hits: IntArray
    hits_at_least: IntArray
    at_least: npt.NDArray[np.integer]
    above: npt.NDArray[np.integer]


def ranking_of(
    starts: IntArray, scores: npt.NDArray[Any], at_least: npt.NDArray[np.integer], above: npt.NDArray[np.integer]
) -> Ranking:
    """Group relevant items of one query and one score.

    Args:
        starts: [Q + 1] the relevant items of query q are those from `starts[q]` to `starts[q + 1]`, at least one.
        scores: [M] of the relevant items, ascending within each query.
        at_least, above: [M] as `count_items` gives them.
    """
    new = np.ones(len(scores), dtype=bool)
    new[1:] = scores[1:] != scores[:-1]
    new[starts[:-1]] = True
    first = np.flatnonzero(new)
    query = np.repeat(np.arange(len(starts) - 1), np.diff(starts))[first]
    # Levels before a level of the same query have lower scores.
    hits_at_least = starts[query + 1] - first
    return Ranking(query, np.diff(np.append(first, len(scores))), hits_at_least, at_least[first], above[first])


def average_precision(found: Ranking) -> FloatArray:
    """Average precision of each query, [Q]; bit-identical to `retrieval.average_precision`."""
    shares = found.hits * found.hits_at_least / found.at_least
    return np.bincount(found.query, shares) / np.bincount(found.query, found.hits)


def recall_at_k(found: Ranking, k: int) -> FloatArray:
    """Recall at k of each query, [Q], as `retrieval.recall_at_k`.

    Raises:
        ValueError: k below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    above, hits, misses = _best(found)
    missed = np.ones(len(above))
    for drawn in range(k):
        # Fill the places that better items leave from the level of the best hit, one by one.
        draws = drawn < np.minimum(k - above, hits + misses)
        missed *= np.where(draws, np.maximum(misses - drawn, 0) / np.where(draws, hits + misses - drawn, 1), 1.0)
    return 1.0 - missed


def first_rank(found: Ranking) -> FloatArray:
    """Expected rank of each query's first relevant item, from 1, [Q].

    The expectation is over random orders of equal scores.
    """
    above, hits, misses = _best(found)
    # If m irrelevant and r relevant items are in random order, m / (r + 1) are expected before the first relevant one.
    return 1.0 + above + misses / (hits + 1)


def tied_queries(found: Ranking) -> npt.NDArray[np.bool_]:
    """Whether a relevant and an irrelevant item of each query tie, [Q]."""
    shared = found.at_least - found.above > found.hits
    return np.bincount(found.query, shared) > 0


def _best(found: Ranking) -> tuple[IntArray, IntArray, IntArray]:
    """The level of each query's best relevant item.

    Returns:
        Items above it, relevant items on it, irrelevant items on it.
    """
    best = np.append(np.flatnonzero(np.diff(found.query)), len(found.query) - 1)
    above, hits = found.above[best].astype(np.int64), found.hits[best]
    return above, hits, found.at_least[best] - above - hits


def count_items(scores: npt.NDArray[Any], starts: IntArray, thresholds: npt.NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Count the items at or above, and above, each threshold.

    Items go into buckets by score, which costs less than sorting them. Only items that share a bucket with a threshold
    are sorted. The buckets decide what is sorted, but do not change the counts.

    Args:
        scores: [Q, G] float32 or float64. An item at minus infinity is ignored.
        starts: [Q + 1] the thresholds of row q are those from `starts[q]` to `starts[q + 1]`.
        thresholds: [M] finite, of the type of the scores, ascending within each row.

    Returns:
        [M] items that score at least as high, and [M] items that score higher.
    """
    at_least, above = (np.zeros(len(thresholds), dtype=np.int64) for _ in range(2))
    rows = np.flatnonzero(np.diff(starts))
    step = max(1, _BLOCK_ELEMENTS // scores.shape[1])
    spare = np.empty((min(step, len(rows)), scores.shape[1]), dtype=scores.dtype)
    for first in range(0, len(rows), step):
        taken = rows[first : first + step]
        # Rows in between have no thresholds.
        part = slice(starts[taken[0]], starts[taken[-1] + 1])
        block = scores[first : first + step] if len(rows) == len(scores) else scores[taken]
        bounds = np.append(starts[taken], part.stop) - part.start
        at_least[part], above[part] = _count(block, bounds, thresholds[part], spare[: len(taken)])
    return at_least, above


def _count(
    scores: npt.NDArray[Any], starts: IntArray, thresholds: npt.NDArray[Any], spare: npt.NDArray[Any]
) -> tuple[IntArray, IntArray]:
    """`count_items` of rows that all have thresholds."""
    queries, gallery = scores.shape
    buckets = min(_MOST_BUCKETS, max(8, 2 ** (gallery.bit_length() - 2)))
    row = np.repeat(np.arange(queries), np.diff(starts))
    low, scale = _scale(thresholds[starts[:-1]], thresholds[starts[1:] - 1], buckets)
    base = np.arange(queries).astype(scores.dtype) * buckets
    place = _bucket(scores, low[:, None], scale[:, None], base[:, None], buckets, spare).ravel()
    wanted = _bucket(thresholds, low[row], scale[row], base[row], buckets)
    held = np.bincount(place, minlength=queries * buckets)
    inside = held[wanted]
    above = (row + 1) * gallery - np.cumsum(held)[wanted]
    at_least = above.copy()
    shared = np.flatnonzero(inside)
    if shared.size:
        bucket = wanted[shared]
        marked = np.zeros(len(held), dtype=bool)
        marked[bucket] = True
        chosen = np.flatnonzero(marked.take(place))
        pool = joined(place[chosen], scores.ravel()[chosen])
        pool.sort()
        sought = joined(bucket, thresholds[shared])
        # Thresholds rise, and so do their buckets: those of one stand together.
        first = np.flatnonzero(np.append(True, bucket[1:] != bucket[:-1]))
        ends = np.repeat(np.cumsum(held[bucket[first]]), np.diff(np.append(first, len(bucket))))
        at_least[shared] += ends - np.searchsorted(pool, sought, side="left")
        above[shared] += ends - np.searchsorted(pool, sought, side="right")
    return at_least, above


def _scale(low: npt.NDArray[Any], high: npt.NDArray[Any], buckets: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Start of each row's buckets, and buckets per unit of score.

    The buckets cover the thresholds of the row.
    """
    limits = np.finfo(low.dtype)
    with np.errstate(over="ignore"):
        span = np.maximum(high - low, np.maximum(np.abs(low), np.abs(high)) * low.dtype.type(1e-3))
    # Neither an infinite scale nor one of nothing, whatever the scores are.
    span = np.clip(span, limits.tiny * buckets, limits.max)
    return low, (buckets - 2) / span


def _bucket(
    scores: npt.NDArray[Any],
    low: npt.NDArray[Any],
    scale: npt.NDArray[Any],
    base: npt.NDArray[Any],
    buckets: int,
    out: npt.NDArray[Any] | None = None,
) -> npt.NDArray[np.intp]:
    """The bucket of each score: 0 below `low`, then ascending.

    Every step keeps the order of the scores, however it rounds.
    """
    with np.errstate(over="ignore"):
        places = np.subtract(scores, low, out=out)
        places *= scale
        places += 1
    np.clip(places, 0, buckets - 1, out=places)
    places += base
    return places.astype(np.intp)


def joined(place: IntArray, scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Keys that sort by place, then by score; `parted` splits them.

    Args:
        place: [M] from 0 to 2**31 - 1.
        scores: [M] float32 or float64, finite.
    """
    if scores.dtype != np.float32:
        numbers = np.empty(len(scores), dtype=np.complex128)
        numbers.real, numbers.imag = place, scores + 0.0
        return numbers
    # Zero is added because minus zero, its equal, has other bits.
    return (place << 32) + _ordered((scores + np.float32(0)).view(np.int32))


def parted(numbers: npt.NDArray[Any]) -> tuple[IntArray, npt.NDArray[Any]]:
    """The places and the scores of the keys that `joined` made."""
    if numbers.dtype != np.int64:
        return numbers.real.astype(np.int64), numbers.imag.copy()
    bits = numbers.astype(np.int32)
    return (numbers - bits) >> 32, _ordered(bits).view(np.float32)


def _ordered(bits: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Map bits of floats to integers in the floats' order, and back.

    The bits of negative numbers are inverted.
    """
    return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
