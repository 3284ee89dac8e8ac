"""Resampled curves against literal loops that rebuild the weighted list of trials in every resample."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lowshot.metrics import bootstrap, calibration, verification
from lowshot.metrics import curve_replicates as curves

from .resampled import trials, weight_by_loop

POINT = {"p_target": 0.1, "c_miss": 2.0, "c_fa": 1.0}
FIGURES = {
    "auc": (curves.auc_of, verification.auc),
    "eer": (curves.eer_of, verification.eer),
    "tpr": (curves.tpr_of(0.07), lambda scores, labels: verification.tpr_at_fpr(scores, labels, 0.07)),
    "min_dcf": (curves.min_dcf_of(**POINT), lambda scores, labels: verification.min_dcf(scores, labels, **POINT)),
    "min_cllr": (curves.min_cllr_of, calibration.min_cllr),
}
READ = {name: pair[0] for name, pair in FIGURES.items()}


def costs(scores, labels):
    """A figure that needs a value for each trial, its scores taken for log-likelihood ratios."""
    return {**READ, "cllr": curves.class_mean_of(calibration.trial_costs(scores, labels), labels)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("name", [*FIGURES, "cllr"])
def test_every_figure_matches_a_literal_loop(name, decimals, dtype):
    scores, labels, voice, face = trials(2, decimals=decimals, dtype=dtype)
    counts = bootstrap.identity_counts(15, 40, seed=3)
    figure = FIGURES[name][1] if name in FIGURES else calibration.cllr
    expected = []
    for count in counts:
        # A drawn trial stands in the list as often as it was drawn.
        times = weight_by_loop(count, voice, face)
        expected.append(figure(np.repeat(scores, times), np.repeat(labels, times)))
    found = curves.curve_replicates(scores, labels, voice, face, counts, costs(scores, labels))
    np.testing.assert_allclose(found[name], expected, atol=1e-12)


def test_auc_is_scikit_learns_with_the_weights_of_each_resample():
    scores, labels, voice, face = trials(0, decimals=1)
    counts = bootstrap.identity_counts(15, 40, seed=1)
    expected = [roc_auc_score(labels, scores, sample_weight=weight_by_loop(count, voice, face)) for count in counts]
    found = curves.auc_replicates(scores, labels, voice, face, counts)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("decimals", [None, 1])
def test_pairs_are_drawn_whole_and_trials_within_an_identity_stay(decimals):
    """Rebuilt from the weights that a figure sees: [T] of each resample."""
    scores, labels, voice, face = trials(3, n_identities=6, decimals=decimals)
    seen = []

    def spy(points):
        weights = np.empty_like(points.weights)
        weights[:, points.order] = points.weights
        seen.append(weights)
        return curves.auc_of(points)

    found = curves.pair_replicates(scores, labels, voice, face, 30, 5, {"auc": spy})["auc"]
    weights = np.concatenate(seen)
    assert (weights[:, labels] == 1).all()
    pairs = [frozenset(pair) for pair in zip(voice[~labels], face[~labels], strict=True)]
    drawn = np.zeros(len(weights))
    for pair in set(pairs):
        of_pair = weights[:, ~labels][:, [other == pair for other in pairs]]
        assert (of_pair == of_pair[:, :1]).all()
        drawn += of_pair[:, 0]
    assert (drawn == len(set(pairs))).all()
    expected = [verification.auc(np.repeat(scores, row), np.repeat(labels, row)) for row in weights]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def by_identity(scores, labels, voice, face, replicates):
    counts = bootstrap.identity_counts(15, replicates, seed=0)
    return curves.curve_replicates(scores, labels, voice, face, counts, costs(scores, labels))


def by_pair(scores, labels, voice, face, replicates):
    return curves.pair_replicates(scores, labels, voice, face, replicates, 0, costs(scores, labels))


@pytest.mark.parametrize("resample", [by_identity, by_pair])
def test_resamples_do_not_depend_on_blocks_order_or_the_side_of_an_identity(resample, monkeypatch):
    scores, labels, voice, face = trials(4, decimals=1)
    whole = resample(scores, labels, voice, face, 33)
    order = np.random.default_rng(0).permutation(len(scores))
    others = [
        resample(scores[order], labels[order], voice[order], face[order], 33),
        resample(scores, labels, face, voice, 33),
        {name: values[:33] for name, values in resample(scores, labels, voice, face, 50).items()},
    ]
    for elements in (1, 4 * len(scores), 5 * len(scores)):
        monkeypatch.setattr(bootstrap, "_BLOCK_ELEMENTS", elements)
        others.append(resample(scores, labels, voice, face, 33))
    for other in others:
        for name, values in whole.items():
            np.testing.assert_allclose(other[name], values, atol=1e-14)


@pytest.mark.parametrize("resample", [by_identity, by_pair])
def test_only_the_order_of_scores_counts(resample):
    scores, labels, voice, face = trials(4, decimals=1)
    whole, other = (resample(part, labels, voice, face, 20) for part in (scores, np.arctan(scores)))
    for name in FIGURES:
        np.testing.assert_array_equal(other[name], whole[name])


@pytest.mark.parametrize("name", FIGURES)
def test_drawing_every_identity_once_gives_the_figure_itself(name):
    scores, labels, voice, face = trials(5, decimals=1)
    once = np.ones((1, 15), dtype=np.int32)
    found = curves.curve_replicates(scores, labels, voice, face, once, READ)[name]
    assert found[0] == pytest.approx(FIGURES[name][1](scores, labels), abs=1e-14)


@pytest.mark.parametrize("resample", [by_identity, by_pair])
def test_a_collapsed_model_reads_as_chance_in_every_resample(resample):
    scores, labels, voice, face = trials(6)
    found = resample(np.zeros_like(scores), labels, voice, face, 50)
    chance = {"auc": 0.5, "eer": 0.5, "tpr": 0.07, "min_dcf": 1.0, "min_cllr": 1.0, "cllr": 1.0}
    for name, values in found.items():
        np.testing.assert_allclose(values, chance[name], atol=1e-15)
    assert (found["auc"] == 0.5).all()


def test_resamples_of_one_label_are_nan():
    # Identities 0 and 1 have a positive trial each, and only both together make a negative one.
    scores, labels, voice, face = [0.9, 0.8, 0.1], [1, 1, 0], np.array([0, 1, 0]), np.array([0, 1, 1])
    counts = np.array([[2, 0, 1], [1, 1, 1], [0, 0, 3]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = curves.curve_replicates(scores, labels, voice, face, counts, READ)
    for values in found.values():
        np.testing.assert_array_equal(np.isnan(values), [True, False, True])


def test_more_trials_of_the_same_identities_do_not_shrink_the_spread():
    # Copies of every trial carry no news. Resampling trials would halve the spread; identities must not.
    scores, labels, voice, face = trials(8, n_identities=30, size=300)
    counts = bootstrap.identity_counts(30, 200, seed=0)
    once = curves.auc_replicates(scores, labels, voice, face, counts)
    fourfold = curves.auc_replicates(*(np.tile(part, 4) for part in (scores, labels, voice, face)), counts)  # type: ignore[call-arg]
    np.testing.assert_allclose(fourfold, once, atol=1e-14)


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
def test_bad_inputs_are_refused(change, message):
    good = {
        "scores": [1.0, 2.0, 3.0],
        "labels": [0, 1, 0],
        "voice_identity": [0, 1, 2],
        "face_identity": [1, 1, 0],
        "counts": [[1, 1, 1]],
    }
    assert np.isfinite(curves.auc_replicates(**good)).all()
    with pytest.raises(ValueError, match=message):
        curves.auc_replicates(**good | change)


def test_a_block_without_a_usable_resample_leaves_no_figure():
    scores, labels, voice, face = trials(7)
    counts = np.zeros((2, 15), dtype=np.int32)
    found = curves.curve_replicates(scores, labels, voice, face, counts, READ)
    assert all(np.isnan(values).all() and values.shape == (2,) for values in found.values())
