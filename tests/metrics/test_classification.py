"""Top-k accuracy and its balanced mean: against scikit-learn, against counting, and fair in ties."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

from lowshot.metrics.bootstrap import identity_counts
from lowshot.metrics.classification import balanced_mean, balanced_replicates, tied_items, top_k_credit


def drawn(items=60, classes=7, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(items, classes)), generator.integers(0, classes, items)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_without_ties_it_is_what_scikit_learn_says(k):
    scores, target = drawn()
    credit = top_k_credit(scores, target, k)
    assert set(credit) == {0.0, 1.0}
    assert credit.mean() == pytest.approx(top_k_accuracy_score(target, scores, k=k, labels=range(7)))
    assert tied_items(scores, target, k) == 0


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_a_tie_is_worth_its_mean_over_all_orders(k):
    scores = np.array([[2.0, 1.0, 2.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 3.0, 3.0, 3.0], [5.0, 1.0, 1.0, 0.0]])
    target = np.array([0, 3, 1, 2])
    expected = []
    for row, right in zip(scores, target, strict=True):
        # Every order of the columns in which higher scores come first.
        orders = [o for o in itertools.permutations(range(4)) if list(row[list(o)]) == sorted(row, reverse=True)]
        expected.append(np.mean([right in order[:k] for order in orders]))
    assert top_k_credit(scores, target, k) == pytest.approx(expected)
    assert tied_items(scores, target, k) == sum(0 < value < 1 for value in expected)


@pytest.mark.parametrize(("k", "chance"), [(1, 1 / 8), (5, 5 / 8), (8, 1.0), (9, 1.0)])
def test_collapsed_scores_read_as_chance(k, chance):
    assert top_k_credit(np.zeros((20, 8)), np.arange(20) % 8, k) == pytest.approx(np.full(20, chance))


def test_a_class_that_is_no_column_is_never_right():
    scores, target = drawn()
    target[3] = -1
    assert (top_k_credit(scores, target, 7)[[3, 4]] == [0.0, 1.0]).all()


@pytest.mark.parametrize(
    ("scores", "target", "k", "fault"),
    [
        (np.zeros((2, 3)), [0, 3], 1, "target must lie"),
        (np.zeros((2, 3)), [0, -2], 1, "target must lie"),
        (np.zeros((2, 3)), [0.0, 1.0], 1, "integers"),
        (np.zeros((2, 3)), [0], 1, "target must hold 2"),
        (np.full((2, 3), np.nan), [0, 1], 1, "finite"),
        (np.zeros((2, 3)), [0, 1], 0, "k must be at least 1"),
    ],
)
def test_what_cannot_be_counted_is_refused(scores, target, k, fault):
    with pytest.raises(ValueError, match=fault):
        top_k_credit(scores, target, k)


def test_the_balanced_mean_is_what_scikit_learn_says():
    scores, target = drawn()
    answers = scores.argmax(axis=1)
    credit = top_k_credit(scores, target, 1)
    assert balanced_mean(credit, target) == pytest.approx(balanced_accuracy_score(target, answers))
    # Always the same answer: one class is right, whatever its size.
    assert balanced_mean(np.array([1.0, 1.0, 1.0, 0.0]), np.array([0, 0, 0, 1])) == 0.5


def test_resamples_of_the_balanced_mean_are_those_counted_one_by_one():
    generator = np.random.default_rng(1)
    identities = generator.integers(0, 9, 40)
    classes = identities % 3
    credit = generator.integers(0, 2, 40).astype(float)
    counts = identity_counts(9, 200, 0)
    found = balanced_replicates(credit, classes, identities, counts)
    expected = []
    for row in counts:
        weight = row[identities]
        means = [
            (weight * credit)[classes == name].sum() / weight[classes == name].sum()
            for name in range(3)
            if weight[classes == name].sum()
        ]
        expected.append(np.mean(means))
    assert found == pytest.approx(np.array(expected))
    missing = np.array([(row[[0, 3, 6]] == 0).all() for row in counts])
    assert 0 < missing.sum() < len(counts)
    nobody = balanced_replicates(credit, classes, identities, np.zeros((1, 9), dtype=int))
    assert np.isnan(nobody).all()
