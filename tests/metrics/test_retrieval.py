"""Retrieval figures against scikit-learn, random orders of tied items, and loops written from the definitions."""

import itertools
from math import comb

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from lowshot.metrics import retrieval


def queries(seed, decimals=None, dtype=np.float64, gallery=60):
    """Draw queries and gallery items with identities; few decimals make ties."""
    rng = np.random.default_rng(seed)
    items = np.arange(gallery) % 8
    relevant = rng.integers(0, 8, 25)[:, None] == items[None, :]
    scores = rng.normal(size=(25, gallery)) + relevant
    return (scores if decimals is None else np.round(scores, decimals)).astype(dtype), relevant


def recall_over_orders(scores, relevant, k):
    """Average over every order that the ranking may take when tied items are shuffled."""
    hits = [
        any(relevant[item] for item in order[:k])
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    return float(np.mean(hits))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("seed", range(3))
def test_average_precision_matches_scikit_learn(seed, decimals, dtype):
    scores, relevant = queries(seed, decimals, dtype)
    expected = [average_precision_score(truth, row) for truth, row in zip(relevant, scores, strict=True)]
    np.testing.assert_allclose(retrieval.average_precision(scores, relevant), expected, atol=1e-12)


@pytest.mark.parametrize("gallery", [1, 2, 3, 7, 8, 9, 64])
def test_average_precision_of_any_gallery_size(gallery):
    rng = np.random.default_rng(gallery)
    scores = rng.integers(0, 4, (40, gallery))
    relevant = rng.random((40, gallery)) < 0.5
    relevant[np.arange(40), rng.integers(0, gallery, 40)] = True
    expected = [average_precision_score(truth, row) for truth, row in zip(relevant, scores, strict=True)]
    np.testing.assert_allclose(retrieval.average_precision(scores, relevant), expected, atol=1e-12)


def test_truth_built_pair_by_pair_gives_the_same():
    # The released code compares identities in a double loop and scores row by row; one comparison of arrays and
    # one call must say the same.
    rng = np.random.default_rng(9)
    voices, faces = rng.integers(0, 6, 20), np.arange(30) % 6
    scores = np.round(rng.normal(size=(20, 30)), 1)
    expected = []
    for query in range(20):
        truth = [1 if voices[query] == faces[item] else 0 for item in range(30)]
        total = 0.0
        for item in range(30):
            if truth[item]:
                level = [other for other in range(30) if scores[query, other] >= scores[query, item]]
                total += sum(truth[other] for other in level) / len(level)
        expected.append(total / sum(truth))
    np.testing.assert_allclose(
        retrieval.average_precision(scores, voices[:, None] == faces[None, :]), expected, atol=1e-14
    )


def test_average_precision_by_hand():
    scores = [[5, 4, 3, 2, 1], [1, 2, 3, 4, 5], [2, 2, 1, 1, 1]]
    relevant = [[1, 0, 1, 0, 0], [1, 0, 0, 0, 0], [1, 0, 1, 0, 0]]
    # Third row: 1/2 at the first block, 2/5 at the second.
    expected = [(1 + 2 / 3) / 2, 1 / 5, (1 / 2 + 2 / 5) / 2]
    np.testing.assert_allclose(retrieval.average_precision(scores, relevant), expected, atol=1e-15)


@pytest.mark.parametrize("decimals", [None, 0])
@pytest.mark.parametrize("seed", range(3))
def test_recall_matches_every_order_of_ties(seed, decimals):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(6, 6)) * 0.8
    scores = scores if decimals is None else np.round(scores, decimals)
    relevant = np.zeros((6, 6), dtype=bool)
    relevant[np.arange(6), rng.integers(0, 6, 6)] = True
    relevant |= rng.random((6, 6)) < 0.2
    for k in range(1, 7):
        expected = [recall_over_orders(row, truth, k) for row, truth in zip(scores, relevant, strict=True)]
        np.testing.assert_allclose(retrieval.recall_at_k(scores, relevant, k), expected, atol=1e-12)


