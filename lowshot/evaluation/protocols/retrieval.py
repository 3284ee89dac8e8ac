"""Retrieval: every item of the other modality is ranked; items of the query's identity are relevant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.groups import group_columns, groups
from lowshot.evaluation.protocols.base import Joining, Located, Request, TableProtocol, Trials
from lowshot.evaluation.protocols.definition import Definition, Direction, Group, OneSidedRule
from lowshot.evaluation.ranking import Side, rank
from lowshot.evaluation.resampled import Resampled, resampled_means
from lowshot.evaluation.results import Figure
from lowshot.evaluation.retrieval_chance import listed_chance, none_drawn, random_order_map
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.score_files import Place, ScoreFile
from lowshot.evaluation.scorers import Scorer
from lowshot.evaluation.strata import has_trials
from lowshot.evaluation.trial_lists.counts import Audit
from lowshot.evaluation.trial_lists.listed import GalleryList, TrialList, duplicated
from lowshot.evaluation.trial_lists.media_metadata import MediaMetadata
from lowshot.evaluation.trial_lists.resolve import known_identities, seen_of_rows
from lowshot.evaluation.trials import row_names_array
from lowshot.metrics.bootstrap import (
    Interval,
    identity_codes,
    identity_counts,
    mean_replicates,
    median_replicates,
    percentile_interval,
)
from lowshot.metrics.streaming_ranking import Ranking, average_precision, first_rank, recall_at_k, tied_queries
from lowshot.metrics.variance_correction import corrected
from lowshot.metrics.verification import FloatArray
from lowshot.schema import DIRECTIONS, MIXED, MODALITIES, UNSEEN

MEDIAN_RANK = "median_rank"
_QUERY = ("query", "identity", "n_ranked", "n_relevant")


class RetrievalDefinition(Definition):
    """protocols/retrieval.yaml."""

    name: Literal["retrieval"]
    directions: tuple[Direction, ...] = Field(min_length=1)
    same_video: Literal["excluded"]
    ties: Literal["shared"]
    groups: tuple[Group, ...]
    metrics: tuple[Literal["map", "recall", "median_rank"], ...] = Field(min_length=1)
    recall_at: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    interval: OneSidedRule


@dataclass(frozen=True, eq=False)
class Queries(Trials):
    """Queries of one direction, and how many items each has.

    Args:
        direction: `voice_to_face` or `face_to_voice`.
        seen, skipped: as in `Trials`.
        voices, faces: row numbers of all that take part.
        query: [Q] row numbers of queries that have a relevant item.
        relevant: [Q] number of items of the query's identity, without those of its own video.
        ranked: [Q] number of items ranked: all but those of its own video.
        unmatched: number of queries without a relevant item.
    """

    direction: str
    seen: str
    voices: IntArray
    faces: IntArray
    query: IntArray
    relevant: IntArray
    ranked: IntArray
    unmatched: int
    stratum: str = "U"
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.query)

    def rows(self, modality: str) -> IntArray:
        return {"voice": self.voices, "face": self.faces}[modality]

    @property
    def gallery(self) -> IntArray:
        """[G] row numbers of all items."""
        return self.rows(self.direction.split("_to_")[1])


def find_queries(
    voices: IntArray, faces: IntArray, seen: str, direction: str, dataset: Dataset, skipped: int = 0
) -> Queries:
    """Find the queries of one direction that have a relevant item.

    Args:
        voices, faces: row numbers, all with an identity.
        seen, direction, skipped: as in `Queries`.
        dataset: whose rows they are.
    """
    query_modality, gallery_modality = direction.split("_to_")
    rows = {"voice": voices, "face": faces}
    query, gallery = rows[query_modality], rows[gallery_modality]
    same = {}
    for column in ("identity", "video"):
        (of_query, of_gallery), n_codes = identity_codes(
            dataset.rows(query_modality)[column].to_numpy()[query],
            dataset.rows(gallery_modality)[column].to_numpy()[gallery],
        )
        same[column] = np.bincount(of_gallery, minlength=n_codes)[of_query]
    # A video belongs to one identity: items of the query's video are among those of its identity.
    relevant = same["identity"] - same["video"]
    kept = relevant > 0
    return Queries(
        direction=direction,
        seen=seen,
        voices=voices,
        faces=faces,
        query=query[kept],
        relevant=relevant[kept],
        ranked=len(gallery) - same["video"][kept],
        unmatched=int((~kept).sum()),
        skipped=skipped,
    )


def rank_queries(
    queries: Sequence[Queries], scorer: Scorer, dataset: Dataset, recall_at: Sequence[int]
) -> list[pd.DataFrame]:
    """Rank the gallery for every query, both directions of one retrieval together.

    Args:
        queries: as `find_queries` returns them.
        scorer: scores voices against faces.
        dataset: whose rows the queries name.
        recall_at: the k of recall at k.

    Returns:
        A table for each of `queries`, one row per query: `query, identity, n_ranked, n_relevant, average_precision,
        recall@k ..., first_rank, tied`. `first_rank` is the expected rank of the first relevant item, from 1, over
        random orders of equal scores; `tied` is 1 if a relevant item scores the same as an irrelevant one. Attributes
        of the query such as `gender` come last.
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
    heads = [query_table(asked, dataset) for asked in queries]
    return [
        pd.concat([head[[*_QUERY]], rankings[place], head.drop(columns=[*_QUERY])], axis=1)
        for place, head in enumerate(heads)
    ]


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


