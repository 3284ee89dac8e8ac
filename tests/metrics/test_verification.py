"""Verification figures against scikit-learn, loops written from the definitions, and cases worked by hand."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from lowshot.metrics import verification as ver


def trials(seed, size=120, decimals=None, dtype=np.float64):
    """Draw noisy trials; few decimals make ties within and across the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.random(size) < 0.4
    labels[:2] = True, False
    scores = rng.normal(size=size) + 0.8 * labels
    return (scores if decimals is None else np.round(scores, decimals)).astype(dtype), labels


def auc_by_pairs(scores, labels, weights):
    won = total = 0.0
    for p, n in itertools.product(np.flatnonzero(labels), np.flatnonzero(~labels)):
        credit = 1.0 if scores[p] > scores[n] else 0.5 if scores[p] == scores[n] else 0.0
        won += weights[p] * weights[n] * credit
        total += weights[p] * weights[n]
    return won / total


def eer_by_segments(scores, labels, weights):
    """Walk every threshold and intersect each straight piece of the curve with the line of equal errors."""
    points = [(0.0, 1.0)]
    for threshold in sorted(set(scores.tolist()), reverse=True):
        accepted = scores >= threshold
        fpr = weights[accepted & ~labels].sum() / weights[~labels].sum()
        fnr = weights[~accepted & labels].sum() / weights[labels].sum()
        points.append((fpr, fnr))
    for (fpr0, fnr0), (fpr1, fnr1) in itertools.pairwise(points):
        if fpr0 <= fnr0 and fpr1 >= fnr1:
            # fpr0 + t (fpr1 - fpr0) = fnr0 + t (fnr1 - fnr0)
            slope = (fpr1 - fpr0) - (fnr1 - fnr0)
            if slope > 0:
                return fpr0 + (fnr0 - fpr0) / slope * (fpr1 - fpr0)
    raise AssertionError("the curve always crosses the line of equal errors")


def released_eer(scores, labels):
    """The released rule: the false-positive rate of the operating point nearest to equality."""
    fpr, tpr, _ = roc_curve(labels, scores)
    return fpr[np.nanargmin(np.abs(fpr - (1 - tpr)))]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("seed", range(5))
def test_auc_matches_scikit_learn(seed, decimals, dtype):
    scores, labels = trials(seed, decimals=decimals, dtype=dtype)
    assert ver.auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("decimals", [None, 0])
def test_weighted_auc_matches_scikit_learn_and_the_definition(decimals):
    scores, labels = trials(7, decimals=decimals)
    weights = np.random.default_rng(8).random(len(scores)) * (np.arange(len(scores)) % 5 != 2)
    value = ver.auc(scores, labels, weights)
    assert value == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12)
    assert value == pytest.approx(auc_by_pairs(scores, labels, weights), abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("seed", range(5))
def test_eer_matches_the_definition(seed, decimals, weighted):
    scores, labels = trials(seed, size=61, decimals=decimals)
    weights = np.random.default_rng(seed).random(61) if weighted else np.ones(61)
    expected = eer_by_segments(scores, labels, weights)
    assert ver.eer(scores, labels, weights if weighted else None) == pytest.approx(expected, abs=1e-12)


def test_whole_weights_are_repetitions():
    scores, labels = trials(3, size=50, decimals=1)
    weights = np.random.default_rng(3).integers(0, 4, 50)
    repeated, repeated_labels = np.repeat(scores, weights), np.repeat(labels, weights)
    for figure in (ver.auc, ver.eer):
        assert figure(scores, labels, weights) == pytest.approx(figure(repeated, repeated_labels), abs=1e-12)


def test_eer_by_hand():
    # Descending: + - + -. Points (fpr, fnr): (0,1) (0,.5) (.5,.5): crossing on a vertex.
    assert ver.eer([4, 3, 2, 1], [1, 0, 1, 0]) == 0.5
    # + + - + - -: at the third score fpr 1/3, fnr 1/3.
    assert ver.eer([6, 5, 4, 3, 2, 1], [1, 1, 0, 1, 0, 0]) == pytest.approx(1 / 3, abs=1e-15)
    # Two of three positives on top, then a block of one positive and two negatives: from (0, 1/3) to (2/3, 0) with
    # one negative left. fpr = 2t/3 and fnr = (1 - t)/3 meet at t = 1/3.
    assert ver.eer([3, 3, 2, 2, 2, 1], [1, 1, 1, 0, 0, 0]) == pytest.approx(2 / 9, abs=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.7])
