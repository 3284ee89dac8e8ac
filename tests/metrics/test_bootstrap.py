"""Resampling of identities against literal loops that rebuild the weighted list of trials in every replicate."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lowshot.metrics import bootstrap, matching, retrieval, verification


def trials(seed, n_identities=15, size=150, decimals=None, dtype=np.float64):
    """Draw trials half within and half across identities; few decimals make ties."""
    rng = np.random.default_rng(seed)
    voice, face = rng.integers(0, n_identities, (2, size))
    face[::2] = voice[::2]
    labels = voice == face
    scores = rng.normal(size=size) + rng.normal(size=n_identities)[voice] * 0.5 + labels
    return (scores if decimals is None else np.round(scores, decimals)).astype(dtype), labels, voice, face


def weight_by_loop(count, *identities):
    weights = []
    for trial in zip(*identities, strict=True):
        weight = 1
        for identity in set(trial):
            weight *= count[identity]
        weights.append(weight)
    return np.array(weights)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_auc_replicates_match_a_literal_loop(decimals, dtype):
    scores, labels, voice, face = trials(0, decimals=decimals, dtype=dtype)
    counts = bootstrap.identity_counts(15, 40, seed=1)
    expected = [roc_auc_score(labels, scores, sample_weight=weight_by_loop(count, voice, face)) for count in counts]
    replicates = bootstrap.auc_replicates(scores, labels, voice, face, counts)
    np.testing.assert_allclose(replicates, expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_eer_replicates_match_a_literal_loop(decimals, dtype):
    scores, labels, voice, face = trials(2, decimals=decimals, dtype=dtype)
    counts = bootstrap.identity_counts(15, 40, seed=3)
    expected = []
    for count in counts:
        # A drawn trial stands in the list as often as it was drawn.
        times = weight_by_loop(count, voice, face)
        expected.append(verification.eer(np.repeat(scores, times), np.repeat(labels, times)))
    replicates = bootstrap.eer_replicates(scores, labels, voice, face, counts)
    np.testing.assert_allclose(replicates, expected, atol=1e-12)


@pytest.mark.parametrize("name", ["auc", "eer"])
def test_replicates_do_not_depend_on_blocks_or_order(name, monkeypatch):
    figure = getattr(bootstrap, f"{name}_replicates")
    scores, labels, voice, face = trials(4, decimals=1)
    counts = bootstrap.identity_counts(15, 33, seed=0)
    whole = figure(scores, labels, voice, face, counts)
    order = np.random.default_rng(0).permutation(len(scores))
    shuffled = figure(scores[order], labels[order], voice[order], face[order], counts)
    np.testing.assert_array_equal(shuffled, whole)
    np.testing.assert_array_equal(figure(np.arctan(scores), labels, voice, face, counts), whole)
    np.testing.assert_array_equal(figure(scores, labels, face, voice, counts), whole)
    for elements in (1, 4 * len(scores), 5 * len(scores)):
        monkeypatch.setattr(bootstrap, "_BLOCK_ELEMENTS", elements)
        np.testing.assert_array_equal(figure(scores, labels, voice, face, counts), whole)


@pytest.mark.parametrize("name", ["auc", "eer"])
def test_drawing_every_identity_once_gives_the_figure_itself(name):
    scores, labels, voice, face = trials(5, decimals=1)
    replicate = getattr(bootstrap, f"{name}_replicates")(scores, labels, voice, face, np.ones((1, 15), dtype=np.int32))
    assert replicate[0] == pytest.approx(getattr(verification, name)(scores, labels), abs=1e-14)


@pytest.mark.parametrize("name", ["auc", "eer"])
def test_collapsed_model_reads_as_chance_in_every_replicate(name):
    scores, labels, voice, face = trials(6)
    counts = bootstrap.identity_counts(15, 50, seed=0)
    replicates = getattr(bootstrap, f"{name}_replicates")(np.zeros_like(scores), labels, voice, face, counts)
    np.testing.assert_array_equal(replicates, np.full(50, 0.5))
    assert bootstrap.percentile_interval(replicates)[:2] == (0.5, 0.5)


@pytest.mark.parametrize("name", ["auc", "eer"])
def test_resamples_of_one_label_are_nan(name):
    # Identities 0 and 1 have a positive trial each, and only both together make a negative one.
    scores, labels, voice, face = [0.9, 0.8, 0.1], [1, 1, 0], np.array([0, 1, 0]), np.array([0, 1, 1])
    counts = np.array([[2, 0, 1], [1, 1, 1], [0, 0, 3]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        replicates = getattr(bootstrap, f"{name}_replicates")(scores, labels, voice, face, counts)
        interval = bootstrap.percentile_interval(replicates)
    np.testing.assert_array_equal(np.isnan(replicates), [True, False, True])
    assert interval.low == interval.high == replicates[1]


@pytest.mark.parametrize("columns", [1, 2, 3, 6])
def test_mean_replicates_match_a_literal_loop(columns):
    rng = np.random.default_rng(columns)
    values = rng.random(80)
    identities = tuple(rng.integers(0, 12, (columns, 80)))
    counts = bootstrap.identity_counts(12, 30, seed=2)
    expected = []
    for count in counts:
        weights = weight_by_loop(count, *identities)
        expected.append((weights * values).sum() / weights.sum() if weights.sum() else np.nan)
    np.testing.assert_allclose(bootstrap.mean_replicates(values, identities, counts), expected, atol=1e-12)


def test_an_identity_named_twice_counts_once():
    rng = np.random.default_rng(0)
    values, probe, other = rng.random(40), *rng.integers(0, 8, (2, 40))
    counts = bootstrap.identity_counts(8, 20, seed=0)
    once = bootstrap.mean_replicates(values, (probe, other), counts)
    repeated = bootstrap.mean_replicates(values, (probe, other, probe, other, other), counts)
    np.testing.assert_array_equal(repeated, once)


def test_matching_and_retrieval_replicates_match_recomputing_the_figure():
    rng = np.random.default_rng(3)
    counts = bootstrap.identity_counts(10, 25, seed=4)
    probe = rng.integers(0, 10, 60)
    scores, target = np.round(rng.normal(size=(60, 4)), 1), rng.integers(0, 4, 60)
    relevant = probe[:, None] == np.arange(30)[None, :] % 10
    gallery = np.round(rng.normal(size=(60, 30)) + relevant, 1)
    credit = bootstrap.mean_replicates(matching.trial_credit(scores, target), (probe,), counts)
    precision = bootstrap.mean_replicates(retrieval.average_precision(gallery, relevant), (probe,), counts)
    for replicate, count in enumerate(counts):
        drawn = np.repeat(np.arange(60), count[probe])
        assert credit[replicate] == pytest.approx(matching.accuracy(scores[drawn], target[drawn]))
        expected = retrieval.average_precision(gallery[drawn], relevant[drawn]).mean()
        assert precision[replicate] == pytest.approx(expected)


def test_mean_replicates_without_a_trial_are_nan():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        replicates = bootstrap.mean_replicates([1.0, 0.0], (np.array([0, 0]),), np.array([[0, 2], [1, 1]]))
    np.testing.assert_array_equal(replicates, [np.nan, 0.5])


def test_counts_are_resamples_with_a_seed():
    counts = bootstrap.identity_counts(40, 3000, seed=5)
    assert counts.shape == (3000, 40)
    assert counts.dtype == np.int32
    assert (counts.sum(axis=1) == 40).all()
    assert (counts >= 0).all()
    np.testing.assert_array_equal(counts, bootstrap.identity_counts(40, 3000, seed=5))
    np.testing.assert_array_equal(counts[:10], bootstrap.identity_counts(40, 10, seed=5))
    assert (counts != bootstrap.identity_counts(40, 3000, seed=6)).any()
    # Binomial(40, 1/40): mean 1 and variance 39/40, within six standard errors.
    assert np.abs(counts.mean(axis=0) - 1).max() < 6 * np.sqrt(0.975 / 3000)
    assert counts.var() == pytest.approx(0.975, abs=0.03)


def test_percentile_interval():
    interval = bootstrap.percentile_interval(np.arange(101.0), level=0.9)
    assert interval[:2] == pytest.approx((5.0, 95.0))
    assert interval.method == "identity-bootstrap-percentile"
    with_gaps = np.concatenate([[np.nan], np.arange(101.0), [np.nan]])
    assert bootstrap.percentile_interval(with_gaps, level=0.9) == interval
    wide, narrow = (bootstrap.percentile_interval(np.arange(101.0), level) for level in (0.95, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("replicates", [[], [np.nan, np.nan]])
def test_percentile_interval_of_nothing_is_nan(replicates):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high, _ = bootstrap.percentile_interval(replicates)
        difference = bootstrap.paired_difference(0.7, 0.6, replicates, replicates)
    assert np.isnan([low, high]).all()
    assert difference.value == pytest.approx(0.1)
    assert np.isnan(difference[1:]).all()


@pytest.mark.parametrize("name", ["auc", "eer"])
def test_intervals_shrink_with_identities(name):
    widths = []
    for n_identities in (20, 80, 320):
        scores, labels, voice, face = trials(7, n_identities=n_identities, size=10 * n_identities)
        counts = bootstrap.identity_counts(n_identities, 400, seed=0)
        replicates = getattr(bootstrap, f"{name}_replicates")(scores, labels, voice, face, counts)
        low, high, _ = bootstrap.percentile_interval(replicates)
        assert low < getattr(verification, name)(scores, labels) < high
        widths.append(high - low)
    # Four times the identities should halve the width.
    assert widths[1] < 0.75 * widths[0]
    assert widths[2] < 0.75 * widths[1]


def test_more_trials_of_the_same_identities_do_not_shrink_the_interval():
    # Copies of every trial carry no news. Resampling trials would halve the width; identities must not.
    scores, labels, voice, face = trials(8, n_identities=30, size=300)
    counts = bootstrap.identity_counts(30, 200, seed=0)
    once = bootstrap.auc_replicates(scores, labels, voice, face, counts)
    fourfold = bootstrap.auc_replicates(*(np.tile(part, 4) for part in (scores, labels, voice, face)), counts)
    np.testing.assert_allclose(fourfold, once, atol=1e-14)


def test_mean_interval_has_the_standard_error_of_identity_means():
    # One trial per identity: the bootstrap of a mean has standard deviation std / sqrt(n).
    values = np.random.default_rng(0).normal(size=200)
    counts = bootstrap.identity_counts(200, 4000, seed=0)
    replicates = bootstrap.mean_replicates(values, (np.arange(200),), counts)
    assert replicates.std() == pytest.approx(values.std() / np.sqrt(200), rel=0.05)
    assert replicates.mean() == pytest.approx(values.mean(), abs=0.01)


def test_a_model_does_not_differ_from_itself():
    scores, labels, voice, face = trials(9)
    counts = bootstrap.identity_counts(15, 200, seed=0)
    replicates = bootstrap.auc_replicates(scores, labels, voice, face, counts)
    value = verification.auc(scores, labels)
    assert bootstrap.paired_difference(value, value, replicates, replicates) == (0.0, 0.0, 0.0, 1.0)


def test_paired_difference_by_hand():
    a_reps, b_reps = np.array([3.0, 2.0, 1.0, np.nan, 5.0]), np.array([1.0, 1.0, 2.0, 1.0, 4.0])
    # Differences 2, 1, -1, 1: one of four at or below zero.
    difference = bootstrap.paired_difference(0.9, 0.4, a_reps, b_reps, level=0.5)
    low, high = np.quantile([2, 1, -1, 1], [0.25, 0.75])
    assert difference == pytest.approx((0.5, low, high, 2 * (1 + 1) / (4 + 1)))
    mirrored = bootstrap.paired_difference(0.4, 0.9, b_reps, a_reps, level=0.5)
    assert mirrored == pytest.approx((-0.5, -high, -low, difference.p_value))


def test_p_value_of_a_clear_difference_is_as_small_as_the_replicates_allow():
    rng = np.random.default_rng(0)
    a_reps = rng.normal(size=999)
    difference = bootstrap.paired_difference(5.0, 0.0, a_reps + 5 + 0.1 * rng.normal(size=999), a_reps)
    assert difference.p_value == 2 / 1000
    assert 4.5 < difference.low < 5.0 < difference.high < 5.5


def test_p_values_of_equal_models_are_spread_evenly():
    # Two models of the same quality on 150 fresh sets of trials: about one p-value in five falls below 0.2.
    p_values = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        owner = np.repeat(np.arange(60), 3)
        common = rng.normal(size=60)[owner]
        a, b = (common + rng.normal(size=60)[owner] + rng.normal(size=180) for _ in range(2))
        counts = bootstrap.identity_counts(60, 300, seed=seed)
        reps = [bootstrap.mean_replicates(values, (owner,), counts) for values in (a, b)]
        p_values.append(bootstrap.paired_difference(a.mean(), b.mean(), *reps).p_value)
    assert 0.1 < np.mean(np.array(p_values) < 0.2) < 0.32
    assert 0.38 < np.mean(np.array(p_values) < 0.5) < 0.62


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": [1.0, np.nan, 2.0]}, "finite"),
        ({"labels": [1, 1, 1]}, "only one"),
        ({"labels": [1, 0]}, "shape"),
        ({"voice_identity": [0, 1]}, "identities"),
        ({"voice_identity": [0, 1, 3]}, "0..2"),
        ({"face_identity": [0, 1, -1]}, "0..2"),
        ({"face_identity": ["a", "b", "c"]}, "identities"),
        ({"counts": [1, 1, 1]}, "counts"),
        ({"counts": [[1.0, 1.0, 1.0]]}, "counts"),
        ({"counts": [[-1, 2, 2]]}, "negative"),
        ({"counts": np.empty((0, 3), dtype=int)}, "counts"),
    ],
)
@pytest.mark.parametrize("figure", [bootstrap.auc_replicates, bootstrap.eer_replicates])
def test_bad_replicate_inputs_are_refused(figure, change, message):
    good = {
        "scores": [1.0, 2.0, 3.0],
        "labels": [0, 1, 0],
        "voice_identity": [0, 1, 2],
        "face_identity": [1, 1, 0],
        "counts": [[1, 1, 1]],
    }
    assert np.isfinite(figure(**good)).all()
    with pytest.raises(ValueError, match=message):
        figure(**good | change)


def test_bad_requests_are_refused():
    counts = np.ones((2, 3), dtype=int)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap.mean_replicates([1.0], (), counts)
    with pytest.raises(ValueError, match="finite"):
        bootstrap.mean_replicates([np.nan], (np.array([0]),), counts)
    with pytest.raises(ValueError, match="finite"):
        bootstrap.mean_replicates([], (np.array([], dtype=int),), counts)
    with pytest.raises(ValueError, match="identities"):
        bootstrap.mean_replicates([1.0, 0.0], (np.array([0]),), counts)
    for n_identities, replicates in ((1, 10), (5, 0)):
        with pytest.raises(ValueError, match="at least 2 identities"):
            bootstrap.identity_counts(n_identities, replicates, seed=0)
    for level in (0.0, 1.0, np.nan):
        with pytest.raises(ValueError, match="level"):
            bootstrap.percentile_interval([1.0, 2.0], level)
        with pytest.raises(ValueError, match="level"):
            bootstrap.paired_difference(1.0, 1.0, [1.0], [1.0], level)
    with pytest.raises(ValueError, match="one axis"):
        bootstrap.percentile_interval([[1.0, 2.0]])
    with pytest.raises(ValueError, match="pair up"):
        bootstrap.paired_difference(1.0, 1.0, [1.0, 2.0], [1.0])