def _columns(ranking: Ranking, recall_at: Sequence[int]) -> dict[str, npt.NDArray[np.float64]]:
    return {
        "average_precision": average_precision(ranking),
        **{f"recall@{k}": recall_at_k(ranking, k) for k in recall_at},
        "first_rank": first_rank(ranking),
        "tied": tied_queries(ranking).astype(int),
    }


def query_table(queries: Queries, dataset: Dataset) -> pd.DataFrame:
    """Queries before anything is ranked: `query, identity, n_ranked, n_relevant`, and attributes."""
    modality = queries.direction.split("_")[0]
    names = row_names_array(dataset, modality)[queries.query]
    identity = dataset.rows(modality)["identity"].to_numpy()[queries.query]
    table = pd.DataFrame(dict(zip(_QUERY, (names, identity, queries.ranked, queries.relevant), strict=True)))
    return pd.concat([table, group_columns(dataset, modality, queries.query)], axis=1)


class Retrieval(TableProtocol[Queries]):
    """Cross-modal retrieval."""

    name = "retrieval"
    definition_kind = RetrievalDefinition
    list_kind = GalleryList
    compared = (
        {
            "metric": "map",
            "direction": "voice_to_face",
            "stratum": "U",
            "seen": UNSEEN,
            "gallery_size": None,
        },
    )

    def build(self, request: Request) -> list[Queries]:
        people = request.population
        return self._queries(people.voices, people.faces, people.seen, request.dataset, 0, request.warnings)

    def _queries(
        self, voices: IntArray, faces: IntArray, seen: str, dataset: Dataset, skipped: int, warnings: list[str]
    ) -> list[Queries]:
        built = []
        for direction in self.definition.directions:
            queries = find_queries(voices, faces, seen, direction, dataset, skipped)
            name = f"retrieval {direction}"
            needs = "nothing to find in another video"
            if has_trials(len(queries), queries.unmatched, 0, name, "queries", needs, warnings):
                built.append(queries)
                prevalence = float((queries.relevant / queries.ranked).mean())
                warnings.append(
                    f"{name}: chance mAP is that of equal scores, {prevalence:.4f}; "
                    f"a random order expects {random_order_map(queries.ranked, queries.relevant):.4f}"
                )
        return built

    # Scores and figures.

    def table(self, trials: Queries, dataset: Dataset) -> pd.DataFrame:
        return query_table(trials, dataset)

    def score(self, lists: Sequence[Queries], scorer: Scorer, dataset: Dataset) -> list[pd.DataFrame]:
        """Tables as `rank_queries` gives them."""
        return rank_queries(lists, scorer, dataset, self.definition.recall_at)

    def figures(self, table: pd.DataFrame, replicates: int, seed: int) -> list[Figure]:
        """Means over queries and the median rank, with intervals over the identities of the queries."""
        figures = []
        definition = self.definition
        for group, rows in groups(table, definition.groups):
            part = table[rows]
            codes, counts, n_identities = None, None, None
            if "identity" in part.columns:
                (codes,), n_identities = identity_codes(part["identity"].to_numpy(dtype=object))
                # A single identity has no spread to resample.
                counts = identity_counts(n_identities, replicates, seed) if n_identities > 1 else None
            ties = int(part["tied"].sum())
            for metric, column in _metrics(definition):
                values = part[column].to_numpy(dtype=np.float64)
                interval = None
                if codes is not None and counts is not None:
                    interval = _interval(metric, values, codes, counts, definition.interval)
                figures.append(
                    Figure(metric, _summary(metric, values), len(part), n_identities, interval, ties, group=group)
                )
        return figures

    def chance_figures(self, table: pd.DataFrame) -> list[Figure]:
        """Closed-form figures, by the rule that equal scores share.

        mAP: the mean share of relevant items. Recall at k: the probability that k items drawn without replacement hold
        a relevant one, averaged over queries. Median rank: the median over queries of the expected rank of the first
        relevant item, (n + 1) / (r + 1) for r relevant among n.
        """
        figures = []
        definition = self.definition
        for group, rows in groups(table, definition.groups):
            part = table[rows]
            ranked, relevant = part["n_ranked"].to_numpy(), part["n_relevant"].to_numpy()
            values = {"average_precision": relevant / ranked, "first_rank": (ranked + 1) / (relevant + 1)}
            for k in definition.recall_at:
                values[f"recall@{k}"] = 1.0 - none_drawn(ranked, relevant, k)
            people = part["identity"].nunique() if "identity" in part.columns else None
            figures += [
                Figure(metric, _summary(metric, values[column]), len(part), people, group=group)
                for metric, column in _metrics(definition)
            ]
        return figures

    # Paired comparison.

    def compared_columns(self, figure: Mapping[str, object]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return _QUERY, ("average_precision",)

    def resample(
        self, tables: Sequence[pd.DataFrame], figure: Mapping[str, object], replicates: int, seed: int
    ) -> Resampled:
        values = [table["average_precision"].to_numpy() for table in tables]
        return resampled_means(values, tables[0], replicates, seed)

    # Score tables as files.

    @property
    def score_columns(self) -> tuple[str, ...]:
        recalls = (f"recall@{k}" for k in self.definition.recall_at)
        return ("n_ranked", "n_relevant", "average_precision", "first_rank", "tied", *recalls)

    def read_scores(self, file: ScoreFile, place: Place, warnings: list[str]) -> list[tuple[Place, pd.DataFrame]]:
        if not place["direction"]:
            names = " or ".join(f"retrieval-{place['seen']}-{direction}.csv" for direction in DIRECTIONS)
            raise RequestError(f"{file.path}: the name does not say what is searched; call it {names}")
        for column in self.score_columns:
            file.numbers(column, finite=True)
        table = file.table
        shares = ["average_precision", "tied", *(f"recall@{k}" for k in self.definition.recall_at)]
        beyond = ((table[shares] < 0) | (table[shares] > 1)).any(axis=1)
        file.refuse(beyond, lambda _: f"one of {', '.join(shares)} lies outside [0, 1]")
        few = (table["n_relevant"] < 1) | (table["n_ranked"] < table["n_relevant"])
        file.refuse(few, lambda row: f"{row['n_relevant']:g} relevant of {row['n_ranked']:g} ranked cannot be")
        file.check_identity(warnings)
        file.warn_of_duplicates(("query",), warnings)
        return [(place, table)]

    # Trial lists.

    def join(self, found: Sequence[Located], joining: Joining) -> list[Queries]:
        """Make queries of a list of voices and a list of faces.

        Raises:
            RequestError: not one list of each modality, a repeated item, an item without identity, or one with another
                identity than the manifest says.
        """
        dataset, meta = joining.dataset, joining.meta
        rows: dict[str, IntArray] = {}
        seen = []
        for located in found:
            listed = located.listed
            assert isinstance(listed, GalleryList)
            if listed.modality in rows:
                raise RequestError(
                    f"{listed.path}: a second list of {listed.modality}s; evaluate one retrieval at a time"
                )
            (rows[listed.modality],) = located.rows
            (known,) = known_identities(listed, located.rows, dataset)
            pairs = list(zip(known, listed.identity, strict=True))
            same = {(a, b): (meta.canonical(a) == meta.canonical(b) if meta else a == b) for a, b in set(pairs)}
            for trial, pair in enumerate(pairs):
                if not same[pair]:
                    raise RequestError(
                        f"{listed.place(trial)}: identity '{pair[1]}', but the manifest says '{pair[0]}'"
                    )
            twice = duplicated(*located.rows)
            if twice.any():
                trial = int(twice.argmax())
                raise RequestError(f"{listed.place(trial)}: '{listed.name[trial]}' stands in the list already")
            seen.append(seen_of_rows(listed, located.rows, dataset))
        missing = {*MODALITIES} - set(rows)
        if missing:
            path, other = found[0].listed.path, missing.pop()
            raise RequestError(
                f"{path}: no row with modality '{other}'; retrieval needs both: add the list of {other}s"
            )
        whose = seen[0] if seen[0] == seen[1] else MIXED
        skipped = sum(located.skipped for located in found)
        return self._queries(rows["voice"], rows["face"], whose, dataset, skipped, joining.warnings)

    def audited_together(self, lists: Sequence[TrialList]) -> list[list[TrialList]]:
        modalities = sorted(modality for listed in lists for modality, _ in listed.media())
        return [list(lists)] if modalities == sorted(MODALITIES) else [[listed] for listed in lists]

    def audit(self, found: Audit, lists: Sequence[TrialList], facts: Sequence[Sequence[MediaMetadata]]) -> None:
        galleries = [listed for listed in lists if isinstance(listed, GalleryList)]
        found.counts["protocol"] = self.name
        if len(galleries) == 1:
            (only,) = galleries
            found.counts |= {"items": len(only), "modality": only.modality}
            found.counts["duplicate_items"] = int(duplicated(only.name).sum())
            return
        for part in galleries:
            found.counts[f"{part.modality}s"] = len(part)
            found.counts[f"duplicate_{part.modality}s"] = int(duplicated(part.name).sum())
        sizes = np.concatenate([np.unique(whose[0].identity, return_counts=True)[1] for whose in facts])
        found.counts |= {"fewest_items_of_an_identity": int(sizes.min()), "most_items_of_an_identity": int(sizes.max())}
        of = {modality: whose[0] for part, whose in zip(lists, facts, strict=True) for modality, _ in part.media()}
        for direction in DIRECTIONS:
            query, gallery = direction.split("_to_")
            for name, value in listed_chance(of[query], of[gallery], self.definition.recall_at).items():
                found.counts[f"chance_{name}_{direction}"] = value

    def list_files(self, lists: Sequence[Queries], dataset: Dataset) -> dict[str, tuple[pd.DataFrame, dict[str, int]]]:
        """One file of all voices and faces with their identities: `modality, path, identity`."""
        files = {}
        for part in lists[:1]:
            tables = []
            for modality in MODALITIES:
                rows = part.rows(modality)
                names = row_names_array(dataset, modality)[rows]
                identity = dataset.rows(modality)["identity"].to_numpy()[rows]
                tables.append(pd.DataFrame({"modality": modality, "path": names, "identity": identity}))
            counts = {"voices": len(part.voices), "faces": len(part.faces)}
            files[f"{self.name}-{part.seen}.csv"] = (pd.concat(tables, ignore_index=True), counts)
        return files


def _interval(
    metric: str, values: FloatArray, codes: IntArray, counts: npt.NDArray[np.int32], rule: OneSidedRule
) -> Interval:
    resample = median_replicates if metric == MEDIAN_RANK else mean_replicates
    bounds = (1.0, float("inf")) if metric == MEDIAN_RANK else (0.0, 1.0)
    resampled = corrected(
        _summary(metric, values), resample(values, (codes,), counts), counts, level=rule.level, bounds=bounds
    )
    return percentile_interval(resampled, rule.level, rule.method)


def _metrics(definition: RetrievalDefinition) -> list[tuple[str, str]]:
    """Metric names and the columns of a ranking that they summarise."""
    metrics = [("map", "average_precision")] if "map" in definition.metrics else []
    if "recall" in definition.metrics:
        metrics += [(f"recall@{k}", f"recall@{k}") for k in definition.recall_at]
    return metrics + ([(MEDIAN_RANK, "first_rank")] if MEDIAN_RANK in definition.metrics else [])


def _summary(metric: str, values: FloatArray) -> float:
    return float(np.median(values) if metric == MEDIAN_RANK else values.mean())
