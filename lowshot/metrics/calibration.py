"""Calibration of verification scores as log-likelihood ratios, and its cost.

A cosine ranks trials, but it is not a log-likelihood ratio, so its Cllr is meaningless. Calibrate scores first.
`min_cllr` uses the best monotone map, fitted with the labels. `cross_calibrated`, followed by `cllr`, uses a map
learned from other identities.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from lowshot.metrics.bootstrap import checked_identities
from lowshot.metrics.verification import FloatArray, checked_trials

FOLDS = 5
_NEWTON_STEPS = 100


class Calibration(NamedTuple):
    """An affine map from scores to natural log-likelihood ratios.

    The ratio is `scale` x score + `offset`, with `scale` >= 0.
    """

    scale: float
    offset: float


def trial_costs(ratios: npt.ArrayLike, labels: npt.ArrayLike) -> FloatArray:
    """Cost of each trial's log-likelihood ratio, in bits.

    Args:
        ratios: [T] natural log-likelihood ratios of "same identity" against "different identities", finite.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.

    Returns:
        [T] log2(1 + exp(-ratio)) of positive and log2(1 + exp(ratio)) of negative trials; 1 for a ratio of 0.

    Raises:
        ValueError: wrong shapes, ratios that are not finite, or only one label.
    """
    ratio_array, label_array = checked_trials(ratios, labels)
    against = np.where(label_array, -1.0, 1.0) * ratio_array
    costs: FloatArray = np.logaddexp(0.0, against) / np.log(2.0)
    return costs


def cllr(ratios: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Log-likelihood-ratio cost: the mean of the two labels' mean costs.

    Args:
        ratios: [T] natural log-likelihood ratios, finite. Raw cosines are not such ratios.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.

    Returns:
        Bits, 0 or more. Uninformative ratios of 0 cost 1 bit; misleading ratios cost more.

    Raises:
        ValueError: as `trial_costs`.

    Source:
        Brümmer and du Preez, Application-independent evaluation of speaker detection, Computer Speech and Language
        2006 (Cllr).
    """
    costs, (_, label_array) = trial_costs(ratios, labels), checked_trials(ratios, labels)
    return float((costs[label_array].mean() + costs[~label_array].mean()) / 2.0)


