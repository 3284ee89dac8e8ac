"""Verification figures of a list of scored, labelled trials.

A trial asks whether a voice belongs to a face. Every figure treats trials of equal score as one block, because no
threshold can separate them. A model that gives every trial the same score therefore gets chance, whatever the order
of the list.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class RocPoints(NamedTuple):
    """Operating points [P] of a list, from rejecting all to accepting all."""

    fpr: FloatArray
    tpr: FloatArray
    thresholds: FloatArray


class DetPoints(NamedTuple):
    """`RocPoints` as two error rates, false acceptances and misses; arrays [P]."""

    fpr: FloatArray
    fnr: FloatArray
    thresholds: FloatArray


def checked_scores(scores: npt.ArrayLike, ndim: int) -> npt.NDArray[Any]:
    """Check that scores can be ranked; return them as an array.

    The array keeps their precision, because converting could create ties, or hide them.

    Args:
        scores: real numbers with `ndim` axes, none of them empty.
        ndim: number of axes the caller expects.

    Returns:
        The same numbers as an array.

    Raises:
        ValueError: not real numbers, another number of axes, an empty axis, or a value that is not finite.
    """
    array = np.asarray(scores)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"scores must be real numbers, got dtype {array.dtype}")
    if array.ndim != ndim or array.size == 0:
        raise ValueError(f"scores must have {ndim} non-empty axes, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"scores must be finite, but {int((~np.isfinite(array)).sum())} are NaN or infinite")
    return array


def checked_binary(values: npt.ArrayLike, shape: tuple[int, ...], name: str) -> npt.NDArray[np.bool_]:
    """Check that values are booleans, or 0 and 1; return booleans.

    Args:
        values: booleans or numbers equal to 0 or 1, of `shape`.
        shape: shape of the scores they describe.
        name: their name in an error.

    Returns:
        Booleans of `shape`.

    Raises:
        ValueError: another shape, or a value other than 0, 1, False, True.
    """
    array = np.asarray(values)
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape of the scores {shape}, got {array.shape}")
    if array.dtype.kind not in "biuf" or not ((array == 0) | (array == 1)).all():
        raise ValueError(f"{name} must be boolean, or 0 and 1")
    return array.astype(bool)


def checked_trials(scores: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Check a list of verification trials.

    Args:
        scores: [T] finite real numbers; higher means more alike.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.

    Returns:
        The scores in their own precision [T], and the labels as booleans [T].

    Raises:
        ValueError: wrong shapes, scores that are not finite, other labels, or trials of one label only.
    """
    score_array = checked_scores(scores, ndim=1)
    label_array = checked_binary(labels, score_array.shape, "labels")
    if label_array.all() or not label_array.any():
        raise ValueError("verification needs trials of both labels, got only one")
    return score_array, label_array


def _checked_weights(weights: npt.ArrayLike | None, labels: npt.NDArray[np.bool_]) -> FloatArray:
    if weights is None:
        return np.ones(labels.shape)
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != labels.shape:
        raise ValueError(f"weights must have the shape of the labels {labels.shape}, got {array.shape}")
    if not np.isfinite(array).all() or (array < 0).any():
        raise ValueError("weights must be finite and not negative")
    if not array[labels].any() or not array[~labels].any():
        raise ValueError("both labels need a trial with a weight above zero")
    return array


