"""Rankings by counting against sorted ones, and against counts made one by one."""

import numpy as np
import pytest

from lowshot.metrics import retrieval
from lowshot.metrics import streaming_ranking as ranking


def thresholds_of(rng, scores, most):
    """Some of each row's scores and some others, rising; some rows have none."""
    starts, values = [0], []
    for row in scores:
        count = rng.integers(0, most + 1)
        taken = rng.choice(row[np.isfinite(row)], count) if count else np.empty(0)
        values.append(np.sort(np.concatenate([taken, rng.normal(size=count // 2)]).astype(scores.dtype)))
        starts.append(starts[-1] + len(values[-1]))
    return np.array(starts), np.concatenate(values)


def count_by_loop(scores, starts, thresholds):
    at_least, above = [], []
    for row in range(len(scores)):
        for threshold in thresholds[starts[row] : starts[row + 1]]:
            at_least.append(sum(score >= threshold for score in scores[row]))
            above.append(sum(score > threshold for score in scores[row]))
    return at_least, above


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [None, 2, 0])
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (9, 40), (4, 300)])
def test_counts_match_a_loop(shape, decimals, dtype):
    rng = np.random.default_rng(shape[1])
    scores = rng.normal(size=shape)
    scores = (scores if decimals is None else np.round(scores, decimals)).astype(dtype)
    scores[rng.random(shape) < 0.1] = -np.inf
    starts, thresholds = thresholds_of(rng, scores, 6)
    found = ranking.count_items(scores, starts, thresholds)
    np.testing.assert_array_equal(found, count_by_loop(scores, starts, thresholds))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "values",
    [
        [0.0, -0.0, 0.0, 1.0],
        [5.0, 5.0, 5.0, 5.0],
        [-3e38, 3e38, 0.0, 1.0],
        [1e-40, 2e-40, -1e-40, 0.0],
        [1e30, 1.0, 1.0 + 1e-6, -1e30],
        [1000.0, 1000.0001, 1000.0002, 999.9999],
    ],
)
def test_counts_are_exact_whatever_the_scores_are(values, dtype):
    scores = np.array([values, values[::-1]], dtype=dtype)
    thresholds = np.concatenate([np.sort(scores[0]), np.sort(scores[1])])
    starts = np.array([0, 4, 8])
    with np.errstate(all="raise", under="ignore"):
        found = ranking.count_items(scores, starts, thresholds)
    np.testing.assert_array_equal(found, count_by_loop(scores, starts, thresholds))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_size_of_blocks_changes_nothing(dtype, monkeypatch):
    rng = np.random.default_rng(0)
    scores = np.round(rng.normal(size=(23, 50)), 1).astype(dtype)
    starts, thresholds = thresholds_of(rng, scores, 5)
    whole = ranking.count_items(scores, starts, thresholds)
    for elements in (1, 50, 130):
        monkeypatch.setattr(ranking, "_BLOCK_ELEMENTS", elements)
        np.testing.assert_array_equal(ranking.count_items(scores, starts, thresholds), whole)


def found_by_counting(scores, relevant):
    rows, columns = np.nonzero(relevant)
    pairs = ranking.joined(rows, scores[rows, columns])
    pairs.sort()
    _, values = ranking.parted(pairs)
    starts = np.append(0, np.cumsum(relevant.sum(axis=1)))
    return ranking.ranking_of(starts, values, *ranking.count_items(scores, starts, values))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [None, 1, 0, -5])
def test_figures_are_those_of_sorted_rankings_to_the_bit(decimals, dtype):
    rng = np.random.default_rng(1)
    relevant = rng.random((30, 64)) < 0.1
    relevant[np.arange(30), rng.integers(0, 64, 30)] = True
    scores = rng.normal(size=(30, 64)) + relevant
    # With -5 decimals all scores are zero: a collapsed model.
    scores = (scores if decimals is None else np.round(scores, decimals)).astype(dtype)
    found = found_by_counting(scores, relevant)
    np.testing.assert_array_equal(ranking.average_precision(found), retrieval.average_precision(scores, relevant))
    for k in (1, 2, 5, 10, 64, 100):
        np.testing.assert_array_equal(ranking.recall_at_k(found, k), retrieval.recall_at_k(scores, relevant, k))


def test_the_first_rank_is_the_mean_over_orders_of_ties():
    # Two relevant items and three others share the top behind one that stands alone: the first is at 2 + 3 / 3.
    scores = np.array([[9.0, 5, 5, 5, 5, 5, 1], [1, 2, 3, 4, 5, 6, 7]])
    relevant = np.array([[0, 1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 1, 0, 0]], dtype=bool)
    found = found_by_counting(scores, relevant)
    np.testing.assert_allclose(ranking.first_rank(found), [3, 3])
    np.testing.assert_array_equal(ranking.tied_queries(found), [True, False])
    rng = np.random.default_rng(0)
    ranks = []
    for _ in range(4000):
        order = np.argsort(-(scores[0] + 0.1 * rng.random(7)))
        ranks.append(1 + np.flatnonzero(relevant[0][order])[0])
    assert np.mean(ranks) == pytest.approx(3, abs=0.1)


def test_relevant_items_that_tie_among_themselves_are_no_tie():
    found = found_by_counting(np.array([[2.0, 2.0, 1.0]]), np.array([[True, True, False]]))
    assert not ranking.tied_queries(found).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_joined_numbers_sort_by_place_then_score_and_come_apart_again(dtype):
    rng = np.random.default_rng(2)
    place = rng.integers(0, 5, 200)
    scores = np.round(rng.normal(size=200), 1).astype(dtype)
    numbers = np.sort(ranking.joined(place, scores))
    order = np.lexsort((scores, place))
    places, values = ranking.parted(numbers)
    np.testing.assert_array_equal(places, place[order])
    np.testing.assert_array_equal(values, scores[order])
    assert values.dtype == dtype


def test_a_k_below_one_is_refused():
    found = found_by_counting(np.array([[1.0, 2.0]]), np.array([[True, False]]))
    with pytest.raises(ValueError, match="at least 1"):
        ranking.recall_at_k(found, 0)
