"""Intervals and paired differences by resampling identities.

Trials that share an identity are not independent. A resample therefore draws identities with replacement and counts
a trial once for every way of drawing the identities in it. Two models compared on the same resamples give a
paired difference. This module resamples means and medians over trials; `curve_replicates` resamples verification
curves.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lowshot.metrics.verification import FloatArray

PERCENTILE_METHOD = "identity-bootstrap-percentile"

# Numbers per intermediate array of one block of replicates: few enough to stay in the cache.
_BLOCK_ELEMENTS = 2**17

IntArray = npt.NDArray[np.int64]


class Interval(NamedTuple):
    """A confidence interval and the name of its method."""

    low: float
    high: float
    method: str


class Difference(NamedTuple):
    """A paired difference with its interval and two-sided bootstrap p-value."""

    value: float
    low: float
    high: float
    p_value: float


def identity_codes(*identities: npt.NDArray[np.object_]) -> tuple[list[IntArray], int]:
    """Number the identities of all arrays from 0.

    Returns:
        The codes of each array, and the number of identities.
    """
    names, codes = np.unique(np.concatenate(identities).astype(str), return_inverse=True)
    return np.split(codes.astype(np.int64), np.cumsum([len(array) for array in identities])[:-1]), len(names)


def identity_counts(n_identities: int, replicates: int, seed: int) -> npt.NDArray[np.int32]:
    """Draw identities with replacement, as many as there are, once per replicate.

    Args:
        n_identities: number of identities, at least 2, because one identity has no spread.
        replicates: number of resamples R, at least 1.
        seed: seed of the draws, 0 or more. The first replicates are the same whatever R is.

    Returns:
        [R, n_identities] how often each identity was drawn; every row sums to n_identities.

    Raises:
        ValueError: too few identities or replicates.

    Source:
        Efron, Bootstrap methods: another look at the jackknife, Annals of Statistics 1979.
    """
    if n_identities < 2 or replicates < 1:
        raise ValueError(f"needs at least 2 identities and 1 replicate, got {n_identities} and {replicates}")
    drawn = np.random.default_rng(seed).integers(0, n_identities, size=(replicates, n_identities))
    drawn += np.arange(replicates)[:, None] * n_identities
    counts = np.bincount(drawn.ravel(), minlength=replicates * n_identities)
    return counts.reshape(replicates, n_identities).astype(np.int32)


def _checked_level(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
    return level


def percentile_interval(replicates: npt.ArrayLike, level: float = 0.95, method: str = PERCENTILE_METHOD) -> Interval:
    """Percentile interval of a figure's replicates.

    Args:
        replicates: [R] the figure in each resample; NaN (the figure is undefined there) is skipped.
        level: share of the replicates inside, in (0, 1).
        method: name of the interval, which says how the replicates were made.

    Returns:
        The interval; NaN at both ends if no replicate remains.

    Raises:
        ValueError: replicates that are not one axis, or a level out of range.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
    """
    values = np.asarray(replicates, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"replicates must have one axis, got shape {values.shape}")
    tail = (1.0 - _checked_level(level)) / 2.0
    kept = values[~np.isnan(values)]
    if kept.size == 0:
        return Interval(float("nan"), float("nan"), method)
    low, high = np.quantile(kept, [tail, 1.0 - tail])
    return Interval(float(low), float(high), method)


def checked_counts(counts: npt.ArrayLike) -> npt.NDArray[np.integer]:
    """Check that counts are integers [R, n], 0 or more; return them."""
    array = np.asarray(counts)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "iu":
        raise ValueError(f"counts must be integers [R, n], got {array.dtype} of shape {array.shape}")
    if (array < 0).any():
        raise ValueError("counts must not be negative")
    return array


def checked_identities(codes: npt.ArrayLike, trials: int, n_identities: int) -> IntArray:
    """Check that identities are integers [T] in 0..n_identities-1; return the array."""
    array = np.asarray(codes)
    if array.shape != (trials,) or array.dtype.kind not in "iu":
        raise ValueError(f"identities must be {trials} integers, got {array.dtype} of shape {array.shape}")
    if (array < 0).any() or (array >= n_identities).any():
        raise ValueError(f"identities must lie in 0..{n_identities - 1}, the columns of the counts")
    return array.astype(np.int64)


def factors(identities: list[IntArray], n_identities: int) -> list[IntArray]:
    """Count each identity of a trial once.

    A repeated identity points to column `n_identities`, whose count is always one.
    """
    ordered = np.sort(np.stack(identities), axis=0)
    ordered[1:][ordered[1:] == ordered[:-1]] = n_identities
    # Repeats go last, so that trials of the same identities get the same factors.
    ordered.sort(axis=0)
    return [ordered[0], *(row for row in ordered[1:] if (row != n_identities).any())]


def trial_weights(block: npt.NDArray[Any], named: list[IntArray]) -> npt.NDArray[Any]:
    """Multiply the counts of each trial's `factors`: [B, n+1] -> [B, T]."""
    weights = np.take(block, named[0], axis=1)
    for factor in named[1:]:
        weights *= np.take(block, factor, axis=1)
    return weights