def _accepted(
    scores: npt.NDArray[Any], labels: npt.NDArray[np.bool_], weights: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Accumulate the accepted weight from the highest distinct score to the lowest.

    Args:
        scores: [T], checked.
        labels: [T], checked.
        weights: [T], checked.

    Returns:
        Weight of accepted negatives [P], weight of accepted positives [P] and thresholds [P]. A trial
        is accepted if its score reaches the threshold. The first accepts nothing (threshold infinity).
    """
    order = np.argsort(scores, kind="stable")[::-1]
    ranked, positive, weight = scores[order], labels[order], weights[order]
    starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    negatives = np.cumsum(np.add.reduceat(np.where(positive, 0.0, weight), starts))
    positives = np.cumsum(np.add.reduceat(np.where(positive, weight, 0.0), starts))
    thresholds = ranked[starts].astype(np.float64)
    return (
        np.concatenate(([0.0], negatives)),
        np.concatenate(([0.0], positives)),
        np.concatenate(([np.inf], thresholds)),
    )


def auc(scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Area under the ROC curve.

    It is the chance that a positive trial scores higher than a negative one; a tie counts half.

    Args:
        scores: [T] finite real numbers; higher means more alike.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.
        weights: [T] not negative; how often each trial counts. None: once.

    Returns:
        Area in [0, 1]; 0.5 is chance.

    Raises:
        ValueError: wrong shapes, values that are not finite, or only one label.

    Source:
        Hanley and McNeil, The meaning and use of the area under a ROC curve, Radiology 1982.
    """
    score_array, label_array = checked_trials(scores, labels)
    negatives, positives, _ = _accepted(score_array, label_array, _checked_weights(weights, label_array))
    # Trapezoids between neighbouring operating points give every pair tied across the labels one half. Whole
    # numbers until the division: without weights, the figure is exact.
    twice_won = np.sum(np.diff(negatives) * (positives[1:] + positives[:-1]))
    return float(twice_won / (2.0 * negatives[-1] * positives[-1]))


def eer(scores: npt.ArrayLike, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Equal error rate: the rate at which false acceptances equal misses.

    The curve is linear between operating points, as if one chose at random between two neighbouring
    thresholds. The crossing is unique.

    Args:
        scores: [T] finite real numbers; higher means more alike.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.
        weights: [T] not negative; how often each trial counts. None: once.

    Returns:
        Rate in [0, 1]; 0.5 is chance.

    Raises:
        ValueError: wrong shapes, values that are not finite, or only one label.

    Deviation:
        The released CMPC code takes the operating point nearest to equality and reports its false
        acceptances. With all scores tied that point is (0, 0), so a collapsed model gets 0 %.
    """
    score_array, label_array = checked_trials(scores, labels)
    negatives, positives, _ = _accepted(score_array, label_array, _checked_weights(weights, label_array))
    fpr, tpr = negatives / negatives[-1], positives / positives[-1]
    excess = fpr + tpr - 1.0  # false acceptances minus misses: never falls, from -1 to 1
    after = int(np.argmax(excess >= 0))
    before = after - 1
    share = -excess[before] / (excess[after] - excess[before])
    return float(fpr[before] + share * (fpr[after] - fpr[before]))


def roc_points(scores: npt.ArrayLike, labels: npt.ArrayLike) -> RocPoints:
    """Operating points of the ROC curve, one per distinct score.

    The first point rejects everything.

    Args:
        scores: [T] finite real numbers; higher means more alike.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.

    Returns:
        False-positive rates and true-positive rates, both rising from 0 to 1, and falling thresholds, the
        first infinite. A trial is accepted if its score reaches the threshold.

    Raises:
        ValueError: wrong shapes, scores that are not finite, or only one label.
    """
    score_array, label_array = checked_trials(scores, labels)
    negatives, positives, thresholds = _accepted(score_array, label_array, np.ones(label_array.shape))
    return RocPoints(negatives / negatives[-1], positives / positives[-1], thresholds)


def roc_corners(scores: npt.ArrayLike, labels: npt.ArrayLike) -> RocPoints:
    """The points of `roc_points` without those between collinear neighbours.

    Args:
        scores: [T] finite real numbers; higher means more alike.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.

    Returns:
        As `roc_points`; joined linearly, the points give the same curve.

    Raises:
        ValueError: wrong shapes, scores that are not finite, or only one label.
    """
    score_array, label_array = checked_trials(scores, labels)
    negatives, positives, thresholds = _accepted(score_array, label_array, np.ones(label_array.shape))
    across, up = np.diff(negatives), np.diff(positives)
    # Whole numbers, so that the test for a straight line is exact.
    turns = across[:-1] * up[1:] != up[:-1] * across[1:]
    kept = np.concatenate(([True], turns, [True]))
    return RocPoints(negatives[kept] / negatives[-1], positives[kept] / positives[-1], thresholds[kept])


def det_points(scores: npt.ArrayLike, labels: npt.ArrayLike) -> DetPoints:
    """Operating points of the detection error trade-off (DET).

    They are the points of `roc_points` as two error rates.

    Args:
        scores: [T] finite real numbers; higher means more alike.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.

    Returns:
        False-positive rates rising from 0 to 1, false-negative rates falling from 1 to 0, and thresholds.

    Raises:
        ValueError: wrong shapes, scores that are not finite, or only one label.

    Source:
        Martin et al., The DET curve in assessment of detection task performance, Eurospeech 1997.
    """
    score_array, label_array = checked_trials(scores, labels)
    negatives, positives, thresholds = _accepted(score_array, label_array, np.ones(label_array.shape))
    return DetPoints(negatives / negatives[-1], (positives[-1] - positives) / positives[-1], thresholds)


def min_dcf(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    p_target: float = 0.05,
    c_miss: float = 1.0,
    c_fa: float = 1.0,
) -> float:
    """Smallest normalised detection cost over all thresholds.

    Args:
        scores: [T] finite real numbers; higher means more alike.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.
        p_target: prior probability of a positive trial, in (0, 1).
        c_miss: cost of rejecting a positive trial, above 0.
        c_fa: cost of accepting a negative trial, above 0.

    Returns:
        Cost in [0, 1], divided by that of the better trivial decision (accept all or reject all); 1 is chance.

    Raises:
        ValueError: wrong shapes, scores that are not finite, only one label, or a prior or cost out of range.

    Source:
        NIST 2016 Speaker Recognition Evaluation Plan, section 3 (normalised C_Det).
    """
    if not 0.0 < p_target < 1.0:
        raise ValueError(f"p_target must lie strictly between 0 and 1, got {p_target}")
    if not (np.isfinite([c_miss, c_fa]).all() and c_miss > 0 and c_fa > 0):
        raise ValueError(f"costs must be finite and above 0, got c_miss={c_miss}, c_fa={c_fa}")
    fpr, fnr, _ = det_points(scores, labels)
    miss, false_alarm = c_miss * p_target, c_fa * (1.0 - p_target)
    return float(np.min(miss * fnr + false_alarm * fpr) / min(miss, false_alarm))


def tpr_at_fpr(scores: npt.ArrayLike, labels: npt.ArrayLike, fpr: float) -> float:
    """True-positive rate at a given false-positive rate.

    The ROC curve is linear between operating points. If it rises vertically at the rate, the top counts.

    Args:
        scores: [T] finite real numbers; higher means more alike.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.
        fpr: false-positive rate, in [0, 1].

    Returns:
        True-positive rate in [0, 1]; `fpr` itself is chance.

    Raises:
        ValueError: wrong shapes, scores that are not finite, only one label, or a rate out of range.
    """
    if not 0.0 <= fpr <= 1.0:
        raise ValueError(f"fpr must lie in [0, 1], got {fpr}")
    roc = roc_points(scores, labels)
    before = int(np.searchsorted(roc.fpr, fpr, side="right")) - 1
    if before == len(roc.fpr) - 1:
        return 1.0
    share = (fpr - roc.fpr[before]) / (roc.fpr[before + 1] - roc.fpr[before])
    return float(roc.tpr[before] + share * (roc.tpr[before + 1] - roc.tpr[before]))


def tied_trials(scores: npt.ArrayLike, labels: npt.ArrayLike) -> int:
    """Count the trials that tie with a trial of the other label.

    No threshold can separate them.

    Args:
        scores: [T] finite real numbers.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.

    Returns:
        Number of such trials, from 0 to T.

    Raises:
        ValueError: wrong shapes, scores that are not finite, or only one label.
    """
    score_array, label_array = checked_trials(scores, labels)
    negatives, positives, _ = _accepted(score_array, label_array, np.ones(label_array.shape))
    in_block = np.stack([np.diff(negatives), np.diff(positives)])
    return int(in_block[:, (in_block > 0).all(axis=0)].sum())