def test_recall_by_hand():
    scores = [[9, 8, 7, 7, 7], [9, 8, 7, 7, 7], [1, 1, 1, 1, 0]]
    relevant = [[0, 1, 0, 0, 1], [0, 0, 0, 1, 1], [1, 0, 0, 0, 1]]
    np.testing.assert_allclose(retrieval.recall_at_k(scores, relevant, 1), [0, 0, 1 / 4])
    np.testing.assert_allclose(retrieval.recall_at_k(scores, relevant, 3), [1, 2 / 3, 3 / 4])
    np.testing.assert_allclose(retrieval.recall_at_k(scores, relevant, 4), [1, 1, 1])


def test_recall_beyond_the_gallery_is_certain():
    scores, relevant = queries(1, gallery=9)
    np.testing.assert_array_equal(retrieval.recall_at_k(scores, relevant, 10), np.ones(len(scores)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_relevant", [1, 4, 17, 40])
def test_collapsed_model_reads_as_chance(n_relevant, dtype):
    scores = np.full((2, 40), 0.3, dtype=dtype)
    relevant = np.stack([np.arange(40) < n_relevant, np.arange(40) >= 40 - n_relevant])
    np.testing.assert_allclose(retrieval.average_precision(scores, relevant), n_relevant / 40, atol=1e-15)
    for k in (1, 5, 10):
        expected = 1 - comb(40 - n_relevant, k) / comb(40, k)
        np.testing.assert_allclose(retrieval.recall_at_k(scores, relevant, k), expected, atol=1e-14)


def test_perfect_model():
    _, relevant = queries(2)
    np.testing.assert_array_equal(retrieval.average_precision(relevant.astype(float), relevant), 1.0)
    np.testing.assert_array_equal(retrieval.recall_at_k(relevant.astype(float), relevant, 1), 1.0)


@pytest.mark.parametrize("decimals", [None, 0])
@pytest.mark.parametrize(
    "figure", [retrieval.average_precision, lambda s, r: retrieval.recall_at_k(s, r, 3)], ids=["ap", "recall"]
)
def test_only_the_order_of_scores_counts(figure, decimals):
    scores, relevant = queries(3, decimals)
    values = figure(scores, relevant)
    items = np.random.default_rng(0).permutation(scores.shape[1])
    np.testing.assert_array_equal(figure(scores[:, items], relevant[:, items]), values)
    np.testing.assert_array_equal(figure(np.arctan(scores), relevant), values)
    np.testing.assert_array_equal(figure(scores[::-1], relevant[::-1]), values[::-1])
    # Each query stands on its own, so a caller may cut them into chunks.
    np.testing.assert_array_equal(np.concatenate([figure(scores[:7], relevant[:7]), values[7:]]), values)


def test_inputs_are_left_as_they_are():
    scores, relevant = queries(4)
    before = scores.copy(), relevant.copy()
    retrieval.average_precision(scores, relevant)
    retrieval.recall_at_k(scores, relevant, 2)
    np.testing.assert_array_equal(scores, before[0])
    np.testing.assert_array_equal(relevant, before[1])


@pytest.mark.parametrize(
    ("scores", "relevant", "message"),
    [
        ([1.0, 2.0], [0, 1], "2 non-empty axes"),
        (np.empty((0, 3)), np.empty((0, 3)), "non-empty"),
        ([[1.0, np.nan]], [[0, 1]], "finite"),
        ([[1.0, np.inf]], [[0, 1]], "finite"),
        ([[1.0, 2.0]], [[0, 1, 1]], "shape"),
        ([[1.0, 2.0]], [[0, 2]], "0 and 1"),
        ([[1.0, 2.0], [1.0, 2.0]], [[0, 1], [0, 0]], "first: row 1"),
    ],
)
@pytest.mark.parametrize(
    "figure", [retrieval.average_precision, lambda s, r: retrieval.recall_at_k(s, r, 1)], ids=["ap", "recall"]
)
def test_bad_queries_are_refused(figure, scores, relevant, message):
    with pytest.raises(ValueError, match=message):
        figure(scores, relevant)


@pytest.mark.parametrize("k", [0, -1])
def test_bad_k_is_refused(k):
    scores, relevant = queries(0)
    with pytest.raises(ValueError, match="k must be"):
        retrieval.recall_at_k(scores, relevant, k)