def blocks(
    counts: npt.NDArray[np.integer], trials: int, dtype: type[np.int64] | type[np.float64]
) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    """Split the replicates into blocks with a last column of ones."""
    size = max(1, _BLOCK_ELEMENTS // trials)
    for start in range(0, len(counts), size):
        part = slice(start, start + size)
        block = counts[part].astype(dtype)
        yield part, np.concatenate([block, np.ones((len(block), 1), dtype=dtype)], axis=1)


def mean_replicates(values: npt.ArrayLike, identities: tuple[npt.ArrayLike, ...], counts: npt.ArrayLike) -> FloatArray:
    """Mean of per-trial figures in each resample of identities.

    Per-trial figures are matching credit, average precision, recall and the like. The weight of a trial is the
    product of the counts of its distinct identities. The mean square of that product doubles with every further
    identity, and the interval widens with it. Name the identities that the figure should generalise over, such as
    the probe's. Do not name every candidate of a long list.

    Args:
        values: [T] finite real numbers.
        identities: one or more arrays [T] of integers in 0..n-1, the identities in each trial.
        counts: [R, n] non-negative integers, from `identity_counts`.

    Returns:
        [R] weighted means; NaN for a resample without trials.

    Raises:
        ValueError: wrong shapes, values that are not finite, no identities, or identities without a count.

    Source:
        Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007.
    """
    value_array = _checked_values(values)
    count_array, named = _named(len(value_array), identities, counts)
    # Trials of the same identities have the same weight in every resample, so their sum is computed once.
    first, place = _alike(named)
    sums, sizes = np.bincount(place, value_array), np.bincount(place)
    replicates = np.empty(len(count_array))
    for part, block in blocks(count_array, len(first), np.float64):
        weights = trial_weights(block, [factor[first] for factor in named])
        # Sums, not a matrix product, whose order of summation depends on the number of rows and threads.
        total = (weights * sizes).sum(axis=1)
        mean = (weights * sums).sum(axis=1) / np.where(total > 0, total, 1.0)
        replicates[part] = np.where(total > 0, mean, np.nan)
    return replicates


def median_replicates(
    values: npt.ArrayLike, identities: tuple[npt.ArrayLike, ...], counts: npt.ArrayLike
) -> FloatArray:
    """Median of per-trial figures, such as first-hit ranks, in each resample.

    Args:
        values, identities, counts: as in `mean_replicates`.

    Returns:
        [R] medians of the trials, each repeated by its weight; NaN for a resample without trials.

    Raises:
        ValueError: as `mean_replicates`.
    """
    value_array = _checked_values(values)
    order = np.argsort(value_array, kind="stable")
    rising = value_array[order]
    count_array, named = _named(len(value_array), identities, counts)
    named = [factor[order] for factor in named]
    replicates = np.empty(len(count_array))
    for part, block in blocks(count_array, len(rising), np.int64):
        reached = np.cumsum(trial_weights(block, named), axis=1)
        total = reached[:, -1:]
        # With an even number of trials, the two in the middle count half each.
        lower, upper = (reached >= (total + 1) // 2).argmax(axis=1), (reached > total // 2).argmax(axis=1)
        replicates[part] = np.where(total[:, 0] > 0, (rising[lower] + rising[upper]) / 2.0, np.nan)
    return replicates


def _checked_values(values: npt.ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"values must be finite, on one non-empty axis, got shape {array.shape}")
    return array


def _named(
    trials: int, identities: tuple[npt.ArrayLike, ...], counts: npt.ArrayLike
) -> tuple[npt.NDArray[np.integer], list[IntArray]]:
    """The checked counts, and the `factors` of each trial."""
    if not identities:
        raise ValueError("identities must hold at least one array")
    count_array = checked_counts(counts)
    n_identities = count_array.shape[1]
    return count_array, factors([checked_identities(codes, trials, n_identities) for codes in identities], n_identities)


def _alike(named: list[IntArray]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Group trials of the same identities.

    Returns:
        The first trial of each group, ascending, and the group of each trial [T].
    """
    _, first, kind = np.unique(named[0], return_index=True, return_inverse=True)
    for factor in named[1:]:
        _, first, kind = np.unique(kind * (factor.max() + 1) + factor, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return first[order], np.argsort(order)[kind]


def difference_of(value: float, replicates: npt.ArrayLike, level: float = 0.95) -> Difference:
    """Interval and p-value of a paired difference.

    Both figures are measured on the same trials. The p-value is twice the smaller share of replicates at or beyond
    zero, and at most 1. The observed difference counts as one more replicate, so the p-value cannot fall below
    2 / (R + 1).

    Args:
        value: the first figure minus the second.
        replicates: [R] the difference in each resample, of the same identities for both; NaN if undefined.
        level: share of the replicates inside the interval, in (0, 1).

    Returns:
        The difference, its percentile interval and its p-value; NaN if no replicate remains.

    Raises:
        ValueError: replicates that are not one axis, or a level out of range.

    Source:
        Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 4.2 (one more is counted).
    """
    low, high, _ = percentile_interval(replicates, level)
    differences = np.asarray(replicates, dtype=np.float64)
    differences = differences[~np.isnan(differences)]
    if differences.size == 0:
        return Difference(value, low, high, float("nan"))
    beyond = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return Difference(value, low, high, min(1.0, 2.0 * (beyond + 1) / (differences.size + 1)))
