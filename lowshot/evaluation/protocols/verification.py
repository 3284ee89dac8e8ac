"""Verification: do this voice and this face belong to one person?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.groups import group_columns
from lowshot.evaluation.pair_figures import (
    IDENTITIES,
    DetectionCost,
    PairMetric,
    PairRules,
    check_pairs,
    pair_chance,
    pair_figures,
    parts_by_stratum,
    resampled_aucs,
)
from lowshot.evaluation.protocols.base import Located, Request, TableProtocol, Trials
from lowshot.evaluation.protocols.definition import Stratified
from lowshot.evaluation.resampled import Resampled
from lowshot.evaluation.results import Figure
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.score_files import Place, ScoreFile
from lowshot.evaluation.scorers import Scorer, checked_scores
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
)
from lowshot.evaluation.trial_lists.listed import (
    TrialList,
    VerificationList,
    duplicated,
)
from lowshot.evaluation.trial_lists.media_metadata import MediaMetadata
from lowshot.evaluation.trial_lists.resolve import check_duplicates, known_identities, same_video_of, seen_of_rows
from lowshot.evaluation.trials import BoolArray, Population, draw_trials, row_names_array
from lowshot.metrics.verification import roc_corners
from lowshot.schema import UNSEEN


class VerificationDefinition(Stratified, PairRules):
    """protocols/verification.yaml."""

    name: Literal["verification"]
    seen_heard_strata: tuple[str, ...]
    metrics: tuple[PairMetric, ...] = Field(min_length=1)
    tpr_at_fpr: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(min_length=1)
    min_dcf: DetectionCost


@dataclass(frozen=True, eq=False)
class VerificationTrials(Trials):
    """Pairs of a voice and a face.

    Args:
        voice, face: [T] row numbers in `Dataset.voices` and `Dataset.faces`.
        label: [T] true if both are of one identity.
        stratum, seen, skipped: as in `Trials`.
        same_video: number of positives whose voice and face are of one video.
        unmatched: number of voices without a trial: they have no face or no eligible impostor.
    """

    direction = ""

    voice: IntArray
    face: IntArray
    label: BoolArray
    stratum: str
    seen: str
    same_video: int = 0
    unmatched: int = 0
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.label)

    def rows(self, modality: str) -> IntArray:
        return {"voice": self.voice, "face": self.face}[modality]


def build_verification(
    dataset: Dataset,
    population: Population,
    stratum: str,
    attributes: Sequence[str],
    age_bounds: Sequence[float],
    seed: int,
    exclude_same_video: bool = False,
) -> VerificationTrials:
    """One positive and one negative trial for each voice that has both.

    Args:
        dataset: voices and faces with identities.
        population: the rows to draw from.
        stratum: name of the stratum.
        attributes: manifest columns whose values an impostor shares with the voice; all must exist.
        age_bounds: as in `strata.age_group`.
        seed: seed of all draws.
        exclude_same_video: skip voices whose identity has a face in no other video.

    Returns:
        Positive, negative, positive, negative, ...; no trials if no voice has both.

    Source:
        The list format of Nagrani, Albanie, Zisserman, Learnable PINs, ECCV 2018, section 5.1.

    Deviation:
        About 2 % of the impostors in the published lists G and GNA are of another gender; here every impostor shares
        the attributes of the stratum. A positive is of the voice's video only if its identity has no other video.
    """
    drawn = draw_trials(dataset, population, "voice", attributes, age_bounds, (seed, "verification"), stratum, count=1)
    kept = drawn.kept(exclude_same_video)
    return VerificationTrials(
        voice=np.repeat(drawn.probe[kept], 2),
        face=np.stack([drawn.positive[kept], drawn.impostors[kept, 0]], axis=1).ravel(),
        label=np.tile([True, False], int(kept.sum())),
        stratum=stratum,
        seen=population.seen,
        same_video=int(drawn.same_video[kept].sum()),
        unmatched=int((~kept).sum()),
    )


class Verification(TableProtocol[VerificationTrials]):
    """1:1 verification."""

    name = "verification"
    definition_kind = VerificationDefinition
    list_kind = VerificationList
    # Gender alone tells many impostors of stratum U from the speaker, but none of G and GNA.
    compared = tuple(
        {
            "metric": "auc",
            "direction": "",
            "gallery_size": None,
            "stratum": stratum,
            "seen": UNSEEN,
        }
        for stratum in ("U", "G", "GNA")
    )

    def build(self, request: Request) -> list[VerificationTrials]:
        definition = self.definition
        populations = [(request.population, request.strata or definition.default_strata)]
        if request.held_out is not None:
            populations.append((request.held_out, request.strata or definition.seen_heard_strata))
        built = []
        for population, strata in populations:
            for stratum in strata:
                name = f"verification {stratum} {population.seen}"
                attributes = definition.attributes(stratum)
                if lacks_column(request.dataset, attributes, name, request.warnings):
                    continue
                trials = build_verification(
                    request.dataset,
                    population,
                    stratum,
                    attributes,
                    definition.age_bounds,
                    request.seed,
                    request.exclude_same_video,
                )
                if has_trials(
                    len(trials) // 2,
                    trials.unmatched,
                    trials.same_video,
                    name,
                    "voice clips",
                    "no matching face or no impostor",
                    request.warnings,
                ):
                    built.append(trials)
        return built

    def score_key(self, place: Mapping[str, object]) -> str:
        return f"{self.name}-{place['seen']}-{place['stratum']}"

    # Scores and figures.

    def table(self, trials: VerificationTrials, dataset: Dataset) -> pd.DataFrame:
        """`voice, face, voice_identity, face_identity, label`, then attributes of the voice such as `gender`."""
        table = _names(trials, dataset)
        table.insert(2, "voice_identity", dataset.voices["identity"].to_numpy()[trials.voice])
        table.insert(3, "face_identity", dataset.faces["identity"].to_numpy()[trials.face])
        return pd.concat([table, group_columns(dataset, "voice", trials.voice)], axis=1)

    def score(self, lists: Sequence[VerificationTrials], scorer: Scorer, dataset: Dataset) -> list[pd.DataFrame]:
        """Tables as `table` gives them, with `score` behind `label`."""
        tables = []
        for trials in lists:
            table = self.table(trials, dataset)
            table.insert(5, "score", checked_scores(scorer.pairs(trials.voice, trials.face)))
            tables.append(table)
        return tables

    def figures(self, table: pd.DataFrame, replicates: int, seed: int) -> list[Figure]:
        return pair_figures(table, self.definition, replicates, seed)

    def chance_figures(self, table: pd.DataFrame) -> list[Figure]:
        return pair_chance(table, self.definition)

    def curve(self, table: pd.DataFrame) -> pd.DataFrame:
        """ROC and DET points: `fpr, tpr, fnr, threshold`, from accepting nothing to accepting all.

        Points on a straight line between others are omitted: joined linearly, the rest are the same curve.
        """
        points = roc_corners(table["score"].to_numpy(), table["label"].to_numpy())
        return pd.DataFrame(
            {"fpr": points.fpr, "tpr": points.tpr, "fnr": 1.0 - points.tpr, "threshold": points.thresholds}
        )

    # Paired comparison.

    def compared_columns(self, figure: Mapping[str, object]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return ("voice", "face", *IDENTITIES, "label"), ("score",)

    def resample(
        self, tables: Sequence[pd.DataFrame], figure: Mapping[str, object], replicates: int, seed: int
    ) -> Resampled:
        values, by_identity, by_pair, counts = resampled_aucs(tables, replicates, seed)
        return Resampled(values, by_identity, counts, by_pair)

    # Score tables as files.

    @property
    def score_columns(self) -> tuple[str, ...]:
        return ("label", "score")

    def read_scores(self, file: ScoreFile, place: Place, warnings: list[str]) -> list[tuple[Place, pd.DataFrame]]:
        file.numbers("score", finite=True)
        check_pairs(file, warnings)
        return parts_by_stratum(file, {**place, "direction": ""})

    # Trial lists.

    def join_list(self, located: Located, dataset: Dataset) -> VerificationTrials:
        """Make trials of one list.

        Raises:
            RequestError: a medium without identity, a label that contradicts the identities, a repeated trial in a list
                of lowshot's own form, or trials of one class only.
        """
        listed, rows = located.listed, located.rows
        assert isinstance(listed, VerificationList)
        voice, face = rows
        identities = known_identities(listed, rows, dataset)
        wrong = (identities[0] == identities[1]) != listed.label
        if wrong.any():
            trial = int(wrong.argmax())
            raise RequestError(
                f"{listed.place(trial)}: label {int(listed.label[trial])}, but {dataset.name} says that the voice is "
                f"of '{identities[0][trial]}' and the face of '{identities[1][trial]}'"
            )
        check_duplicates(listed, rows)
        if listed.label.all() or not listed.label.any():
            kind = "positives" if listed.label.all() else "negatives"
            raise RequestError(
                f"{listed.path}, rows {listed.line[0]} to {listed.line[-1]}: stratum {listed.stratum} has {kind} only; "
                "a figure of verification needs both classes"
            )
        return VerificationTrials(
            voice,
            face,
            listed.label,
            listed.stratum,
            seen_of_rows(listed, rows, dataset),
            same_video=int((same_video_of(dataset, "voice", voice, face) & listed.label).sum()),
            skipped=located.skipped,
        )

    def audit(self, found: Audit, lists: Sequence[TrialList], facts: Sequence[Sequence[MediaMetadata]]) -> None:
        (listed,) = lists
        assert isinstance(listed, VerificationList)
        ((voice, face),) = facts
        positive = listed.label
        found.counts |= {
            "protocol": self.name,
            "stratum": listed.stratum,
            "seen": listed.seen or "not said",
            "trials": len(listed),
            "positives": int(positive.sum()),
            "negatives": int((~positive).sum()),
        }
        count_distinct(found, "voices", listed.voice)
        count_distinct(found, "faces", listed.face)
        found.counts["most_trials_of_a_voice"] = int(pd.Series(listed.voice).value_counts().max())
        twice = duplicated(listed.voice, listed.face)
        found.counts["duplicate_trials"] = int(twice.sum())
        if twice.any():
            found.findings.append(repeated_finding(listed, twice))
        known = comparable(found, voice, [face])
        same = voice.identity == face.identity
        wrong = known & (same != positive)
        found.counts["labels_against_identities"] = Share(int(wrong.sum()), int(known.sum()))
        if wrong.any():
            found.findings.append(
                f"{int(wrong.sum()):,} labels contradict the identities, the first in row {row_of(listed, wrong)}"
            )
        if positive.all() or not positive.any():
            found.findings.append(
                f"only {'positives' if positive.all() else 'negatives'}: figures need trials of both classes"
            )
        count_same_video(found, "positives_of_one_video", voice, face, positive)
        count_shared(found, listed, voice, face, ~positive, self.definition.strata, self.definition.age_bounds)
        found.counts |= {"chance_auc": 0.5, "chance_eer": 0.5}

    def list_files(
        self, lists: Sequence[VerificationTrials], dataset: Dataset
    ) -> dict[str, tuple[pd.DataFrame, dict[str, int]]]:
        """One file per population, one stratum after the other: `voice, face, label, stratum`."""
        files = {}
        for seen in dict.fromkeys(part.seen for part in lists):
            parts = [part for part in lists if part.seen == seen]
            table = pd.concat([_names(part, dataset).assign(stratum=part.stratum) for part in parts], ignore_index=True)
            files[f"{self.name}-{seen}.csv"] = (
                table,
                {
                    "trials": sum(len(part) for part in parts),
                    "same_video_positives": sum(part.same_video for part in parts),
                    "unmatched": sum(part.unmatched for part in parts),
                },
            )
        return files


def _names(trials: VerificationTrials, dataset: Dataset) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "voice": row_names_array(dataset, "voice")[trials.voice],
            "face": row_names_array(dataset, "face")[trials.face],
            "label": trials.label.astype(int),
        }
    )
