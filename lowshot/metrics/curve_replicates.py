"""Verification figures in resamples of identities, or of identity pairs.

Scores are sorted once. A resample only changes the weights of the trials, and all figures use the same weighted curves.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lowshot.metrics.bootstrap import (
    IntArray,
    blocks,
    checked_counts,
    checked_identities,
    factors,
    trial_weights,
)
from lowshot.metrics.calibration import pooled_entropy
from lowshot.metrics.verification import FloatArray, checked_trials


class Points(NamedTuple):
    """The operating points of B resamples, from rejecting all to accepting all.

    Args:
        negatives: [B, P] weight of the negative trials accepted at each point; 0 at the first, all at the last.
        positives: [B, P] weight of the positive trials accepted.
        weights: [B, T] weight of each trial, by descending score.
        order: [T] index in the list of the trial at each place of `weights`.
    """

    negatives: IntArray
    positives: IntArray
    weights: IntArray
    order: npt.NDArray[np.intp]


# Resamples of pairs give a variance and no quantile, so more of them would add nothing.
PAIR_REPLICATES = 500

CurveFigure = Callable[[Points], FloatArray]
"""A figure of each resample [B]; both labels have weight in each."""


class _Ranked(NamedTuple):
    """Trials by descending score.

    It holds places in the list, labels, identities, and the last trial of each distinct score.
    """

    order: npt.NDArray[np.intp]
    positive: npt.NDArray[np.bool_]
    voice: IntArray
    face: IntArray
    last: npt.NDArray[np.intp]


def curve_replicates(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    voice_identity: npt.ArrayLike,
    face_identity: npt.ArrayLike,
    counts: npt.ArrayLike,
    figures: Mapping[str, CurveFigure],
) -> dict[str, FloatArray]:
    """Figures in each resample of identities.

    Let c be the counts of a resample. A trial within identity i has weight c[i], a trial across i and j c[i] c[j].
    A resample takes time linear in T.

    Args:
        scores: [T] finite real numbers; higher means more alike.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.
        voice_identity: [T] integers in 0..n-1.
        face_identity: [T] integers in 0..n-1.
        counts: [R, n] non-negative integers, from `identity_counts`.
        figures: functions that compute a figure from each curve, by name.

    Returns:
        [R] of each figure; NaN for a resample with trials of one label only.

    Raises:
        ValueError: wrong shapes, scores that are not finite, only one label, or identities without a count.

    Source:
        Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007.

    Deviation:
        Owen draws rows and columns separately. Voices and faces have the same identities, so one draw serves both.
    """
    count_array = checked_counts(counts)
    n_identities = count_array.shape[1]
    ranked = _rank(scores, labels, voice_identity, face_identity, n_identities)
    named = factors([ranked.voice, ranked.face], n_identities)
    weighted = ((part, trial_weights(block, named)) for part, block in blocks(count_array, len(ranked.order), np.int64))
    return _read_off(ranked, weighted, len(count_array), figures)


def auc_replicates(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    voice_identity: npt.ArrayLike,
    face_identity: npt.ArrayLike,
    counts: npt.ArrayLike,
) -> FloatArray:
    """Area under the ROC curve in each resample [R]; see `curve_replicates`."""
    return curve_replicates(scores, labels, voice_identity, face_identity, counts, {"auc": auc_of})["auc"]


def pair_replicates(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    voice_identity: npt.ArrayLike,
    face_identity: npt.ArrayLike,
    replicates: int,
    seed: int,
    figures: Mapping[str, CurveFigure],
) -> dict[str, FloatArray]:
    """Figures in each resample of the pairs of different identities.

    All trials of a pair are drawn together, and trials within an identity always have weight 1. The spread of these
    figures is the contribution of single pairs to the spread of `curve_replicates`. `variance_correction.corrected`
    subtracts it.

    Args:
        scores, labels, voice_identity, face_identity, figures: as in `curve_replicates`.
        replicates: number of resamples R, at least 1.
        seed: seed of the draws, 0 or more. The first resamples are the same whatever R is.

    Returns:
        [R] of each figure; NaN for a resample with trials of one label only.

    Raises:
        ValueError: as `curve_replicates`.
    """
    voice, face = np.asarray(voice_identity), np.asarray(face_identity)
    n_identities = 1 + int(max(voice.max(initial=0), face.max(initial=0)))
    ranked = _rank(scores, labels, voice, face, n_identities)
    across = ranked.voice != ranked.face
    key = np.minimum(ranked.voice, ranked.face) * n_identities + np.maximum(ranked.voice, ranked.face)
    pairs, of_pair = np.unique(key[across], return_inverse=True)
    return _read_off(ranked, _drawn_pairs(across, of_pair, len(pairs), replicates, seed), replicates, figures)


def _drawn_pairs(
    across: npt.NDArray[np.bool_], of_pair: IntArray, n_pairs: int, replicates: int, seed: int
) -> Iterator[tuple[slice, IntArray]]:
    for part, block in blocks(np.ones((replicates, 1), dtype=np.int64), len(across), np.int64):
        weights = np.ones((len(block), len(across)), dtype=np.int64)
        for row, replicate in enumerate(range(part.start, part.start + len(block))):
            # A generator of its own for each resample: how many are drawn at once changes nothing.
            drawn = np.random.default_rng((seed, replicate + 1)).integers(0, max(n_pairs, 1), n_pairs)
            weights[row, across] = np.bincount(drawn, minlength=n_pairs)[of_pair]
        yield part, weights


def _rank(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    voice_identity: npt.ArrayLike,
    face_identity: npt.ArrayLike,
    n_identities: int,
) -> _Ranked:
    score_array, label_array = checked_trials(scores, labels)
    voice = checked_identities(voice_identity, len(label_array), n_identities)
    face = checked_identities(face_identity, len(label_array), n_identities)
    order = np.argsort(score_array, kind="stable")[::-1]
    ranked = score_array[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    return _Ranked(order, label_array[order], voice[order], face[order], last)


def _read_off(
    ranked: _Ranked,
    weighted: Iterator[tuple[slice, IntArray]],
    replicates: int,
    figures: Mapping[str, CurveFigure],
) -> dict[str, FloatArray]:
    found = {name: np.full(replicates, np.nan) for name in figures}
    for part, weights in weighted:
        positives = _accumulate(weights * ranked.positive, ranked.last)
        negatives = _accumulate(weights, ranked.last) - positives
        usable = (positives[:, -1] > 0) & (negatives[:, -1] > 0)
        if not usable.any():
            continue
        points = Points(negatives[usable], positives[usable], weights[usable], ranked.order)
        for name, figure in figures.items():
            found[name][part][usable] = figure(points)
    return found


def _accumulate(weights: IntArray, last: npt.NDArray[np.intp]) -> IntArray:
    """Cumulative weight by distinct score, zero first: [B, T] -> [B, P]."""
    cumulated = np.zeros((len(weights), len(last) + 1), dtype=np.int64)
    sums = np.cumsum(weights, axis=1)
    cumulated[:, 1:] = sums if len(last) == weights.shape[1] else sums[:, last]
    return cumulated


def auc_of(points: Points) -> FloatArray:
    """`verification.auc` of each resample."""
    negatives, positives = points.negatives, points.positives
    # Whole numbers until the division, so that nothing is rounded before the ratio.
    twice_won = (np.diff(negatives) * (positives[:, 1:] + positives[:, :-1])).sum(axis=1, dtype=np.float64)
    area: FloatArray = twice_won / (2.0 * negatives[:, -1] * positives[:, -1])
    return area


def eer_of(points: Points) -> FloatArray:
    """`verification.eer` of each resample, by binary search in all at once."""
    negatives, positives = points.negatives, points.positives
    rows = np.arange(len(negatives))

    def point(index: IntArray) -> tuple[FloatArray, FloatArray]:
        fpr = negatives[rows, index] / negatives[:, -1]
        return fpr, fpr + positives[rows, index] / positives[:, -1] - 1.0

    before, after = _bracket(points, lambda index: point(index)[1] >= 0)
    (fpr_before, excess_before), (fpr_after, excess_after) = point(before), point(after)
    share = -excess_before / (excess_after - excess_before)
    return fpr_before + share * (fpr_after - fpr_before)


def tpr_of(fpr: float) -> CurveFigure:
    """`verification.tpr_at_fpr` of each resample, at a rate below 1."""

    def figure(points: Points) -> FloatArray:
        negatives, positives = points.negatives, points.positives
        rows = np.arange(len(negatives))
        before, after = _bracket(points, lambda index: negatives[rows, index] / negatives[:, -1] > fpr)
        low, high = (negatives[rows, index] / negatives[:, -1] for index in (before, after))
        tpr_low, tpr_high = (positives[rows, index] / positives[:, -1] for index in (before, after))
        tpr: FloatArray = tpr_low + (fpr - low) / (high - low) * (tpr_high - tpr_low)
        return tpr

    return figure


def _bracket(points: Points, reached: Callable[[IntArray], npt.NDArray[np.bool_]]) -> tuple[IntArray, IntArray]:
    """The last point of each resample before a condition, and the next.

    The condition never holds at the first point and always at the last. Once it holds, it holds at all later points.
    """
    before = np.zeros(len(points.negatives), dtype=np.int64)
    after = np.full(len(before), points.negatives.shape[1] - 1, dtype=np.int64)
    while (after - before > 1).any():
        middle = (before + after) // 2
        there = reached(middle)
        # A finished row has middle == before, where the condition does not hold, so it does not change.
        after = np.where(there, middle, after)
        before = np.where(there, before, middle)
    return before, after


def min_dcf_of(p_target: float, c_miss: float, c_fa: float) -> CurveFigure:
    """`verification.min_dcf` of each resample, with the same settings."""
    miss, false_alarm = c_miss * p_target, c_fa * (1.0 - p_target)

    def figure(points: Points) -> FloatArray:
        fnr = 1.0 - points.positives / points.positives[:, -1:]
        fpr = points.negatives / points.negatives[:, -1:]
        cost: FloatArray = (miss * fnr + false_alarm * fpr).min(axis=1) / min(miss, false_alarm)
        return cost

    return figure


def min_cllr_of(points: Points) -> FloatArray:
    """`calibration.min_cllr` of each resample."""
    negatives, positives = (np.diff(part) for part in (points.negatives, points.positives))
    drawn = negatives.any(axis=0) | positives.any(axis=0)
    negatives, positives = negatives[:, drawn], positives[:, drawn]
    # For any weights, a score is pooled with the next lower one if that has no negative trials, or if it has no
    # positive ones itself. Pooling these once for all resamples leaves a quarter of the scores to pool.
    starts = np.flatnonzero(np.append(True, positives[:, :-1].any(axis=0) & negatives[:, 1:].any(axis=0)))
    # By rising score, as the scores are pooled.
    negatives, positives = (np.add.reduceat(part, starts, axis=1)[:, ::-1] for part in (negatives, positives))
    return pooled_entropy(positives, negatives)


def class_mean_of(values: npt.ArrayLike, labels: npt.ArrayLike) -> CurveFigure:
    """Mean of the two labels' means of per-trial values, in each resample.

    Args:
        values: [T] finite, in the order of the list.
        labels: [T] boolean, in the same order.
    """
    value_array, positive = np.asarray(values, dtype=np.float64), np.asarray(labels, dtype=bool)

    def figure(points: Points) -> FloatArray:
        ranked, truth = value_array[points.order], positive[points.order]
        # Sums, not a matrix product, whose order of summation depends on the number of rows.
        sums = [(points.weights * np.where(kind, ranked, 0.0)).sum(axis=1) for kind in (truth, ~truth)]
        mean: FloatArray = (sums[0] / points.positives[:, -1] + sums[1] / points.negatives[:, -1]) / 2.0
        return mean

    return figure
