"""Intervals and paired differences by resampling identities.

Trials that share an identity are not independent, so a resample draws identities with replacement and counts
a trial once for every way of drawing the identities in it. Two models compared on the same resamples give a
paired difference.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lowshot.metrics.verification import FloatArray, checked_trials

PERCENTILE_METHOD = "identity-bootstrap-percentile"

# Numbers per intermediate array while a block of replicates is worked on: few enough to stay in the cache.
_BLOCK_ELEMENTS = 2**17

IntArray = npt.NDArray[np.int64]


class Interval(NamedTuple):
    """A confidence interval and the name of how it was made."""

    low: float
    high: float
    method: str


class Difference(NamedTuple):
    """A paired difference of two figures, its interval, and its two-sided bootstrap p-value."""

    value: float
    low: float
    high: float
    p_value: float


class _Curve(NamedTuple):
    """A list of trials prepared for replicates: sorted by falling score, apart by label.

    `positive` and `negative` hold the factors of each trial's weight (see `_factors`), `positive_group` the
    place of each positive trial's score among the distinct scores, and `positives` and `negatives` how many
    trials of either kind reach each distinct score, after a leading zero.
    """

    positive: list[IntArray]
    negative: list[IntArray]
    positive_group: IntArray
    positives: IntArray
    negatives: IntArray


def identity_counts(n_identities: int, replicates: int, seed: int) -> npt.NDArray[np.int32]:
    """Draw identities with replacement, as many as there are, once per replicate.

    Args:
        n_identities: number of identities, at least 2: the spread over a single one cannot be known.
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


