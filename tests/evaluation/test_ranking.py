"""Retrieval tile by tile against each query's ranking made on its own."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from lowshot.data.dataset import Dataset
from lowshot.errors import RunError
from lowshot.evaluation import ranking
from lowshot.evaluation.protocols.retrieval import Queries, find_queries, rank_queries
from lowshot.evaluation.scorers import EmbeddingScorer

DIRECTIONS = ("voice_to_face", "face_to_voice")
AT = (1, 2, 5, 200)


class Matrix:
    """Scores that were made before, and what was asked of them."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores
        self.asked: list[tuple[int, int]] = []

    def pairs(self, voice: np.ndarray, face: np.ndarray) -> np.ndarray:
        return self.scores[voice, face]

    def matrix(self, voice: np.ndarray, face: np.ndarray) -> np.ndarray:
        self.asked.append((len(voice), len(face)))
        return self.scores[np.ix_(voice, face)]


@pytest.fixture(scope="module")
def queries(dataset: Dataset) -> list[Queries]:
    rng = np.random.default_rng(0)
    # In no order, not all of them, and one voice twice.
    voices = np.append(rng.permutation(len(dataset.voices))[:90], 5)
    voices[0] = 5
    faces = rng.permutation(len(dataset.faces))[:140]
    return [find_queries(voices, faces, "unseen-unheard", direction, dataset) for direction in DIRECTIONS]


def scores_of(dataset: Dataset, decimals: int | None, dtype: type) -> np.ndarray:
    rng = np.random.default_rng(1)
    same = dataset.voices["identity"].to_numpy()[:, None] == dataset.faces["identity"].to_numpy()
    scores = rng.normal(size=same.shape) + same
    return (scores if decimals is None else np.round(scores, decimals)).astype(dtype)


def one_by_one(queries: Queries, scores: np.ndarray, dataset: Dataset) -> pd.DataFrame:
    """Every query's ranking, from its definition; recall by random orders is left to the tests of the metrics."""
    side, other = queries.direction.split("_to_")
    own, items = dataset.rows(side), dataset.rows(other).iloc[queries.gallery]
    rows = []
    for query in queries.query:
        ranked = (items["video"] != own["video"].iloc[query]).to_numpy()
        found = scores[query, queries.gallery] if side == "voice" else scores[queries.gallery, query]
        found, truth = found[ranked], (items["identity"] == own["identity"].iloc[query]).to_numpy()[ranked]
        best = found[truth].max()
        level = found == best
        rows.append(
            {
                "query": own["path"].iloc[query],
                "n_ranked": ranked.sum(),
                "n_relevant": truth.sum(),
                "average_precision": average_precision_score(truth, found),
                "first_rank": 1 + (found > best).sum() + (level & ~truth).sum() / ((level & truth).sum() + 1),
                "tied": int(bool(set(found[truth]) & set(found[~truth]))),
            }
        )
    return pd.DataFrame(rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [None, 1, -5])
def test_every_query_is_ranked_as_if_it_were_alone(dataset, queries, decimals, dtype) -> None:
    scores = scores_of(dataset, decimals, dtype)
    for asked, table in zip(queries, rank_queries(queries, Matrix(scores), dataset, AT), strict=True):
        expected = one_by_one(asked, scores, dataset)
        pd.testing.assert_frame_equal(table[expected.columns], expected, check_dtype=False, rtol=1e-12)
        untied = table["tied"] == 0
        for k in AT:
            hit = (table.loc[untied, "first_rank"] <= k).astype(float)
            np.testing.assert_array_equal(table.loc[untied, f"recall@{k}"], hit)


@pytest.mark.parametrize(
    "limits",
    [
        {"_TILE_SIDE": 7, "_TILE_SCORES": 70},
        {"_TILE_SIDE": 1},
        {"_CHUNK_SCORES": 1},
        {"_GATHERED_SCORES": 1},
        {"_TRACKED_ITEMS": 1},
        {"_TRACKED_ITEMS": 50, "_TILE_SIDE": 11},
    ],
)
@pytest.mark.parametrize("threads", ["1", "3"])
def test_tiles_turns_and_threads_change_nothing(dataset, queries, limits, threads, monkeypatch) -> None:
    scorer = Matrix(scores_of(dataset, 1, np.float32))
    whole = rank_queries(queries, scorer, dataset, AT)
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    for name, limit in limits.items():
        monkeypatch.setattr(ranking, name, limit)
    for table, expected in zip(rank_queries(queries, scorer, dataset, AT), whole, strict=True):
        pd.testing.assert_frame_equal(table, expected)


def test_directions_asked_apart_or_the_other_way_round_are_the_same(dataset, queries) -> None:
    scorer = Matrix(scores_of(dataset, 1, np.float32))
    both = rank_queries(queries, scorer, dataset, AT)
    apart = [rank_queries([asked], scorer, dataset, AT)[0] for asked in queries]
    turned = rank_queries(queries[::-1], scorer, dataset, AT)[::-1]
    for tables in zip(both, apart, turned, strict=True):
        pd.testing.assert_frame_equal(tables[0], tables[1])
        pd.testing.assert_frame_equal(tables[0], tables[2])


def test_both_directions_need_every_score_once(dataset, queries, monkeypatch) -> None:
    monkeypatch.setattr(ranking, "_TILE_SIDE", 30)
    monkeypatch.setattr(ranking, "_GATHERED_SCORES", 16)
    scorer = Matrix(scores_of(dataset, None, np.float32))
    rank_queries(queries, scorer, dataset, AT)
    tiles = [shape for shape in scorer.asked if shape[0] * shape[1] > 16]
    assert sum(height * width for height, width in tiles) == len(queries[1].gallery) * len(queries[0].gallery)
    assert max(height for height, _ in tiles) <= 31


def test_queries_of_another_retrieval_are_ranked_in_it(dataset, queries) -> None:
    scorer = Matrix(scores_of(dataset, 1, np.float32))
    other = [
        find_queries(np.arange(60), np.arange(100), "unseen-unheard", direction, dataset) for direction in DIRECTIONS
    ]
    mixed = rank_queries([queries[0], other[1], other[0], queries[1]], scorer, dataset, AT)
    for table, asked in zip(mixed, (queries[0], other[1], other[0], queries[1]), strict=True):
        pd.testing.assert_frame_equal(table, rank_queries([asked], scorer, dataset, AT)[0])
    assert rank_queries([], scorer, dataset, AT) == []


def test_one_score_that_is_no_number_is_refused(dataset, queries) -> None:
    scores = scores_of(dataset, None, np.float32)
    scores[queries[0].query[0], queries[0].gallery[0]] = np.nan
    with pytest.raises(RunError, match="not finite"):
        rank_queries(queries, Matrix(scores), dataset, AT)


def test_equal_embeddings_read_as_chance_in_every_tile(dataset, queries, monkeypatch) -> None:
    monkeypatch.setattr(ranking, "_TILE_SIDE", 13)
    vector = np.random.default_rng(0).standard_normal(37)
    scorer = EmbeddingScorer(np.tile(vector, (len(dataset.voices), 1)), np.tile(vector, (len(dataset.faces), 1)))
    for asked, table in zip(queries, rank_queries(queries, scorer, dataset, AT), strict=True):
        np.testing.assert_allclose(table["average_precision"], asked.relevant / asked.ranked, rtol=1e-15)
        assert table["tied"].all()
