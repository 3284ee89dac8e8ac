"""Retrieval measured: mean average precision and recall at k, each voice against all faces and each face against all
voices.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import digamma, gammaln

from lowshot.data.dataset import Dataset
from lowshot.evaluation.draws import IntArray
from lowshot.evaluation.protocols import RetrievalProtocol
from lowshot.evaluation.results import Figure
from lowshot.evaluation.scorers import ScoreArray, Scorer, checked_scores
from lowshot.evaluation.trial_files import row_names_array
from lowshot.evaluation.trials import BoolArray, RetrievalTrials
from lowshot.evaluation.verification import identity_codes
from lowshot.metrics.bootstrap import identity_counts, mean_replicates, percentile_interval
from lowshot.metrics.retrieval import average_precision, recall_at_k

# Scores held at once while a block of queries is ranked.
_BLOCK_SCORES = 2**21


@dataclass(frozen=True, eq=False)
class Queries:
    """The queries of one direction and how many items there are for each.

    Args:
        direction: `voice_to_face` or `face_to_voice`.
        seen: as in the trials.
        query: [Q] row numbers of queries that have a relevant item.
        gallery: [G] row numbers of all items.
        query_identity, query_video: [Q] codes.
        gallery_identity, gallery_video: [G] codes, comparable with the queries'.
        relevant: [Q] number of items of the query's identity, its own video left out.
        ranked: [Q] number of items ranked: all but those of its own video.
        left_out: number of queries without a relevant item.
        stratum: U, for every item of the gallery takes part.
    """

    direction: str
    seen: str
    query: IntArray
    gallery: IntArray
    query_identity: IntArray
    query_video: IntArray
    gallery_identity: IntArray
    gallery_video: IntArray
    relevant: IntArray
    ranked: IntArray
    left_out: int
    stratum: str = "U"

    def __len__(self) -> int:
        return len(self.query)

    @property
    def n_identities(self) -> int:
        """Number of identities among the queries."""
        return len(np.unique(self.query_identity))


def retrieval_queries(trials: RetrievalTrials, direction: str, dataset: Dataset) -> Queries:
    """Find the queries of one direction that have something to find."""
    query_modality, gallery_modality = direction.split("_to_")
    rows = {"voice": trials.voices, "face": trials.faces}
    query, gallery = rows[query_modality], rows[gallery_modality]
    codes = {}
    for column in ("identity", "video"):
        codes[column], _ = identity_codes(
            dataset.rows(query_modality)[column].to_numpy()[query],
            dataset.rows(gallery_modality)[column].to_numpy()[gallery],
        )
    (query_identity, gallery_identity), (query_video, gallery_video) = codes["identity"], codes["video"]
    same_identity = np.bincount(gallery_identity, minlength=int(query_identity.max()) + 1)[query_identity]
    # A video belongs to one identity: the items of the query's video are some of its identity's.
    same_video = np.bincount(gallery_video, minlength=int(query_video.max()) + 1)[query_video]
    relevant = same_identity - same_video
    kept = relevant > 0
    return Queries(
        direction=direction,
        seen=trials.seen,
        query=query[kept],
        gallery=gallery,
        query_identity=query_identity[kept],
        query_video=query_video[kept],
        gallery_identity=gallery_identity,
        gallery_video=gallery_video,
        relevant=relevant[kept],
        ranked=len(gallery) - same_video[kept],
        left_out=int((~kept).sum()),
    )


def rank_queries(queries: Queries, scorer: Scorer, dataset: Dataset, recall_at: Sequence[int]) -> pd.DataFrame:
    """Rank the gallery for every query, a block of queries at a time.

    Args:
        queries: as `retrieval_queries` gives them.
        scorer: scores voices against faces.
        dataset: whose rows the queries name.
        recall_at: the k of recall at k.

    Returns:
        One row per query: `query, identity, n_ranked, n_relevant, average_precision, recall@k ..., first_rank, tied`.
        `first_rank` is the expected rank of the first relevant item, from 1, over random orders of equal scores; `tied`
        is 1 where a relevant item scores the same as an irrelevant one.
    """
    modality = queries.direction.split("_")[0]
    blocks = [
        pd.DataFrame(
            {
                "average_precision": average_precision(scores, relevant),
                **{f"recall@{k}": recall_at_k(scores, relevant, k) for k in recall_at},
                "first_rank": _first_rank(scores, relevant),
                "tied": _tied(scores, relevant).astype(int),
            }
        )
        for scores, relevant in _blocks(queries, scorer)
    ]
    table = pd.concat(blocks, ignore_index=True)
    table.insert(0, "query", row_names_array(dataset, modality)[queries.query])
    table.insert(1, "identity", dataset.rows(modality)["identity"].to_numpy()[queries.query])
    table.insert(2, "n_ranked", queries.ranked)
    table.insert(3, "n_relevant", queries.relevant)
    return table


def retrieval_figures(
    queries: Queries, ranking: pd.DataFrame, protocol: RetrievalProtocol, replicates: int, seed: int
) -> list[Figure]:
    """Means over queries with intervals over the queries' identities.

    Args:
        queries: as `retrieval_queries` gives them.
        ranking: as `rank_queries` gives it.
        protocol: metrics and the interval's rule.
        replicates: number of resamples.
        seed: seed of the resamples.
    """
    names, codes = np.unique(queries.query_identity, return_inverse=True)
    counts = identity_counts(len(names), replicates, seed) if len(names) > 1 else None
    figures = []
    for metric, column in _metrics(protocol):
        values = ranking[column].to_numpy()
        interval = None
        if counts is not None:
            resampled = mean_replicates(values, (codes.astype(np.int64),), counts)
            interval = percentile_interval(resampled, protocol.interval.level)
        ties = int(ranking["tied"].sum())
        figures.append(Figure(metric, float(values.mean()), len(queries), len(names), interval, ties))
    return figures


def retrieval_chance(queries: Queries, protocol: RetrievalProtocol) -> list[Figure]:
    """Closed-form figures of a model that knows nothing, by the rule that equal scores share.

    mAP: the mean share of relevant items. Recall at k: the chance that k items drawn without replacement hold a
    relevant one, averaged over queries.
    """
    values = {"average_precision": queries.relevant / queries.ranked}
    for k in protocol.recall_at:
        values[f"recall@{k}"] = 1.0 - _none_drawn(queries.ranked, queries.relevant, k)
    return [
        Figure(metric, float(values[column].mean()), len(queries), queries.n_identities)
        for metric, column in _metrics(protocol)
    ]


def random_order_map(queries: Queries) -> float:
    """Mean average precision expected of rankings in random order, without ties.

    It lies above the share of relevant items, which is what equal scores earn and what `retrieval_chance` gives: a
    lucky hit near the top of a long ranking gains more than an unlucky one loses.

    Source:
        Bestgen, Exact expected average precision of the random baseline for system evaluation, Prague Bulletin of
        Mathematical Linguistics 2015.
    """
    n, r = queries.ranked.astype(np.float64), queries.relevant
    harmonic = digamma(n + 1) - digamma(1)
    rest = np.where(n > 1, (r - 1) / np.maximum(n - 1, 1), 0.0)
    return float(((harmonic + rest * (n - harmonic)) / n).mean())


def _metrics(protocol: RetrievalProtocol) -> list[tuple[str, str]]:
    """Metric names and the columns of a ranking that they are means of."""
    metrics = [("map", "average_precision")] if "map" in protocol.metrics else []
    if "recall" in protocol.metrics:
        metrics += [(f"recall@{k}", f"recall@{k}") for k in protocol.recall_at]
    return metrics


def _none_drawn(ranked: IntArray, relevant: IntArray, k: int) -> npt.NDArray[np.float64]:
    """Chance that k draws without replacement miss every relevant item: C(n - r, k) / C(n, k)."""
    rest = ranked - relevant
    possible = rest >= k
    n, m = np.where(possible, ranked, k), np.where(possible, rest, k)
    logs = gammaln(m + 1) - gammaln(m - k + 1) - gammaln(n + 1) + gammaln(n - k + 1)
    return np.where(possible, np.exp(logs), 0.0)


def _blocks(queries: Queries, scorer: Scorer) -> Iterator[tuple[ScoreArray, BoolArray]]:
    """Scores and relevance of some queries at a time: [q, G] each."""
    step = max(1, _BLOCK_SCORES // len(queries.gallery))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        if queries.direction == "voice_to_face":
            scores = scorer.matrix(queries.query[part], queries.gallery)
        else:
            scores = np.ascontiguousarray(scorer.matrix(queries.gallery, queries.query[part]).T)
        checked_scores(scores)
        own_video = queries.query_video[part, None] == queries.gallery_video
        relevant = (queries.query_identity[part, None] == queries.gallery_identity) & ~own_video
        # Below everything else and irrelevant, an item changes neither average precision nor recall: it is as good as
        # absent, and all queries keep galleries of one width.
        lowest = scores.min(axis=1, keepdims=True).astype(np.float64)
        floor = lowest - np.maximum(1.0, np.abs(lowest))
        yield np.where(own_video, floor.astype(scores.dtype), scores), relevant


def _first_rank(scores: ScoreArray, relevant: BoolArray) -> npt.NDArray[np.float64]:
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    level = scores == best
    hits = (level & relevant).sum(axis=1)
    # Of m irrelevant items in random order with r relevant ones, m / (r + 1) are expected before the first of those.
    return 1.0 + (scores > best).sum(axis=1) + (level & ~relevant).sum(axis=1) / (hits + 1)


def _tied(scores: ScoreArray, relevant: BoolArray) -> BoolArray:
    order = scores.argsort(axis=1)
    ranked = np.take_along_axis(scores, order, axis=1)
    truth = np.take_along_axis(relevant, order, axis=1)
    # A block of equal scores that holds both kinds has them side by side somewhere, in whatever order it is.
    return ((ranked[:, 1:] == ranked[:, :-1]) & (truth[:, 1:] != truth[:, :-1])).any(axis=1)
