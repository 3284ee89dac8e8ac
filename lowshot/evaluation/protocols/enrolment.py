"""Enrolment: people who are enrolled by k clips are verified, by k."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.groups import group_columns, groups
from lowshot.evaluation.pair_figures import PairRules, both_labels, check_pairs, pair_chance, pair_figures
from lowshot.evaluation.protocols.base import Request, TableProtocol, Trials
from lowshot.evaluation.protocols.definition import Stratified
from lowshot.evaluation.protocols.verification import VerificationTrials, build_verification
from lowshot.evaluation.results import Figure
from lowshot.evaluation.sampling import IntArray, KeyArray, draw_rows, mix, text_key
from lowshot.evaluation.score_files import Place, ScoreFile
from lowshot.evaluation.scorers import EmbeddingScorer, ScoreArray, Scorer, checked_scores
from lowshot.evaluation.strata import attribute_groups, has_trials, lacks_column
from lowshot.evaluation.trials import BoolArray, RowCodes, row_codes, row_names_array
from lowshot.metrics.cosine import unit_rows

Enrolled = Literal["voice", "face", "both"]
_LAST = np.uint64(2**64 - 1)
_BLOCK = 2**13
"""Trials that are scored at once."""


class EnrolmentDefinition(Stratified, PairRules):
    """protocols/enrolment.yaml."""

    name: Literal["enrolment"]
    clips: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    enrolled: tuple[Enrolled, ...] = Field(min_length=1)
    template: Literal["mean-direction"]
    enrolment: Literal["other-video-first"]


@dataclass(frozen=True, eq=False)
class Clips:
    """Clips of every trial at one k: [T, k] or [T, 1] row numbers of voices and of faces, -1 if there are too few."""

    k: int
    voices: IntArray
    faces: IntArray

    @property
    def whole(self) -> BoolArray:
        """[T] whether a trial has all its clips; a positive and its negative go together."""
        whole = np.logical_and((self.voices >= 0).all(axis=1), (self.faces >= 0).all(axis=1))
        pairs: BoolArray = np.asarray(whole[::2] & whole[1::2])
        return np.repeat(pairs, 2)


@dataclass(frozen=True, eq=False)
class EnrolmentTrials(Trials):
    """Pairs of verification whose sides are enrolled.

    Args:
        direction: the side that is enrolled: `voice`, `face` or `both`.
        pairs: the trials with single clips: positive, negative, positive, ...
        clips: by k, rising.
    """

    skipped: ClassVar[int] = 0  # type: ignore[misc]

    direction: str
    pairs: VerificationTrials
    clips: tuple[Clips, ...]

    @property
    def stratum(self) -> str:  # type: ignore[override]
        """What impostors share with the speaker."""
        return self.pairs.stratum

    @property
    def seen(self) -> str:  # type: ignore[override]
        """Whose trials they are."""
        return self.pairs.seen

    def rows(self, modality: str) -> IntArray:
        """Rows of all clips."""
        used = [(part.voices if modality == "voice" else part.faces)[part.whole] for part in self.clips]
        return np.unique(np.concatenate([self.pairs.rows(modality), *(rows.ravel() for rows in used)]))


def enrol(
    codes: RowCodes,
    modality: str,
    first: IntArray,
    rows: IntArray,
    avoided: IntArray,
    keys: KeyArray,
    k: int,
    group: IntArray | None = None,
) -> IntArray:
    """Draw k clips of the person of a clip, that clip included.

    Args:
        codes: of the dataset.
        modality: of the clips, `voice` or `face`.
        first: [P] row numbers of clips, -1 for no clip.
        rows: row numbers to draw from.
        avoided: [P, a] video codes. A clip of such a video is drawn only if the person has too few others.
        keys: [P] what the draw of each depends on.
        k: number of clips.
        group: attribute group of each row of the modality; all clips are of the group of `first`. None: of any group.

    Returns:
        [P, k] different row numbers of one identity, `first` first, -1 from where there are no more. The same keys,
        groups and videos to avoid give the beginning of a longer draw.
    """
    drawn = np.full((len(first), k), -1, dtype=np.int64)
    drawn[:, 0] = first
    known = first >= 0
    identity, video, name = codes.identity[modality], codes.video[modality], codes.key[modality]
    ordered = rows[np.argsort(identity[rows], kind="stable")]
    for person in np.unique(identity[first[known]]):
        low, high = np.searchsorted(identity[ordered], [person, person + 1])
        members = ordered[low:high]
        places = np.flatnonzero(known & (identity[first] == person))
        numbers = mix(keys[places, None] ^ name[members]) >> np.uint64(1)
        same = (video[members][None, :, None] == avoided[places][:, None, :]).any(axis=2)
        # The top bit puts clips of avoided videos behind all others.
        numbers |= same.astype(np.uint64) << np.uint64(63)
        excluded = members == first[places, None]
        if group is not None:
            excluded |= group[members] != group[first[places], None]
        numbers[excluded] = _LAST
        order = np.argsort(numbers, axis=1, kind="stable")[:, : k - 1]
        left = np.take_along_axis(excluded, order, axis=1)
        drawn[places, 1 : 1 + order.shape[1]] = np.where(left, -1, members[order])
    return drawn


class Enrolment(TableProtocol[EnrolmentTrials]):
    """Verification by the number of clips that a person is enrolled with."""

    name = "enrolment"
    definition_kind = EnrolmentDefinition
    in_all = False

    def build(self, request: Request) -> list[EnrolmentTrials]:
        definition, built = self.definition, []
        for stratum in request.strata or definition.default_strata:
            name = f"enrolment {stratum} {request.population.seen}"
            attributes = definition.attributes(stratum)
            if lacks_column(request.dataset, attributes, name, request.warnings):
                continue
            pairs = build_verification(
                request.dataset,
                request.population,
                stratum,
                attributes,
                definition.age_bounds,
                request.seed,
                request.exclude_same_video,
            )
            needs = "no matching face or no impostor"
            count = len(pairs) // 2
            if not has_trials(count, pairs.unmatched, pairs.same_video, name, "voice clips", needs, request.warnings):
                continue
            attribute_codes = attribute_groups(request.dataset, attributes, definition.age_bounds)
            for side in definition.enrolled:
                trials = self._enrolled(side, pairs, attribute_codes, request)
                built.append(trials)
                request.warnings.extend(_lacking(trials, f"{name}, {side} enrolled", attributes, request.dataset))
        return built

    def _enrolled(
        self, side: str, pairs: VerificationTrials, shared: Mapping[str, IntArray], request: Request
    ) -> EnrolmentTrials:
        """Enrol one side or both of all pairs; `shared`: attribute group of each row, by modality."""
        codes, people = row_codes(request.dataset), request.population
        voice, positive, negative = pairs.voice[::2], pairs.face[::2], pairs.face[1::2]
        keys = mix(codes.key["voice"][voice] ^ text_key(request.seed, "enrolment"))
        # An impostor's faces avoid the videos of voices that nobody hears: as many as a person's faces avoid.
        stand_in = _stand_in(codes, people.voices, negative, keys, shared)
        clips = []
        for k in sorted(set(self.definition.clips)):
            voices, faces = voice[:, None], np.stack([positive, negative], axis=1)[:, :, None]
            other = stand_in[:, None]
            if side in ("voice", "both"):
                probe = codes.video["face"][positive][:, None]
                voices = enrol(codes, "voice", voice, people.voices, probe, keys, k)
            if side == "both":
                probe = codes.video["face"][negative][:, None]
                other = enrol(codes, "voice", stand_in, people.voices, probe, keys, k, shared["voice"])
            if side in ("face", "both"):
                # Positives are the same in all strata; every face of an impostor shares the stratum's attributes.
                drawn = [
                    enrol(codes, "face", first, people.faces, _videos(codes, avoided), keys, k, group)
                    for first, avoided, group in ((positive, voices, None), (negative, other, shared["face"]))
                ]
                faces = np.stack(drawn, axis=1)
            clips.append(Clips(k, np.repeat(voices, 2, axis=0), faces.reshape(-1, faces.shape[2])))
        return EnrolmentTrials(side, pairs, tuple(clips))

    # Scores and figures.

    def table(self, trials: EnrolmentTrials, dataset: Dataset) -> pd.DataFrame:
        """`direction, voice, face, voice_identity, face_identity, label`, whether `score@k=...` exists, attributes.

        `voice` and `face` are the first clip of each side. Before scoring, `score@k=...` is 0, or NaN for a trial that
        is skipped at that k.
        """
        pairs = trials.pairs
        columns: dict[str, object] = {"direction": trials.direction}
        for modality, rows in (("voice", pairs.voice), ("face", pairs.face)):
            columns[modality] = row_names_array(dataset, modality)[rows]
        for modality, rows in (("voice", pairs.voice), ("face", pairs.face)):
            columns[f"{modality}_identity"] = dataset.rows(modality)["identity"].to_numpy()[rows]
        columns["label"] = pairs.label.astype(int)
        for part in trials.clips:
            columns[_column(part.k)] = np.where(part.whole, 0.0, np.nan)
        return pd.concat([pd.DataFrame(columns), group_columns(dataset, "voice", pairs.voice)], axis=1)

    def score(self, lists: Sequence[EnrolmentTrials], scorer: Scorer, dataset: Dataset) -> list[pd.DataFrame]:
        """Tables as `table` gives them, with scores: the cosine of the mean directions of the two sides.

        A scorer without embeddings, as the log-likelihood ratio of the upper bound, gives the mean score of all pairs
        of a voice and a face of the trial.
        """
        tables = []
        for trials in lists:
            table = self.table(trials, dataset)
            for part in trials.clips:
                whole = part.whole
                table.loc[whole, _column(part.k)] = _scores(part.voices[whole], part.faces[whole], scorer)
            tables.append(table)
        return tables

    def figures(self, table: pd.DataFrame, replicates: int, seed: int) -> list[Figure]:
        """Figures of verification by k, as `auc@k=4`."""
        return [
            self._named(figure, k, table)
            for k, part in self._by_k(table)
            for figure in pair_figures(part, self.definition, replicates, seed, _column(k))
        ]

    def chance_figures(self, table: pd.DataFrame) -> list[Figure]:
        """AUC and EER 0.5."""
        return [
            self._named(figure, k, table)
            for k, part in self._by_k(table)
            for figure in pair_chance(part, self.definition)
        ]

    def _by_k(self, table: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
        """Each k with the trials that have enough clips."""
        for column in table.columns:
            if column.startswith(_column("")):
                part = table[table[column].notna()]
                if both_labels(part["label"].to_numpy() == 1):
                    yield int(column.removeprefix(_column(""))), part

    def _named(self, figure: Figure, k: int, table: pd.DataFrame) -> Figure:
        """The figure under its name at k, with the trials of its group that are skipped there."""
        missing = table[_column(k)].isna().to_numpy()
        skipped = {name: int(missing[rows].sum()) for name, rows in groups(table, self.definition.groups)}
        return replace(figure, metric=f"{figure.metric}@k={k}", n_skipped=skipped[figure.group])

    # Score tables as files.

    @property
    def score_columns(self) -> tuple[str, ...]:
        return ("direction", "label", _column(min(self.definition.clips)))

    def read_scores(self, file: ScoreFile, place: Place, warnings: list[str]) -> list[tuple[Place, pd.DataFrame]]:
        table = file.table
        for column in (name for name in table.columns if name.startswith(_column(""))):
            if not column.removeprefix(_column("")).isdecimal():
                raise RequestError(f"{file.path}: column '{column}' does not end in a number of clips")
            file.numbers(column, finite=False)
        sides = self.definition.enrolled
        file.refuse(
            ~table["direction"].isin(sides), lambda row: f"direction '{row['direction']}' is none of {', '.join(sides)}"
        )
        check_pairs(file, warnings)
        # The name of a file says side and stratum, as in voice-G; the side is a column too.
        words = [word for word in place["stratum"].split("-") if word not in sides]
        stratum = "-".join(words) or "U"
        return [
            ({**place, "direction": side, "stratum": stratum}, table[table["direction"] == side].reset_index(drop=True))
            for side in dict.fromkeys(table["direction"])
        ]


def _stand_in(
    codes: RowCodes, voices: IntArray, faces: IntArray, keys: KeyArray, shared: Mapping[str, IntArray]
) -> IntArray:
    """Draw a voice of the identity and attribute group of each face, of another video if there is one.

    Args:
        codes: of the dataset.
        voices: row numbers to draw from.
        faces: [P] row numbers.
        keys: [P] what the draw of each depends on.
        shared: attribute group of each row, by modality.

    Returns:
        [P] row numbers, -1 if there is no such voice.
    """
    drawn = np.full(len(faces), -1, dtype=np.int64)
    group = shared["face"][faces]
    for code in np.unique(group):
        places = np.flatnonzero(group == code)
        pool = codes.pool("voice", voices[shared["voice"][voices] == code])
        wanted, seen = codes.identity["face"][faces[places]], codes.video["face"][faces[places]]
        drawn[places] = draw_rows(keys[places], wanted, pool, seen)[0]
    return drawn


def _videos(codes: RowCodes, voices: IntArray) -> IntArray:
    """Video codes of voices; -1, which is no video's, for a missing voice."""
    return np.where(voices >= 0, codes.video["voice"][voices], -1)


