"""Calibration against scikit-learn, brute force over monotone maps, and cases known in closed form."""

import itertools

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from lowshot.metrics import calibration
from lowshot.metrics.verification import auc

from .resampled import trials


def normal_trials(size, gap=1.5, seed=0):
    """Two normal distributions of one spread: their log-likelihood ratio is gap x (score - gap / 2)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(size) % 3 == 0
    return rng.normal(size=size) + gap * labels, labels


def cllr_of_normals(gap):
    x, step = np.linspace(-12, 12, 100_001, retstep=True)
    ratio = gap * x - gap**2 / 2
    costs = norm.pdf(x, gap) * np.logaddexp(0, -ratio) + norm.pdf(x) * np.logaddexp(0, ratio)
    return costs.sum() * step / np.log(4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cllr_is_scikit_learns_balanced_log_loss_in_bits(dtype):
    scores, labels, _, _ = trials(0, dtype=dtype)
    weight = np.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum())
    expected = log_loss(labels, expit(scores.astype(float)), sample_weight=weight) / np.log(2)
    assert calibration.cllr(scores, labels) == pytest.approx(expected, abs=1e-6 if dtype == np.float32 else 1e-9)


def test_cllr_by_hand():
    # A ratio of 3 costs log2(4/3) where it is right and log2(4) where it is wrong.
    ratios = np.log([3.0, 3.0, 1 / 3, 3.0])
    right, wrong = np.log2(4 / 3), 2.0
    assert calibration.cllr(ratios, [1, 1, 0, 0]) == pytest.approx((right + (right + wrong) / 2) / 2)
    np.testing.assert_allclose(calibration.trial_costs(ratios, [1, 1, 0, 0]), [right, right, right, wrong])
    assert calibration.cllr(np.zeros(4), [1, 1, 0, 0]) == 1.0
    # Far ratios neither overflow nor vanish.
    assert calibration.cllr([2000.0, -2000.0], [1, 0]) == 0.0
    assert calibration.cllr([-2000.0, 2000.0], [1, 0]) == pytest.approx(2000 / np.log(2))


def cheapest_rising_map(scores, labels):
    """The least cost over all ways to cut the rising scores into blocks whose shares of positives rise."""
    values = np.unique(scores)
    best = np.inf
    for cuts in itertools.product([False, True], repeat=len(values) - 1):
        block = np.concatenate([[0], np.cumsum(cuts)])[np.searchsorted(values, scores)]
        positive = np.bincount(block, labels) / labels.sum()
        negative = np.bincount(block, ~labels) / (~labels).sum()
        share = positive / (positive + negative)
        if (np.diff(share) < 0).any():
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            cost = -np.nansum(positive * np.log2(share)) - np.nansum(negative * np.log2(1 - share))
        best = min(best, cost / 2)
    return best


@pytest.mark.parametrize("seed", range(8))
def test_min_cllr_is_the_least_cost_of_all_rising_maps(seed):
    rng = np.random.default_rng(seed)
    labels = rng.random(14) < 0.4
    labels[:2] = True, False
    scores = np.round(rng.normal(size=14) + labels, 1 if seed % 2 else 0)
    assert calibration.min_cllr(scores, labels) == pytest.approx(cheapest_rising_map(scores, labels), abs=1e-12)


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_min_cllr_is_that_of_scikit_learns_isotonic_posterior(decimals):
    scores, labels, _, _ = trials(3, decimals=decimals)
    weight = np.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum())
    posterior = IsotonicRegression().fit(scores, labels, sample_weight=weight).predict(scores)
    with np.errstate(divide="ignore"):
        costs = -np.log2(np.where(labels, posterior, 1 - posterior))
    assert calibration.min_cllr(scores, labels) == pytest.approx(weight @ costs, abs=1e-9)


def test_both_ends_of_the_scale():
    scores, labels = np.arange(20.0), np.arange(20) >= 13
    assert calibration.min_cllr(scores, labels) == 0.0
    assert calibration.min_cllr(-scores, labels) == pytest.approx(1.0)
    assert calibration.min_cllr(np.zeros(20), labels) == 1.0


def test_on_long_lists_both_come_to_the_cost_of_the_true_ratios():
    scores, labels = normal_trials(60_000)
    expected = cllr_of_normals(1.5)
    assert calibration.cllr(1.5 * scores - 1.125, labels) == pytest.approx(expected, abs=0.01)
    assert calibration.min_cllr(scores, labels) == pytest.approx(expected, abs=0.01)
    found = calibration.fit_calibration(scores, labels)
    assert found == pytest.approx((1.5, -1.125), abs=0.05)


def test_min_cllr_is_the_least_of_all_affine_maps_too():
    scores, labels, _, _ = trials(1)
    least = calibration.min_cllr(scores, labels)
    for scale, offset in itertools.product((0.1, 0.5, 1.0, 2.0), (-1.0, -0.5, 0.0)):
        assert calibration.cllr(scale * scores + offset, labels) > least


@pytest.mark.parametrize("factor", [1.0, 1e-4, 1e4])
def test_the_fit_is_scikit_learns_logistic_regression(factor):
    scores, labels = normal_trials(300)
    scores = factor * (scores + 7)
    # Labels drawn in are each trial twice, once with each label.
    share = 1 / (labels.sum() + 2)
    weight = np.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum())
    # In units of the spread, as the solver of the rival stops early otherwise.
    spread = scores.std()
    rival = LogisticRegression(C=1e9, tol=1e-10, max_iter=10_000)
    rival.fit(
        np.concatenate([scores, scores])[:, None] / spread,
        np.concatenate([labels, ~labels]),
        sample_weight=1000 * np.concatenate([weight * (1 - share), weight * share]),
    )
    scale, offset = calibration.fit_calibration(scores, labels)
    assert scale * spread == pytest.approx(rival.coef_[0, 0], rel=1e-4)
    assert offset == pytest.approx(rival.intercept_[0], rel=1e-4)


def test_scores_that_part_the_labels_have_a_finite_map():
    scores, labels = np.arange(20.0), np.arange(20) >= 13
    scale, offset = calibration.fit_calibration(scores, labels)
    assert 0 < scale < 100
    assert 0 < calibration.cllr(scale * scores + offset, labels) < 0.5


@pytest.mark.parametrize("scores", [np.zeros(20), -np.arange(20.0)])
def test_what_ranks_no_better_than_chance_says_nothing(scores):
    assert calibration.fit_calibration(scores, np.arange(20) >= 13) == (0.0, 0.0)


@pytest.mark.parametrize("decimals", [None, 1])
def test_ratios_of_a_trial_are_learned_from_trials_that_share_no_identity_with_it(decimals):
    scores, labels, voice, face = trials(5, n_identities=40, size=800, decimals=decimals)
    whole = calibration.cross_calibrated(scores, labels, voice, face)
    for identity in (0, 17):
        own = (voice == identity) | (face == identity)
        # Whatever becomes of the other trials of this identity, the map for one of its trials stays.
        changed = scores.copy()
        kept = np.flatnonzero(own)[0]
        changed[own] = np.random.default_rng(0).normal(size=own.sum()) * 9
        changed[kept] = scores[kept]
        again = calibration.cross_calibrated(changed, labels, voice, face)
        assert again[kept] == whole[kept]
        assert (again != whole).any()


def test_cross_calibrated_ratios_cost_little_more_than_the_best():
    scores, labels, voice, face = trials(6, n_identities=80, size=4000)
    ratios = calibration.cross_calibrated(5 * scores - 30, labels, voice, face)
    found = calibration.cllr(ratios, labels)
    assert calibration.min_cllr(scores, labels) < found < calibration.min_cllr(scores, labels) + 0.05
    # Uncalibrated, the same scores are worse than none.
    assert calibration.cllr(5 * scores - 30, labels) > 1
    assert auc(ratios, labels) == pytest.approx(auc(scores, labels), abs=0.01)


def test_cross_calibration_is_affine_invariant_and_knows_no_order_and_no_side():
    scores, labels, voice, face = trials(7, n_identities=40, size=600)
    whole = calibration.cross_calibrated(scores, labels, voice, face)
    np.testing.assert_allclose(calibration.cross_calibrated(3 * scores - 2, labels, voice, face), whole, atol=1e-6)
    np.testing.assert_array_equal(calibration.cross_calibrated(scores, labels, face, voice), whole)
    order = np.random.default_rng(0).permutation(len(scores))
    shuffled = calibration.cross_calibrated(scores[order], labels[order], voice[order], face[order])
    np.testing.assert_allclose(shuffled, whole[order], atol=1e-9)


def test_too_few_identities_to_calibrate_across_give_none():
    voice, face = np.array([0, 1, 2, 0, 1, 2]), np.array([0, 1, 2, 1, 2, 0])
    assert calibration.cross_calibrated(np.arange(6.0), voice == face, voice, face) is None


@pytest.mark.parametrize("figure", ["cllr", "min_cllr", "trial_costs", "fit_calibration"])
@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [([1.0, 2.0], [1, 1], "only one"), ([1.0, np.nan], [0, 1], "finite"), ([1.0, 2.0], [0, 2], "0 and 1")],
)
def test_bad_trials_are_refused(figure, scores, labels, message):
    with pytest.raises(ValueError, match=message):
        getattr(calibration, figure)(scores, labels)


def test_pooled_costs_never_round_past_one():
    rng = np.random.default_rng(0)
    positives, negatives = np.sort(rng.integers(1, 9, (300, 40)))[:, ::-1], np.sort(rng.integers(1, 9, (300, 40)))

    costs = calibration.pooled_entropy(positives, negatives)

    # Lists whose positive trials score lowest say nothing: all of each is one block, at a cost of 1 but for rounding.
    assert costs == pytest.approx(1.0) and (costs <= 1.0).all()


def test_pooled_costs_of_many_lists_are_those_of_each_alone():
    rng = np.random.default_rng(1)
    positives, negatives = rng.integers(0, 4, (2, 50, 30))

    together = calibration.pooled_entropy(positives, negatives)

    alone = [calibration.pooled_entropy(*pair)[0] for pair in zip(positives[:, None], negatives[:, None], strict=True)]
    assert together == pytest.approx(np.array(alone), abs=1e-12) and np.ptp(together) > 0.01
