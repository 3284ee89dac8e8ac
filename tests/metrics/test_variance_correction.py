"""The spread of resamples against sums over trials that share an identity, and against the formula of Student's."""

import numpy as np
import pytest
from scipy.stats import norm, t

from lowshot.metrics.bootstrap import difference_of, identity_counts, mean_replicates, percentile_interval
from lowshot.metrics.curve_replicates import auc_of, curve_replicates, pair_replicates
from lowshot.metrics.variance_correction import corrected
from lowshot.metrics.verification import auc

from .resampled import trials


def contributions(scores, labels):
    """What each trial adds to the area under the curve, to first order."""
    positive, negative = scores[labels], scores[~labels]
    wins = (positive[:, None] > negative).astype(float) + 0.5 * (positive[:, None] == negative)
    psi = np.empty(len(scores))
    psi[labels] = (wins.mean(axis=1) - wins.mean()) / len(positive)
    psi[~labels] = (wins.mean(axis=0) - wins.mean()) / len(negative)
    return psi


def variance_by_loop(psi, voice, face):
    """The sum of psi psi' over all pairs of trials that share an identity."""
    total = 0.0
    for one in range(len(psi)):
        for other in range(len(psi)):
            if {voice[one], face[one]} & {voice[other], face[other]}:
                total += psi[one] * psi[other]
    return total


def resampled_auc(scores, labels, voice, face, n_identities, replicates=2000):
    counts = identity_counts(n_identities, replicates, seed=0)
    figures = {"auc": auc_of}
    by_identity = curve_replicates(scores, labels, voice, face, counts, figures)["auc"]
    return by_identity, pair_replicates(scores, labels, voice, face, replicates, 0, figures)["auc"], counts


def stretch_of(by_identity, by_pair, counts, level=0.95):
    """The factor of Student's, from the formula, with the variance taken as it comes."""
    n = counts.shape[1]
    total = by_identity.var()
    variance = total if by_pair is None else min(max(total - 2 * by_pair.var(), total / 3), total)
    parts = ((counts - counts.mean(axis=0)) * (by_identity - by_identity.mean())[:, None]).mean(axis=0) ** 2
    freedom = 2 * variance**2 / ((parts - parts.mean()) ** 2).sum()
    tail = (1 + level) / 2
    return np.sqrt(n / (n - 1)) * t.ppf(tail, freedom) / norm.ppf(tail), variance


def test_trials_between_two_identities_spread_as_the_sum_over_trials_that_share_one():
    scores, labels, voice, face = trials(0, n_identities=60, size=360)
    by_identity, by_pair, counts = resampled_auc(scores, labels, voice, face, 60)
    value = auc(scores, labels)
    found = corrected(value, by_identity, counts, by_pair=by_pair)
    stretch, _ = stretch_of(by_identity, by_pair, counts)
    expected = variance_by_loop(contributions(scores, labels), voice, face)
    assert (found.std() / stretch) ** 2 == pytest.approx(expected, rel=0.2)
    # Left alone, the resamples spread far more than that.
    assert by_identity.var() > 1.5 * expected


def test_the_formula_to_the_letter():
    scores, labels, voice, face = trials(1, n_identities=30, size=240)
    by_identity, by_pair, counts = resampled_auc(scores, labels, voice, face, 30, replicates=300)
    value = auc(scores, labels)
    for pairs, level in ((by_pair, 0.95), (by_pair, 0.8), (None, 0.95)):
        stretch, variance = stretch_of(by_identity, pairs, counts, level)
        expected = value + stretch * np.sqrt(variance / by_identity.var()) * (by_identity - by_identity.mean())
        found = corrected(value, by_identity, counts, by_pair=pairs, level=level)
        np.testing.assert_allclose(found, np.clip(expected, 0, 1), atol=1e-12)


def test_a_mean_of_one_trial_for_each_identity_has_students_interval():
    values = np.random.default_rng(0).normal(0.5, 0.05, 12)
    counts = identity_counts(12, 20_000, seed=0)
    by_identity = mean_replicates(values, (np.arange(12),), counts)
    low, high, _ = percentile_interval(corrected(values.mean(), by_identity, counts))
    half = t.ppf(0.975, 11) * values.std(ddof=1) / np.sqrt(12)
    # The freedom is estimated and the resamples are not quite normal.
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)
    assert (high + low) / 2 == pytest.approx(values.mean(), abs=0.1 * half)


def test_the_part_of_pairs_takes_away_no_more_than_two_thirds_and_adds_nothing():
    by_identity, counts = np.random.default_rng(0).normal(0.5, 0.01, 500), identity_counts(40, 500, seed=0)
    whole = corrected(0.5, by_identity, counts)
    # The freedom of a smaller variance is smaller, so that the stretch is larger: compare at one stretch.
    most = corrected(0.5, by_identity, counts, by_pair=10 * by_identity)
    none = corrected(0.5, by_identity, counts, by_pair=np.full(500, 0.5))
    np.testing.assert_array_equal(none, whole)
    stretches = [stretch_of(by_identity, pairs, counts)[0] for pairs in (None, 10 * by_identity)]
    np.testing.assert_allclose((most - 0.5) / stretches[1] * np.sqrt(3), (whole - 0.5) / stretches[0], atol=1e-12)


def test_figures_stay_within_their_bounds_and_around_the_value():
    by_identity, counts = np.linspace(0.9, 1.0, 200), identity_counts(5, 200, seed=0)
    found = corrected(0.97, by_identity, counts)
    assert found.max() == 1.0 and found.min() > 0
    free = corrected(0.97, by_identity, counts, bounds=(-np.inf, np.inf))
    assert free.max() > 1.0 and free.mean() == pytest.approx(0.97)


def test_resamples_that_are_all_alike_or_missing_stay_as_they_are():
    counts = identity_counts(5, 4, seed=0)
    np.testing.assert_array_equal(corrected(0.5, np.full(4, 0.5), counts), np.full(4, 0.5))
    assert np.isnan(corrected(0.5, np.full(4, np.nan), counts)).all()
    found = corrected(0.5, np.array([0.4, np.nan, 0.6, 0.5]), counts)
    np.testing.assert_array_equal(np.isnan(found), [False, True, False, False])


def test_a_difference_of_equal_models_stays_nothing():
    assert difference_of(0.0, corrected(0.0, np.zeros(9), identity_counts(5, 9, seed=0))) == (0.0, 0.0, 0.0, 1.0)


def test_counts_may_be_worked_on_in_parts(monkeypatch):
    by_identity, counts = np.random.default_rng(0).normal(0.5, 0.01, 50), identity_counts(7, 50, seed=0)
    whole = corrected(0.5, by_identity, counts)
    monkeypatch.setattr("lowshot.metrics.variance_correction._BLOCK_ELEMENTS", 21)
    np.testing.assert_allclose(corrected(0.5, by_identity, counts), whole, atol=1e-14)


def test_what_does_not_belong_together_is_refused():
    counts = identity_counts(5, 4, seed=0)
    with pytest.raises(ValueError, match="each of 4 resamples"):
        corrected(0.5, np.zeros(3), counts)
    with pytest.raises(ValueError, match="level"):
        corrected(0.5, np.zeros(4), counts, level=1.0)