def _column(k: int | str) -> str:
    return f"score@k={k}"


def _scores(voices: IntArray, faces: IntArray, scorer: Scorer) -> ScoreArray:
    """Scores of [T] trials with [T, i] voices and [T, j] faces."""
    if voices.shape[1] == faces.shape[1] == 1:
        return checked_scores(scorer.pairs(voices[:, 0], faces[:, 0]))
    scores = np.empty(len(voices))
    for start in range(0, len(voices), _BLOCK):
        part = slice(start, start + _BLOCK)
        if isinstance(scorer, EmbeddingScorer):
            sides = _directions(scorer, "voice", voices[part]), _directions(scorer, "face", faces[part])
            # Rounded as cosines of single clips are.
            scores[part] = np.einsum("td,td->t", *sides).astype(np.float32)
        else:
            shape = (len(voices[part]), voices.shape[1], faces.shape[1])
            voice, face = np.broadcast_to(voices[part][:, :, None], shape), np.broadcast_to(faces[part][:, None], shape)
            each = scorer.pairs(voice, face).reshape(shape[0], -1)
            # The mean of equal numbers may differ from them in the last digit, which would undo ties.
            equal = each.min(axis=1) == each.max(axis=1)
            scores[part] = np.where(equal, each[:, 0], each.mean(axis=1))
    return checked_scores(scores)