@pytest.mark.parametrize("positives", [1, 3, 10, 49])
def test_collapsed_model_reads_as_chance(positives, value, dtype):
    scores = np.full(50, value, dtype=dtype)
    for labels in (np.arange(50) < positives, np.arange(50) >= 50 - positives):
        assert ver.auc(scores, labels) == 0.5
        assert ver.eer(scores, labels) == 0.5
        assert ver.min_dcf(scores, labels) == pytest.approx(1.0, abs=1e-15)
        assert ver.tpr_at_fpr(scores, labels, 0.01) == pytest.approx(0.01, abs=1e-15)
        assert ver.tied_trials(scores, labels) == 50


def test_released_eer_rewards_a_collapsed_model():
    scores, labels = np.zeros(40), np.arange(40) < 20
    assert released_eer(scores, labels) == 0.0
    assert ver.eer(scores, labels) == 0.5


def test_released_eer_misreads_blocks_of_ties():
    # Half of the trials collapsed onto one score: the nearest point to equality is no crossing.
    scores, labels = np.array([2, 2, 1, 1, 1, 1, 0]), np.array([1, 1, 1, 1, 0, 0, 0])
    assert released_eer(scores, labels) != pytest.approx(eer_by_segments(scores, labels == 1, np.ones(7)))
    assert ver.eer(scores, labels) == pytest.approx(eer_by_segments(scores, labels == 1, np.ones(7)))


def test_perfect_and_inverted_models():
    scores, labels = np.arange(20.0), np.arange(20) >= 13
    assert ver.auc(scores, labels) == 1.0
    assert ver.eer(scores, labels) == 0.0
    assert ver.min_dcf(scores, labels) == 0.0
    assert ver.tpr_at_fpr(scores, labels, 0.0) == 1.0
    assert ver.tied_trials(scores, labels) == 0
    assert ver.auc(-scores, labels) == 0.0
    assert ver.eer(-scores, labels) == 1.0
    assert ver.min_dcf(-scores, labels) == 1.0