def min_cllr(scores: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Log-likelihood-ratio cost after the best monotone map: discrimination alone.

    Pool adjacent violators at even odds gives the map. It is fitted on the trials that it is evaluated on. The figure
    is therefore a lower bound, and optimistic on short lists. Every increasing transform of the scores gives the same
    figure.

    Args:
        scores: [T] finite real numbers; higher means more alike.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.

    Returns:
        Bits in [0, 1]; 1 is chance.

    Raises:
        ValueError: wrong shapes, scores that are not finite, or only one label.

    Source:
        Brümmer and du Preez 2006 (minimum Cllr, by pool adjacent violators).
    """
    score_array, label_array = checked_trials(scores, labels)
    # `unique` sorts in ascending order and merges equal scores, which no map can separate.
    _, place = np.unique(score_array, return_inverse=True)
    positives, negatives = np.bincount(place, label_array), np.bincount(place, ~label_array)
    return float(pooled_entropy(positives[None], negatives[None])[0])


def pooled_entropy(positives: npt.NDArray[np.number], negatives: npt.NDArray[np.number]) -> FloatArray:
    """Costs of `min_cllr` for B lists at once, from weights by score.

    Args:
        positives, negatives: [B, P] weight of the positive and of the negative trials at each distinct score, by
            ascending score; 0 or more, and above 0 in the sum of each list.

    Returns:
        [B] bits in [0, 1].
    """
    # At even odds each label has a total weight of 1, however many trials it has.
    positive = positives / positives.sum(axis=1, keepdims=True)
    weight = positive + negatives / negatives.sum(axis=1, keepdims=True)
    given = weight > 0
    of_list, positive, weight = np.repeat(np.arange(len(given)), given.sum(axis=1)), positive[given], weight[given]
    # All lists share one call. Each is shifted above the list before it, so that lists are never pooled together.
    starts = isotonic_regression(positive / weight + 2.0 * of_list, weights=weight).blocks[:-1]
    pooled = np.add.reduceat(weight, starts)
    share = np.minimum(np.add.reduceat(positive, starts) / pooled, 1.0)
    entropy = np.zeros(len(share))
    for part in (share, 1.0 - share):
        entropy -= part * np.log2(np.where(part > 0, part, 1.0))
    # In a block the posterior is the share of positives, and the cost of its trials is the entropy of that share.
    costs = np.bincount(of_list[starts], weights=pooled * entropy, minlength=len(positives)) / 2.0
    # Rounding may carry the cost of uninformative scores past 1.
    return np.minimum(costs, 1.0)


def fit_calibration(scores: npt.ArrayLike, labels: npt.ArrayLike) -> Calibration:
    """Fit an affine map to log-likelihood ratios by logistic regression.

    The odds are even. The fit minimises `cllr` with labels smoothed from 0 and 1 by 1 / (n + 2), n being the number of
    trials of the rarer label. Without smoothing, scores that separate the labels would have no finite map.

    Args:
        scores: [T] finite real numbers; higher means more alike.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.

    Returns:
        The map. Scores that rank worse than chance, or are all equal, give the map to 0, because a decreasing map
        would reverse what "more alike" means.

    Raises:
        ValueError: wrong shapes, scores that are not finite, or only one label.

    Source:
        Brümmer and du Preez 2006 (Cllr as the objective of a logistic regression); Platt, Probabilistic outputs for
        support vector machines, 1999 (smoothed targets).

    Deviation:
        Platt smooths each label by its own number of trials. One amount for both keeps equal scores at a ratio of 0.
    """
    score_array, label_array = checked_trials(scores, labels)
    values = score_array.astype(np.float64)
    centre, spread = values.mean(), values.std()
    if spread == 0:
        return Calibration(0.0, 0.0)
    design = np.stack([(values - centre) / spread, np.ones(len(values))], axis=1)
    n_positive, n_negative = int(label_array.sum()), int((~label_array).sum())
    weight = np.where(label_array, 0.5 / n_positive, 0.5 / n_negative)
    drawn_in = 1.0 / (min(n_positive, n_negative) + 2.0)
    target = np.where(label_array, 1.0 - drawn_in, drawn_in)

    def loss(at: FloatArray) -> float:
        ratio = design @ at
        return float(weight @ (np.logaddexp(0.0, ratio) - target * ratio))

    found, value = np.zeros(2), loss(np.zeros(2))
    for _ in range(_NEWTON_STEPS):
        probability = 1.0 / (1.0 + np.exp(-(design @ found)))
        gradient = design.T @ (weight * (probability - target))
        curvature = (design * (weight * probability * (1.0 - probability))[:, None]).T @ design
        step, length = np.linalg.solve(curvature, gradient), 1.0
        # Far from the optimum a whole Newton step may overshoot.
        while length > 1e-6 and loss(found - length * step) > value:
            length /= 2.0
        found = found - length * step
        before, value = value, loss(found)
        if before - value <= 1e-15:
            break
    if found[0] <= 0:
        return Calibration(0.0, 0.0)
    return Calibration(float(found[0] / spread), float(found[1] - found[0] * centre / spread))


def cross_calibrated(
    scores: npt.ArrayLike, labels: npt.ArrayLike, voice_identity: npt.ArrayLike, face_identity: npt.ArrayLike
) -> FloatArray | None:
    """Log-likelihood ratios of trials by maps learned from other identities.

    The identities are divided into `FOLDS` folds. The trials between two folds (or within one) are calibrated by the
    map fitted on the trials among the other folds, which share no identity with them.

    Args:
        scores: [T] finite real numbers; higher means more alike.
        labels: [T] boolean or 0/1; true when voice and face are of one identity.
        voice_identity, face_identity: [T] integers from 0.

    Returns:
        [T] natural log-likelihood ratios. None if there are too few identities, so that some map would have to be
        learned from trials of one label.

    Raises:
        ValueError: wrong shapes, scores that are not finite, or only one label.
    """
    score_array, label_array = checked_trials(scores, labels)
    n_identities = 1 + int(max(np.max(voice_identity), np.max(face_identity)))
    # Folds are random because identity names, and so their numbers, may be ordered by nationality.
    fold = np.random.default_rng(0).permutation(n_identities) % FOLDS
    voice, face = (
        fold[checked_identities(codes, len(score_array), n_identities)] for codes in (voice_identity, face_identity)
    )
    ratios = np.empty(len(score_array))
    for first in range(FOLDS):
        for second in range(first, FOLDS):
            judged = (np.minimum(voice, face) == first) & (np.maximum(voice, face) == second)
            if not judged.any():
                continue
            learned = ~np.isin(voice, (first, second)) & ~np.isin(face, (first, second))
            if label_array[learned].all() or not label_array[learned].any():
                return None
            scale, offset = fit_calibration(score_array[learned], label_array[learned])
            ratios[judged] = scale * score_array[judged] + offset
    return ratios
