"""1:N matching against the definition, with ties, and against the released rule that rewards a collapse."""

import itertools

import numpy as np
import pytest

from lowshot.metrics import matching


def trials(seed, candidates, decimals=None, dtype=np.float64, size=200):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, candidates, size)
    scores = rng.normal(size=(size, candidates))
    scores[np.arange(size), target] += 0.7
    return (scores if decimals is None else np.round(scores, decimals)).astype(dtype), target


def credit_by_loop(scores, target):
    credits = []
    for row, right in zip(scores, target, strict=True):
        best = [candidate for candidate, score in enumerate(row) if score == max(row)]
        credits.append(1 / len(best) if right in best else 0.0)
    return credits


def released_accuracy(scores, target):
    """The released rule: the first of the best candidates is the answer."""
    return float((np.argmax(scores, axis=1) == target).mean())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("candidates", [2, 3, 10])
def test_credit_matches_the_definition(candidates, decimals, dtype):
    scores, target = trials(candidates, candidates, decimals, dtype)
    expected = credit_by_loop(scores, target)
    np.testing.assert_allclose(matching.trial_credit(scores, target), expected, atol=1e-15)
    assert matching.accuracy(scores, target) == pytest.approx(np.mean(expected), abs=1e-15)
    assert matching.tied_trials(scores, target) == sum(0 < credit < 1 for credit in expected)


def test_without_ties_it_is_plain_accuracy():
    scores, target = trials(0, 5)
    assert matching.accuracy(scores, target) == released_accuracy(scores, target)
    assert matching.tied_trials(scores, target) == 0


def test_credit_by_hand():
    scores = [[3, 1, 1], [3, 3, 1], [2, 2, 2], [1, 3, 3], [0.0, -0.0, -1]]
    np.testing.assert_allclose(matching.trial_credit(scores, [0, 1, 2, 0, 0]), [1, 1 / 2, 1 / 3, 0, 1 / 2])
    assert matching.tied_trials(scores, [0, 1, 2, 0, 0]) == 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("candidates", range(2, 11))
def test_collapsed_model_reads_as_chance(candidates, dtype):
    scores = np.full((30, candidates), 0.3, dtype=dtype)
    for place in range(candidates):
        target = np.full(30, place)
        assert matching.accuracy(scores, target) == pytest.approx(1 / candidates, abs=1e-15)
        assert matching.tied_trials(scores, target) == 30


def test_released_rule_rewards_a_collapsed_model():
    scores, target = np.zeros((25, 2)), np.zeros(25, dtype=int)
    assert released_accuracy(scores, target) == 1.0
    assert matching.accuracy(scores, target) == 0.5


@pytest.mark.parametrize("decimals", [None, 0])
def test_places_and_monotone_transforms_do_not_count(decimals):
    scores, target = trials(4, 6, decimals)
    credit = matching.trial_credit(scores, target)
    places = np.random.default_rng(1).permutation(6)
    moved = np.argsort(places)[target]
    np.testing.assert_array_equal(matching.trial_credit(scores[:, places], moved), credit)
    np.testing.assert_array_equal(matching.trial_credit(np.arctan(scores), target), credit)
    np.testing.assert_array_equal(matching.trial_credit(scores[::-1], target[::-1]), credit[::-1])


@pytest.mark.parametrize("decimals", [None, 0])
def test_more_candidates_never_help(decimals):
    scores, target = trials(5, 10, decimals)
    target = np.zeros_like(target)
    credits = [matching.trial_credit(scores[:, :size], target) for size in range(2, 11)]
    assert all((more <= fewer).all() for fewer, more in itertools.pairwise(credits))


@pytest.mark.parametrize(
    ("scores", "target", "message"),
    [
        ([1.0, 2.0], [0], "2 non-empty axes"),
        (np.empty((0, 2)), [], "non-empty"),
        ([[1.0], [2.0]], [0, 0], "at least 2 candidates"),
        ([[1.0, np.nan]], [0], "finite"),
        ([[1.0, np.inf]], [0], "finite"),
        ([[1.0, 2.0]], [0, 1], "target"),
        ([[1.0, 2.0]], [2], "target"),
        ([[1.0, 2.0]], [-1], "target"),
        ([[1.0, 2.0]], [0.0], "target"),
        ([[1.0, 2.0]], [True], "target"),
    ],
)
@pytest.mark.parametrize("figure", [matching.trial_credit, matching.accuracy, matching.tied_trials])
def test_bad_trials_are_refused(figure, scores, target, message):
    with pytest.raises(ValueError, match=message):
        figure(scores, target)