def percentile_interval(replicates: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Percentile interval of a figure's replicates.

    Args:
        replicates: [R] the figure in each resample; NaN, where a resample could not give one, is left out.
        level: share of the replicates inside, in (0, 1).

    Returns:
        The interval; NaN at both ends when no replicate is left.

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
        return Interval(float("nan"), float("nan"), PERCENTILE_METHOD)
    low, high = np.quantile(kept, [tail, 1.0 - tail])
    return Interval(float(low), float(high), PERCENTILE_METHOD)


def _checked_counts(counts: npt.ArrayLike) -> npt.NDArray[np.integer]:
    array = np.asarray(counts)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "iu":
        raise ValueError(f"counts must be integers [R, n], got {array.dtype} of shape {array.shape}")
    if (array < 0).any():
        raise ValueError("counts must not be negative")
    return array


def _checked_identities(codes: npt.ArrayLike, trials: int, n_identities: int) -> IntArray:
    array = np.asarray(codes)
    if array.shape != (trials,) or array.dtype.kind not in "iu":
        raise ValueError(f"identities must be {trials} integers, got {array.dtype} of shape {array.shape}")
    if (array < 0).any() or (array >= n_identities).any():
        raise ValueError(f"identities must lie in 0..{n_identities - 1}, the columns of the counts")
    return array.astype(np.int64)


def _factors(identities: list[IntArray], n_identities: int) -> list[IntArray]:
    """Name each identity of a trial once: a repeat points to column `n_identities`, a constant one."""
    ordered = np.sort(np.stack(identities), axis=0)
    ordered[1:][ordered[1:] == ordered[:-1]] = n_identities
    return [ordered[0], *(row for row in ordered[1:] if (row != n_identities).any())]


def _weights(block: npt.NDArray[Any], factors: list[IntArray]) -> npt.NDArray[Any]:
    """Multiply the counts of each trial's identities: `block` [B, n+1] -> [B, T]."""
    weights = np.take(block, factors[0], axis=1)
    for factor in factors[1:]:
        weights *= np.take(block, factor, axis=1)
    return weights


def _blocks(
    counts: npt.NDArray[np.integer], trials: int, dtype: type[np.int64] | type[np.float64]
) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    """Cut the replicates into blocks, each with a constant one as its last column."""
    size = max(1, _BLOCK_ELEMENTS // trials)
    for start in range(0, len(counts), size):
        part = slice(start, start + size)
        block = counts[part].astype(dtype)
        yield part, np.concatenate([block, np.ones((len(block), 1), dtype=dtype)], axis=1)


def _leading_zero(values: npt.NDArray[Any]) -> IntArray:
    """Cumulate along the last axis, after a zero: [B, T] -> [B, T+1]."""
    cumulated = np.zeros((*values.shape[:-1], values.shape[-1] + 1), dtype=np.int64)
    np.cumsum(values, axis=-1, out=cumulated[..., 1:])
    return cumulated


def _prepare(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    voice_identity: npt.ArrayLike,
    face_identity: npt.ArrayLike,
    n_identities: int,
) -> _Curve:
    score_array, label_array = checked_trials(scores, labels)
    voice = _checked_identities(voice_identity, len(label_array), n_identities)
    face = _checked_identities(face_identity, len(label_array), n_identities)
    order = np.argsort(score_array, kind="stable")[::-1]
    ranked, positive = score_array[order], label_array[order]
    voice, face = voice[order], face[order]
    new = np.concatenate(([True], ranked[1:] != ranked[:-1]))
    last = np.append(np.flatnonzero(new)[1:], len(ranked)) - 1
    return _Curve(
        positive=_factors([voice[positive], face[positive]], n_identities),
        negative=_factors([voice[~positive], face[~positive]], n_identities),
        positive_group=(np.cumsum(new) - 1)[positive],
        positives=np.concatenate(([0], np.cumsum(positive)[last])),
        negatives=np.concatenate(([0], np.cumsum(~positive)[last])),
    )


def auc_replicates(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    voice_identity: npt.ArrayLike,
    face_identity: npt.ArrayLike,
    counts: npt.ArrayLike,
) -> FloatArray:
    """Area under the ROC curve in each resample of identities.

    With c the counts of a replicate, a trial within identity i weighs c[i] and a trial across i and j weighs
    c[i] c[j]. Scores are sorted once; a replicate costs time linear in T.

    Args:
        scores: [T] finite real numbers; higher means more alike.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.
        voice_identity: [T] integers in 0..n-1.
        face_identity: [T] integers in 0..n-1.
        counts: [R, n] not negative integers, from `identity_counts`.

    Returns:
        [R] areas in [0, 1]; NaN where a resample leaves trials of one label only.

    Raises:
        ValueError: wrong shapes, scores that are not finite, only one label, or identities without a count.

    Source:
        Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007.

    Deviation:
        Owen draws rows and columns apart. Voices and faces are of the same identities, so one draw serves both.
    """
    count_array = _checked_counts(counts)
    curve = _prepare(scores, labels, voice_identity, face_identity, count_array.shape[1])
    above = curve.negatives[curve.positive_group]  # negatives that outscore each positive trial
    reaching = curve.negatives[curve.positive_group + 1]  # the same and those tied with it
    tied = not np.array_equal(above, reaching)
    replicates = np.empty(len(count_array))
    for part, block in _blocks(count_array, len(np.asarray(labels)), np.int64):
        positive = _weights(block, curve.positive)
        negatives = _leading_zero(_weights(block, curve.negative))
        losses = np.take(negatives, above, axis=1)
        # Twice the weight lost by each positive trial, in whole numbers: nothing is rounded before the ratio.
        losses += np.take(negatives, reaching, axis=1) if tied else losses
        losses *= positive
        lost = losses.sum(axis=1, dtype=np.float64)
        pairs = 2.0 * positive.sum(axis=1) * negatives[:, -1]
        replicates[part] = np.where(pairs > 0, 1.0 - lost / np.where(pairs > 0, pairs, 1.0), np.nan)
    return replicates


def eer_replicates(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    voice_identity: npt.ArrayLike,
    face_identity: npt.ArrayLike,
    counts: npt.ArrayLike,
) -> FloatArray:
    """Equal error rate in each resample of identities, weighted as in `auc_replicates`.

    The crossing of false acceptances and misses is found by binary search over the distinct scores, in all
    replicates of a block at once.

    Args:
        scores: [T] finite real numbers; higher means more alike.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.
        voice_identity: [T] integers in 0..n-1.
        face_identity: [T] integers in 0..n-1.
        counts: [R, n] not negative integers, from `identity_counts`.

    Returns:
        [R] rates in [0, 1]; NaN where a resample leaves trials of one label only.

    Raises:
        ValueError: wrong shapes, scores that are not finite, only one label, or identities without a count.

    Source:
        Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007.
    """
    count_array = _checked_counts(counts)
    curve = _prepare(scores, labels, voice_identity, face_identity, count_array.shape[1])
    replicates = np.empty(len(count_array))
    for part, block in _blocks(count_array, len(np.asarray(labels)), np.int64):
        positives = _leading_zero(_weights(block, curve.positive))
        negatives = _leading_zero(_weights(block, curve.negative))
        usable = (positives[:, -1] > 0) & (negatives[:, -1] > 0)
        crossings = _crossing(curve, positives[usable], negatives[usable])
        replicates[part] = np.nan
        replicates[part][usable] = crossings
    return replicates


def _crossing(curve: _Curve, positives: IntArray, negatives: IntArray) -> FloatArray:
    """Find where false acceptances equal misses, row by row, from cumulated weights [B, P+1] and [B, N+1]."""
    rows = np.arange(len(positives))

    def point(index: IntArray) -> tuple[FloatArray, FloatArray]:
        fpr = negatives[rows, curve.negatives[index]] / negatives[:, -1]
        tpr = positives[rows, curve.positives[index]] / positives[:, -1]
        return fpr, fpr + tpr - 1.0

    # Misses lead at point 0 (nothing accepted), false acceptances at the last (everything accepted).
    before = np.zeros(len(rows), dtype=np.int64)
    after = np.full(len(rows), len(curve.positives) - 1, dtype=np.int64)
    while (after - before > 1).any():
        middle = (before + after) // 2
        reached = point(middle)[1] >= 0
        # A finished row has middle == before, which is not reached, and so stays as it is.
        after = np.where(reached, middle, after)
        before = np.where(reached, before, middle)
    (fpr_before, excess_before), (fpr_after, excess_after) = point(before), point(after)
    share = -excess_before / (excess_after - excess_before)
    return fpr_before + share * (fpr_after - fpr_before)


def mean_replicates(values: npt.ArrayLike, identities: tuple[npt.ArrayLike, ...], counts: npt.ArrayLike) -> FloatArray:
    """Mean of per-trial figures (matching credit, average precision, recall) in each resample of identities.

    A trial weighs the product of the counts of its distinct identities. The mean square of that product
    doubles with every further identity, and the interval widens with it: name the identities whose choice is
    to be generalised over, such as the probe's, and not every candidate of a long list.

    Args:
        values: [T] finite real numbers.
        identities: one or more arrays [T] of integers in 0..n-1, the identities that take part in each trial.
        counts: [R, n] not negative integers, from `identity_counts`.

    Returns:
        [R] weighted means; NaN where a resample leaves no trial.

    Raises:
        ValueError: wrong shapes, values that are not finite, no identities, or identities without a count.

    Source:
        Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007.
    """
    value_array = np.asarray(values, dtype=np.float64)
    if value_array.ndim != 1 or value_array.size == 0 or not np.isfinite(value_array).all():
        raise ValueError(f"values must be finite, on one non-empty axis, got shape {value_array.shape}")
    if not identities:
        raise ValueError("identities must hold at least one array")
    count_array = _checked_counts(counts)
    n_identities = count_array.shape[1]
    factors = _factors(
        [_checked_identities(codes, len(value_array), n_identities) for codes in identities], n_identities
    )
    replicates = np.empty(len(count_array))
    for part, block in _blocks(count_array, len(value_array), np.float64):
        weights = _weights(block, factors)
        total = weights.sum(axis=1)
        mean = weights @ value_array / np.where(total > 0, total, 1.0)
        replicates[part] = np.where(total > 0, mean, np.nan)
    return replicates


def paired_difference(
    a: float, b: float, a_reps: npt.ArrayLike, b_reps: npt.ArrayLike, level: float = 0.95
) -> Difference:
    """Difference a - b of two figures measured on the same trials, with replicates from the same resamples.

    The p-value is twice the smaller share of replicate differences at or beyond zero, the observed difference
    counted in, and at most 1. It cannot fall below 2 / (R + 1).

    Args:
        a: the first figure.
        b: the second figure.
        a_reps: [R] the first figure in each resample; NaN where it could not be had.
        b_reps: [R] the second figure in the same resamples, drawn with the same counts.
        level: share of the replicate differences inside the interval, in (0, 1).

    Returns:
        The difference, its percentile interval and its p-value; NaN where no pair of replicates is left.

    Raises:
        ValueError: replicates of different shapes, or a level out of range.

    Source:
        Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 4.2 (one more is counted).
    """
    first, second = np.asarray(a_reps, dtype=np.float64), np.asarray(b_reps, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"replicates must pair up on one axis, got shapes {first.shape} and {second.shape}")
    differences = first - second
    differences = differences[~np.isnan(differences)]
    low, high, _ = percentile_interval(differences, level)
    if differences.size == 0:
        return Difference(float(a - b), low, high, float("nan"))
    beyond = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return Difference(float(a - b), low, high, min(1.0, 2.0 * (beyond + 1) / (differences.size + 1)))