FIGURES = {
    "auc": ver.auc,
    "eer": ver.eer,
    "min_dcf": ver.min_dcf,
    "tpr_at_fpr": lambda scores, labels: ver.tpr_at_fpr(scores, labels, 0.07),
    "tied_trials": ver.tied_trials,
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("decimals", [None, 1])
def test_only_the_order_of_scores_counts(name, decimals):
    figure = FIGURES[name]
    scores, labels = trials(11, decimals=decimals)
    value = figure(scores, labels)
    shuffled = np.random.default_rng(0).permutation(len(scores))
    assert figure(scores[shuffled], labels[shuffled]) == value
    assert figure(scores[::-1], labels[::-1]) == value
    assert figure(5 * scores - 2, labels) == value
    assert figure(np.arctan(scores), labels) == value


@pytest.mark.parametrize("decimals", [None, 1])
def test_swapping_the_labels_and_the_order_changes_nothing(decimals):
    scores, labels = trials(12, decimals=decimals)
    assert ver.auc(-scores, labels) == pytest.approx(1 - ver.auc(scores, labels), abs=1e-14)
    assert ver.auc(-scores, ~labels) == pytest.approx(ver.auc(scores, labels), abs=1e-14)
    assert ver.eer(-scores, ~labels) == pytest.approx(ver.eer(scores, labels), abs=1e-14)
    assert ver.eer(-scores, labels) == pytest.approx(1 - ver.eer(scores, labels), abs=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [None, 1])
def test_roc_and_det_points_match_scikit_learn(decimals, dtype):
    scores, labels = trials(5, decimals=decimals, dtype=dtype)
    fpr, tpr, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    roc, det = ver.roc_points(scores, labels), ver.det_points(scores, labels)
    np.testing.assert_allclose(roc.fpr, fpr, atol=1e-15)
    np.testing.assert_allclose(roc.tpr, tpr, atol=1e-15)
    np.testing.assert_array_equal(roc.thresholds, thresholds)
    np.testing.assert_array_equal(det.fpr, roc.fpr)
    np.testing.assert_allclose(det.fnr, 1 - tpr, atol=1e-15)
    np.testing.assert_array_equal(det.thresholds, roc.thresholds)


def test_scores_keep_their_precision():
    # Distinct in float64, one value in float32: the caller's precision decides what a tie is.
    scores, labels = np.array([1.0, 1.0 + 1e-12]), np.array([False, True])
    assert ver.auc(scores, labels) == 1.0
    assert ver.auc(scores.astype(np.float32), labels) == 0.5
    # Whole numbers beyond float64's 53 bits stay apart as well.
    assert ver.auc(np.array([2**53, 2**53 + 1]), labels) == 1.0


@pytest.mark.parametrize(("p_target", "c_miss", "c_fa"), [(0.05, 1, 1), (0.01, 10, 1), (0.5, 1, 1), (0.9, 1, 2)])
def test_min_dcf_matches_the_definition(p_target, c_miss, c_fa):
    scores, labels = trials(2, decimals=1)
    costs = []
    for threshold in [*scores, np.inf]:
        accepted = scores >= threshold
        miss, false_alarm = (~accepted)[labels].mean(), accepted[~labels].mean()
        costs.append(c_miss * p_target * miss + c_fa * (1 - p_target) * false_alarm)
    expected = min(costs) / min(c_miss * p_target, c_fa * (1 - p_target))
    assert ver.min_dcf(scores, labels, p_target, c_miss, c_fa) == pytest.approx(expected, abs=1e-14)


def test_tpr_at_fpr_by_hand():
    # Descending: + - + + -. Points (0,0) (0,1/3) (1/2,1/3) (1/2,1) (1,1).
    scores, labels = [5, 4, 3, 2, 1], [1, 0, 1, 1, 0]
    at = {rate: ver.tpr_at_fpr(scores, labels, rate) for rate in (0.0, 0.25, 0.5, 0.75, 1.0)}
    assert at == pytest.approx({0.0: 1 / 3, 0.25: 1 / 3, 0.5: 1.0, 0.75: 1.0, 1.0: 1.0})


def test_tied_trials_counts_blocks_of_both_labels():
    assert ver.tied_trials([3, 3, 2, 2, 2, 1, 1], [1, 1, 1, 0, 0, 0, 0]) == 3
    assert ver.tied_trials([0.0, -0.0, 1.0], [1, 0, 0]) == 2


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([], [], "non-empty"),
        ([[1.0, 2.0]], [[0, 1]], "1 non-empty axes"),
        ([1.0, 2.0], [0, 1, 1], "shape"),
        ([1.0, 2.0], [1, 1], "only one"),
        ([1.0, 2.0], [0, 0], "only one"),
        ([1.0, np.nan], [0, 1], "finite"),
        ([1.0, np.inf], [0, 1], "finite"),
        ([1.0, -np.inf], [0, 1], "finite"),
        ([1.0, 2.0], [0, 2], "0 and 1"),
        ([1.0, 2.0], [0, np.nan], "0 and 1"),
        ([1.0, 2.0], ["a", "b"], "0 and 1"),
        (["a", "b"], [0, 1], "real numbers"),
        ([1j, 2j], [0, 1], "real numbers"),
    ],
)
@pytest.mark.parametrize("name", [*FIGURES, "roc_points", "det_points"])
def test_bad_trials_are_refused(name, scores, labels, message):
    figure = FIGURES.get(name) or getattr(ver, name)
    with pytest.raises(ValueError, match=message):
        figure(scores, labels)


@pytest.mark.parametrize("weights", [[1, 1], [1, -1, 1], [1, np.nan, 1], [1, 0, 0], [0, 1, 1]])
@pytest.mark.parametrize("figure", [ver.auc, ver.eer])
def test_bad_weights_are_refused(figure, weights):
    with pytest.raises(ValueError, match="weight"):
        figure([1.0, 2.0, 3.0], [1, 0, 0], weights)


def test_bad_operating_points_are_refused():
    scores, labels = trials(0)
    for fpr in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="fpr"):
            ver.tpr_at_fpr(scores, labels, fpr)
    for p_target in (0.0, 1.0, np.nan):
        with pytest.raises(ValueError, match="p_target"):
            ver.min_dcf(scores, labels, p_target)
    for cost in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="costs"):
            ver.min_dcf(scores, labels, c_miss=cost)
        with pytest.raises(ValueError, match="costs"):
            ver.min_dcf(scores, labels, c_fa=cost)
