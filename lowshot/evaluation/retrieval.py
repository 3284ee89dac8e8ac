"""Retrieval: each voice against all faces and each face against all voices, one row of figures per query."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import digamma

from lowshot.data.dataset import Dataset
from lowshot.evaluation.groups import group_columns
from lowshot.evaluation.ranking import Side, rank
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.scorers import Scorer
from lowshot.evaluation.trial_files import row_names_array
from lowshot.evaluation.trials import RetrievalTrials
from lowshot.evaluation.verification import identity_codes
from lowshot.metrics.streaming_ranking import Ranking, average_precision, first_rank, recall_at_k, tied_queries

_QUERY = ("query", "identity", "n_ranked", "n_relevant")


@dataclass(frozen=True, eq=False)
class Queries:
    """The queries of one direction and how many items there are for each.

    Args:
        direction: `voice_to_face` or `face_to_voice`.
        seen: as in the trials.
        query: [Q] row numbers of queries that have a relevant item.
        gallery: [G] row numbers of all items.
        relevant: [Q] number of items of the query's identity, its own video left out.
        ranked: [Q] number of items ranked: all but those of its own video.
        unmatched: number of queries without a relevant item.
        stratum: U, for every item of the gallery takes part.
        skipped: as in the trials.
    """

    direction: str
    seen: str
    query: IntArray
    gallery: IntArray
    relevant: IntArray
    ranked: IntArray
    unmatched: int
    stratum: str = "U"
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.query)


def retrieval_queries(trials: RetrievalTrials, direction: str, dataset: Dataset) -> Queries:
    """Find the queries of one direction that have something to find."""
    query_modality, gallery_modality = direction.split("_to_")
    rows = {"voice": trials.voices, "face": trials.faces}
    query, gallery = rows[query_modality], rows[gallery_modality]
    same = {}
    for column in ("identity", "video"):
        (of_query, of_gallery), n_codes = identity_codes(
            dataset.rows(query_modality)[column].to_numpy()[query],
            dataset.rows(gallery_modality)[column].to_numpy()[gallery],
        )
        same[column] = np.bincount(of_gallery, minlength=n_codes)[of_query]
    same_identity, same_video = same["identity"], same["video"]
    # A video belongs to one identity: the items of the query's video are some of its identity's.
    relevant = same_identity - same_video
    kept = relevant > 0
    return Queries(
        direction=direction,
        seen=trials.seen,
        query=query[kept],
        gallery=gallery,
        relevant=relevant[kept],
        ranked=len(gallery) - same_video[kept],
        unmatched=int((~kept).sum()),
        skipped=trials.skipped,
    )


def rank_queries(
    queries: Sequence[Queries], scorer: Scorer, dataset: Dataset, recall_at: Sequence[int]
) -> list[pd.DataFrame]:
    """Rank the gallery for every query, the two directions of one retrieval together.

    Args:
        queries: as `retrieval_queries` gives them, in any number.
        scorer: scores voices against faces.
        dataset: whose rows the queries name.
        recall_at: the k of recall at k.

    Returns:
        A table for each of `queries`, one row per query: `query, identity, n_ranked, n_relevant, average_precision,
        recall@k ..., first_rank, tied`. `first_rank` is the expected rank of the first relevant item, from 1, over
        random orders of equal scores; `tied` is 1 where a relevant item scores the same as an irrelevant one.
        Attributes of the query by which figures are parted, such as `gender`, come last.
    """
    rankings: dict[int, pd.DataFrame] = {}
    for group in _together(queries):
        by_direction = {queries[place].direction: place for place in group}
        sides = _sides([queries[place] for place in group], dataset)
        found: dict[str, list[pd.DataFrame]] = {direction: [] for direction in by_direction}
        for direction, lines, ranking in rank(scorer, sides["voice"], sides["face"], list(by_direction)):
            found[direction].append(pd.DataFrame(_columns(ranking, recall_at), index=lines))
        for direction, place in by_direction.items():
            asked = queries[place]
            lines = sides[direction.split("_")[0]].lines_of(asked.query)
            rankings[place] = pd.concat(found[direction]).loc[lines].reset_index(drop=True)
    return [_with_head(rankings[place], query_table(asked, dataset)) for place, asked in enumerate(queries)]


def _together(queries: Sequence[Queries]) -> list[list[int]]:
    """Put opposite directions of one retrieval together: the queries of each are in the gallery of the other."""
    groups: list[list[int]] = []
    for place, asked in enumerate(queries):
        for group in groups:
            other = queries[group[0]]
            if (
                len(group) == 1
                and other.direction != asked.direction
                and np.isin(asked.query, other.gallery).all()
                and np.isin(other.query, asked.gallery).all()
            ):
                group.append(place)
                break
        else:
            groups.append([place])
    return groups


def _sides(queries: Sequence[Queries], dataset: Dataset) -> dict[str, Side]:
    """The voices and the faces that take part."""
    rows: dict[str, IntArray] = {}
    # Queries of one direction are some of the gallery of the other, which has the last word.
    for asked in queries:
        rows[asked.direction.split("_")[0]] = asked.query
    for asked in queries:
        rows[asked.direction.split("_")[-1]] = asked.gallery
    codes: dict[str, list[IntArray]] = {
        column: identity_codes(*(dataset.rows(side)[column].to_numpy()[rows[side]] for side in rows))[0]
        for column in ("identity", "video")
    }
    return {side: Side.of(rows[side], codes["identity"][k], codes["video"][k]) for k, side in enumerate(rows)}


def _columns(ranking: Ranking, recall_at: Sequence[int]) -> dict[str, np.ndarray]:
    return {
        "average_precision": average_precision(ranking),
        **{f"recall@{k}": recall_at_k(ranking, k) for k in recall_at},
        "first_rank": first_rank(ranking),
        "tied": tied_queries(ranking).astype(int),
    }


def _with_head(ranking: pd.DataFrame, head: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([head[[*_QUERY]], ranking, head.drop(columns=[*_QUERY])], axis=1)


def query_table(queries: Queries, dataset: Dataset) -> pd.DataFrame:
    """The queries before anything is ranked, one per row: `query, identity, n_ranked, n_relevant`, and attributes."""
    modality = queries.direction.split("_")[0]
    names = row_names_array(dataset, modality)[queries.query]
    identity = dataset.rows(modality)["identity"].to_numpy()[queries.query]
    table = pd.DataFrame(dict(zip(_QUERY, (names, identity, queries.ranked, queries.relevant), strict=True)))
    return pd.concat([table, group_columns(dataset, modality, queries.query)], axis=1)


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