def _directions(scorer: EmbeddingScorer, modality: str, rows: IntArray) -> npt.NDArray[np.float64]:
    """Mean directions of [n, k] rows: [n, d]. The sum of unit vectors is exact, so equal embeddings have equal ones."""
    units = scorer.vectors(modality, rows.ravel()).reshape(*rows.shape, -1)
    return units[:, 0] if rows.shape[1] == 1 else unit_rows(units.sum(axis=1))


def _lacking(trials: EnrolmentTrials, name: str, attributes: Sequence[str], dataset: Dataset) -> list[str]:
    """Warnings of skipped trials, of videos that both sides share, and of impostors with fewer or more videos."""
    warnings = []
    videos = {modality: dataset.rows(modality)["video"].to_numpy() for modality in ("voice", "face")}
    why = ""
    if attributes and trials.direction != "voice":
        why = f"; only impostors' faces that share the voice's {' and '.join(attributes)} count"
    for part in trials.clips:
        whole = part.whole
        if not whole.all():
            warnings.append(
                f"skipped {int((~whole).sum()) // 2:,} of {len(whole) // 2:,} voice clips in {name}, k = {part.k}: "
                f"their person or the impostor has fewer than {part.k} clips{why}"
            )
        if part.k == 1 or not whole.any():
            continue
        voice, face = videos["voice"][part.voices[whole]], videos["face"][part.faces[whole]]
        shared = (voice[::2, :, None] == face[::2, None]).any(axis=(1, 2))
        if shared.any():
            warnings.append(
                f"{name}, k = {part.k}: {int(shared.sum()):,} of {len(shared):,} positives share a video between "
                "voice and face; their person has too few videos"
            )
        own, other = (np.array([len(set(row)) for row in face[start::2]]) for start in (0, 1))
        if _differ(own, other):
            warnings.append(
                f"{name}, k = {part.k}: the faces are of {own.mean():.2f} videos on average in positives and of "
                f"{other.mean():.2f} in negatives, which may change the figures; people have unequal numbers of videos"
            )
    return warnings


def _differ(first: IntArray, second: IntArray) -> bool:
    """Whether paired counts differ in the mean, by more than 5 % and by more than three standard errors."""
    gap = first - second
    return bool(abs(gap.mean()) > max(0.05 * first.mean(), 3 * gap.std() / np.sqrt(len(gap))))
