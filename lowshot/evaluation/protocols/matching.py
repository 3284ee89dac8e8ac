"""1:N matching: which of N candidates belongs to the probe?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.groups import group_columns, groups
from lowshot.evaluation.protocols.base import Located, Request, TableProtocol, Trials
from lowshot.evaluation.protocols.definition import Direction, OneSidedRule, Stratified
from lowshot.evaluation.resampled import Resampled, resampled_means
from lowshot.evaluation.results import Figure
from lowshot.evaluation.sampling import IntArray, mix, text_key
from lowshot.evaluation.score_files import Place, ScoreFile
from lowshot.evaluation.scorers import ScoreArray, Scorer, checked_scores
from lowshot.evaluation.strata import has_trials, lacks_column
from lowshot.evaluation.trial_lists.counts import (
    Audit,
    Share,
    comparable,
    count_distinct,
    count_same_video,
    count_shared,
    repeated_finding,
    row_of,
    stacked,
)
from lowshot.evaluation.trial_lists.listed import (
    MatchingList,
    TrialList,
    duplicated,
)
from lowshot.evaluation.trial_lists.media import ABSENT
from lowshot.evaluation.trial_lists.media_metadata import MediaMetadata
from lowshot.evaluation.trial_lists.resolve import check_duplicates, known_identities, same_video_of, seen_of_rows
from lowshot.evaluation.trials import BoolArray, Population, draw_trials, row_names_array
from lowshot.metrics.bootstrap import Interval, identity_codes, identity_counts, mean_replicates, percentile_interval
from lowshot.metrics.matching import tied_trials, trial_credit
from lowshot.metrics.variance_correction import corrected
from lowshot.schema import DIRECTIONS, SEEN, UNSEEN


class MatchingDefinition(Stratified):
    """protocols/matching.yaml."""

    name: Literal["matching"]
    directions: tuple[Direction, ...] = Field(min_length=1)
    gallery_sizes: tuple[Annotated[int, Field(ge=2)], ...] = Field(min_length=1)
    metrics: tuple[Literal["accuracy"], ...] = Field(min_length=1)
    interval: OneSidedRule


@dataclass(frozen=True, eq=False)
class MatchingTrials(Trials):
    """Probes, each with a target and impostors.

    Args:
        direction: `voice_to_face` (voice probes, face candidates) or `face_to_voice`.
        probe: [T] row numbers of the probes.
        target: [T] row numbers of the right candidates.
        impostors: [T, N-1] row numbers of the wrong ones, in the order in which galleries grow; -1 from where a probe
            has no more eligible identities.
        stratum, seen, skipped: as in `Trials`.
        same_video: number of targets of the probe's own video.
        unmatched: number of probes without a trial.
    """

    direction: str
    probe: IntArray
    target: IntArray
    impostors: IntArray
    stratum: str
    seen: str
    same_video: int = 0
    unmatched: int = 0
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.probe)

    @property
    def largest(self) -> int:
        """The largest N that any trial reaches."""
        return 1 + int((self.impostors >= 0).any(axis=0).sum()) if len(self) else 0

    def rows(self, modality: str) -> IntArray:
        if self.direction.startswith(modality):
            return self.probe
        return np.append(self.target, self.impostors[self.impostors >= 0])

    def gallery(self, size: int) -> tuple[IntArray, IntArray]:
        """Lay out the candidates of 1:`size`; galleries are nested, N + 1 adds one candidate to N.

        Args:
            size: N, from 2 to `largest`.

        Returns:
            candidates [T', N] of the trials that have N, and the target's column [T']. A hash of probe and candidate
            that does not know the target gives the columns.
        """
        kept = self.impostors[:, size - 2] >= 0
        rows = np.concatenate([self.target[kept, None], self.impostors[kept, : size - 1]], axis=1)
        probe_key = mix(self.probe[kept].astype(np.uint64) + text_key("layout", self.direction))
        order = mix(probe_key[:, None] + mix(rows.astype(np.uint64))).argsort(axis=1, kind="stable")
        return np.take_along_axis(rows, order, axis=1), (order == 0).argmax(axis=1)


def build_matching(
    dataset: Dataset,
    population: Population,
    direction: str,
    largest: int,
    stratum: str,
    attributes: Sequence[str],
    age_bounds: Sequence[float],
    seed: int,
    exclude_same_video: bool = False,
) -> MatchingTrials:
    """One 1:N trial for each probe, with impostors of N - 1 different identities.

    Args:
        dataset, population, stratum, attributes, age_bounds, seed, exclude_same_video: as in `build_verification`.
        direction: one of `DIRECTIONS`.
        largest: N of the largest gallery, at least 2; smaller galleries are its beginnings.

    Returns:
        Trials of every probe that has a target and an eligible impostor.

    Deviation:
        The published lists name the target first, and their scorer breaks ties by position; here no position tells.
    """
    if direction not in DIRECTIONS:
        raise RequestError(f"no direction '{direction}'; there are {', '.join(DIRECTIONS)}")
    modality = direction.split("_", maxsplit=1)[0]
    purpose = (seed, "matching", direction)
    drawn = draw_trials(dataset, population, modality, attributes, age_bounds, purpose, stratum, largest - 1)
    kept = drawn.kept(exclude_same_video)
    return MatchingTrials(
        direction=direction,
        probe=drawn.probe[kept],
        target=drawn.positive[kept],
        impostors=drawn.impostors[kept],
        stratum=stratum,
        seen=population.seen,
        same_video=int(drawn.same_video[kept].sum()),
        unmatched=int((~kept).sum()),
    )


class Matching(TableProtocol[MatchingTrials]):
    """1:N matching."""

    name = "matching"
    definition_kind = MatchingDefinition
    list_kind = MatchingList
    compared = (
        {
            "metric": "accuracy",
            "direction": "voice_to_face",
            "stratum": "U",
            "seen": UNSEEN,
            "gallery_size": 2,
        },
    )

    def build(self, request: Request) -> list[MatchingTrials]:
        definition = self.definition
        populations = [(request.population, request.strata or definition.default_strata)]
        if request.held_out is not None and request.strata:
            populations.append((request.held_out, request.strata))
        built = []
        for population, strata in populations:
            for stratum in strata:
                for direction in definition.directions:
                    # Seen-heard lists are built on request only.
                    people = f" {population.seen}" if population.seen == SEEN else ""
                    name = f"matching {stratum} {direction}{people}"
                    if not lacks_column(request.dataset, definition.attributes(stratum), name, request.warnings):
                        built += self._built(request, population, direction, stratum, name)
        return built

    def _built(
        self, request: Request, population: Population, direction: str, stratum: str, name: str
    ) -> list[MatchingTrials]:
        definition = self.definition
        largest = max(definition.gallery_sizes)
        trials = build_matching(
            request.dataset,
            population,
            direction,
            largest,
            stratum,
            definition.attributes(stratum),
            definition.age_bounds,
            request.seed,
            request.exclude_same_video,
        )
        noun, target = ("voice clips", "face") if direction == "voice_to_face" else ("face images", "voice")
        needs = f"no matching {target} or no impostor"
        if not has_trials(len(trials), trials.unmatched, trials.same_video, name, noun, needs, request.warnings):
            return []
        if trials.largest < largest:
            request.warnings.append(f"{name}: galleries end at {trials.largest}; there are no more identities")
        return [trials] if trials.largest >= min(definition.gallery_sizes) else []

    # Scores and figures.

    def table(self, trials: MatchingTrials, dataset: Dataset) -> pd.DataFrame:
        """`direction, probe, identity, target, candidate_1 ...`, then attributes of the probe such as `gender`."""
        table = _names(trials, dataset)
        modality = trials.direction.split("_")[0]
        table.insert(2, "identity", dataset.rows(modality)["identity"].to_numpy()[trials.probe])
        return pd.concat([table, group_columns(dataset, modality, trials.probe)], axis=1)

    def score(self, lists: Sequence[MatchingTrials], scorer: Scorer, dataset: Dataset) -> list[pd.DataFrame]:
        """Tables as `table` gives them, with `score, score_1 ...` behind the candidates.

        `score` is the target's and `score_k` that of `candidate_k`; 1:N compares `score` with
        `score_1 ... score_{N-1}`.
        """
        tables = []
        for trials in lists:
            table, scores = self.table(trials, dataset), _scores(trials, scorer)
            place = 4 + trials.impostors.shape[1]
            for number in range(scores.shape[1]):
                table.insert(place + number, f"score_{number}" if number else "score", scores[:, number])
            tables.append(table)
        return tables

    def figures(self, table: pd.DataFrame, replicates: int, seed: int) -> list[Figure]:
        """Accuracy by gallery size, with intervals over the identities of the probes.

        Deviation:
            Only the probe's identity, which is the target's, is resampled. With the product of the counts of all N
            identities as weight, about one trial in a hundred would be in a resample at N = 10.
        """
        figures = []
        for group, part, size in self._parts(table):
            names = ["score", *(f"score_{place}" for place in range(1, size))]
            # Ties are shared, so the target's column says nothing: column 0 will do.
            scores, target = part[names].to_numpy(), np.zeros(len(part), dtype=np.int64)
            credit = trial_credit(scores, target)
            interval, n_probed = None, _probed(part)
            # A single identity has no spread to resample.
            if n_probed is not None and n_probed > 1:
                interval = self._interval(part, credit, replicates, seed)
            ties, value = tied_trials(scores, target), float(credit.mean())
            figures.append(
                Figure("accuracy", value, len(part), n_probed, interval, ties, gallery_size=size, group=group)
            )
        return figures

    def chance_figures(self, table: pd.DataFrame) -> list[Figure]:
        """Accuracy 1/N."""
        return [
            Figure("accuracy", 1 / size, len(part), _probed(part), gallery_size=size, group=group)
            for group, part, size in self._parts(table)
        ]

    def _interval(self, part: pd.DataFrame, credit: npt.NDArray[np.float64], replicates: int, seed: int) -> Interval:
        (codes,), n_probed = identity_codes(part["identity"].to_numpy(dtype=object))
        counts = identity_counts(n_probed, replicates, seed)
        rule = self.definition.interval
        resampled = corrected(float(credit.mean()), mean_replicates(credit, (codes,), counts), counts, level=rule.level)
        return percentile_interval(resampled, rule.level, rule.method)

    def _parts(self, table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, int]]:
        """Each group and gallery size with the trials that have one: sizes of the definition, and the table's own."""
        definition = self.definition
        scored = sum(column.startswith("score_") for column in table.columns)
        largest = 1 + (scored or sum(column.startswith("candidate_") for column in table.columns))
        for group, rows in groups(table, definition.groups):
            for size in sorted({*definition.gallery_sizes, largest}):
                # A missing candidate has no score; before scoring, it has an empty name.
                last = next((name for name in (f"score_{size - 1}", f"candidate_{size - 1}") if name in table), "")
                if not last:
                    continue
                given = table[last].notna() & (table[last] != "")
                part = table[rows & given.to_numpy()]
                if len(part):
                    yield group, part, size

    # Paired comparison.

    def compared_columns(self, figure: Mapping[str, object]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        places = range(1, _size(figure))
        trial = ("direction", "probe", "identity", "target", *(f"candidate_{place}" for place in places))
        return trial, ("score", *(f"score_{place}" for place in places))

    def usable(self, table: pd.DataFrame, figure: Mapping[str, object]) -> pd.DataFrame:
        # A gallery that ends before N has no score there.
        last = f"score_{_size(figure) - 1}"
        return table.dropna(subset=[last]) if last in table else table

    def resample(
        self, tables: Sequence[pd.DataFrame], figure: Mapping[str, object], replicates: int, seed: int
    ) -> Resampled:
        columns = list(self.compared_columns(figure)[1])
        target = np.zeros(len(tables[0]), dtype=np.int64)
        credits = [trial_credit(table[columns].to_numpy(), target) for table in tables]
        return resampled_means(credits, tables[0], replicates, seed)

    # Score tables as files.

    @property
    def score_columns(self) -> tuple[str, ...]:
        return ("direction", "score", "score_1")

    def read_scores(self, file: ScoreFile, place: Place, warnings: list[str]) -> list[tuple[Place, pd.DataFrame]]:
        table = file.table
        places = [column for column in table.columns if column.startswith("score_")]
        if places != [f"score_{number}" for number in range(1, len(places) + 1)]:
            raise RequestError(
                f"{file.path}: scores must be in columns score, score_1 ... score_{len(places)}, in order"
            )
        file.numbers("score", finite=True)
        for column in places:
            file.numbers(column, finite=False)
        given = table[places].notna().to_numpy()
        gap = ~given[:, 0] | (given[:, 1:] & ~given[:, :-1]).any(axis=1)
        file.refuse(pd.Series(gap), lambda _: "a score is missing before the last one")
        file.refuse(
            ~table["direction"].isin(DIRECTIONS),
            lambda row: f"direction '{row['direction']}' is none of {', '.join(DIRECTIONS)}",
        )
        candidates = [column for column in table.columns if column.startswith("candidate_")]
        if "target" in table.columns:
            itself = table[candidates].eq(table["target"], axis=0).any(axis=1)
            file.refuse(itself, lambda _: "the target is among the candidates too; name it once, as target")
        file.check_identity(warnings)
        file.warn_of_duplicates(("direction", "probe", "target", *candidates), warnings)
        return [
            ({**place, "direction": direction}, table[table["direction"] == direction].reset_index(drop=True))
            for direction in dict.fromkeys(table["direction"])
        ]

    # Trial lists.

    def join_list(self, located: Located, dataset: Dataset) -> MatchingTrials:
        """Make trials of one list.

        Raises:
            RequestError: a medium without identity, a target among its impostors or of another identity than the probe,
                an impostor of the probe's identity or named twice, or a repeated trial in a list of lowshot's own form.
        """
        listed, rows = located.listed, located.rows
        assert isinstance(listed, MatchingList)
        probe, target = rows[:2]
        impostors = np.stack(rows[2:], axis=1)
        itself = (impostors == target[:, None]).any(axis=1)
        if itself.any():
            where = listed.place(int(itself.argmax()))
            raise RequestError(f"{where}: the target is among the candidates too; name it once, as target")
        own, of_target, *others = known_identities(listed, rows, dataset)
        wrong = own != of_target
        if wrong.any():
            trial = int(wrong.argmax())
            raise RequestError(
                f"{listed.place(trial)}: the probe is of '{own[trial]}', but its target of '{of_target[trial]}'"
            )
        for other, names in zip(others, listed.impostors.T, strict=True):
            wrong = own == other
            if wrong.any():
                trial = int(wrong.argmax())
                raise RequestError(f"{listed.place(trial)}: '{names[trial]}' is of '{own[trial]}' too, as the probe is")
        ordered = np.sort(impostors, axis=1)
        twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != ABSENT)).any(axis=1)
        if twice.any():
            raise RequestError(f"{listed.place(int(twice.argmax()))}: a candidate stands twice")
        check_duplicates(listed, rows)
        modality = listed.direction.split("_to_")[0]
        return MatchingTrials(
            listed.direction,
            probe,
            target,
            impostors,
            listed.stratum,
            seen_of_rows(listed, rows, dataset),
            same_video=int(same_video_of(dataset, modality, probe, target).sum()),
            skipped=located.skipped,
        )

    def audit(self, found: Audit, lists: Sequence[TrialList], facts: Sequence[Sequence[MediaMetadata]]) -> None:
        (listed,) = lists
        assert isinstance(listed, MatchingList)
        ((probe, target, *others),) = facts
        given = listed.impostors != ""
        sizes = 1 + given.sum(axis=1)
        found.counts |= {
            "protocol": self.name,
            "direction": listed.direction,
            "stratum": listed.stratum,
            "seen": listed.seen or "not said",
            "trials": len(listed),
            "candidates_of_a_trial": int(sizes[0]) if (sizes == sizes[0]).all() else f"{sizes.min()} to {sizes.max()}",
        }
        count_distinct(found, "probes", listed.probe)
        count_distinct(found, "candidates", np.concatenate([listed.target, listed.impostors[given]]))
        twice = duplicated(listed.probe, listed.target, *listed.impostors.T)
        itself = (listed.impostors == listed.target[:, None]).any(axis=1)
        found.counts |= {"duplicate_trials": int(twice.sum()), "targets_among_their_impostors": int(itself.sum())}
        if twice.any():
            found.findings.append(repeated_finding(listed, twice))
        if itself.any():
            found.findings.append(
                f"the target is an impostor too in {int(itself.sum()):,} trials, the first in row "
                f"{row_of(listed, itself)}"
            )
        known = comparable(found, probe, [target, *others])
        wrong = known & (probe.identity != target.identity)
        for other in others:
            wrong |= known & (other.identity != "") & (other.identity == probe.identity)
        found.counts["targets_against_identities"] = Share(int(wrong.sum()), int(known.sum()))
        if wrong.any():
            found.findings.append(
                f"in {int(wrong.sum()):,} trials the target is of another identity than the probe, or an impostor of "
                f"the same, the first in row {row_of(listed, wrong)}"
            )
        count_same_video(found, "targets_of_one_video", probe, target, np.ones(len(listed), dtype=bool))
        definition = self.definition
        count_shared(
            found,
            listed,
            stacked([probe] * len(others)),
            stacked(others),
            given.T.ravel(),
            definition.strata,
            definition.age_bounds,
        )
        for size in sorted({int(sizes.min()), int(sizes.max())}):
            found.counts[f"chance_accuracy_1:{size}"] = 1 / size

    def list_files(
        self, lists: Sequence[MatchingTrials], dataset: Dataset
    ) -> dict[str, tuple[pd.DataFrame, dict[str, int]]]:
        """One file per list: `direction, probe, target, candidate_1 ... candidate_{N-1}`.

        The candidates stand in the order in which galleries grow: 1:n takes the first n - 1 of them.
        """
        return {
            f"{self.score_key(self.place(part))}.csv": (
                _names(part, dataset),
                {"trials": len(part), "same_video_positives": part.same_video, "unmatched": part.unmatched},
            )
            for part in lists
        }


def _scores(trials: MatchingTrials, scorer: Scorer) -> ScoreArray:
    """Scores of all candidates: [T, N], the target's in column 0, NaN for a missing candidate."""
    rows = np.concatenate([trials.target[:, None], trials.impostors], axis=1)
    given: BoolArray = rows >= 0
    probe = np.broadcast_to(trials.probe[:, None], rows.shape)[given]
    voice, face = (probe, rows[given]) if trials.direction == "voice_to_face" else (rows[given], probe)
    found = checked_scores(scorer.pairs(voice, face))
    scores = np.full(rows.shape, np.nan, dtype=found.dtype)
    scores[given] = found
    return scores


def _names(trials: MatchingTrials, dataset: Dataset) -> pd.DataFrame:
    """Trials as names; a missing candidate is empty."""
    probe, candidate = trials.direction.split("_to_")
    # The name at -1, the mark of a missing candidate, is empty.
    candidates = np.append(row_names_array(dataset, candidate), "")
    table = {
        "direction": trials.direction,
        "probe": row_names_array(dataset, probe)[trials.probe],
        "target": candidates[trials.target],
    }
    for place in range(trials.impostors.shape[1]):
        table[f"candidate_{place + 1}"] = candidates[trials.impostors[:, place]]
    return pd.DataFrame(table)


def _probed(part: pd.DataFrame) -> int | None:
    """Number of identities among the probes, if the table says."""
    return part["identity"].nunique() if "identity" in part.columns else None


def _size(figure: Mapping[str, object]) -> int:
    return int(str(figure["gallery_size"]))
