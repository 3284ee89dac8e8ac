"""Figures of scored pairs: ROC, calibration, intervals, chance."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from lowshot.errors import RequestError
from lowshot.evaluation.groups import groups
from lowshot.evaluation.protocols.definition import Definition, Group, Rules, TwoSidedRule
from lowshot.evaluation.results import Figure
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.score_files import Place, ScoreFile
from lowshot.evaluation.scorers import ScoreArray
from lowshot.evaluation.trials import BoolArray
from lowshot.metrics.bootstrap import Interval, identity_codes, identity_counts, percentile_interval
from lowshot.metrics.calibration import cllr, cross_calibrated, min_cllr, trial_costs
from lowshot.metrics.curve_replicates import (
    PAIR_REPLICATES,
    CurveFigure,
    auc_of,
    class_mean_of,
    curve_replicates,
    eer_of,
    min_cllr_of,
    min_dcf_of,
    pair_replicates,
    tpr_of,
)
from lowshot.metrics.variance_correction import corrected
from lowshot.metrics.verification import FloatArray, auc, eer, min_dcf, tied_trials, tpr_at_fpr

IDENTITIES = ("voice_identity", "face_identity")
PairMetric = Literal["auc", "eer", "tpr_at_fpr", "min_dcf", "cllr", "min_cllr"]


class DetectionCost(Rules):
    """The operating point of `min_dcf`: target prior and costs of errors."""

    p_target: float = Field(gt=0, lt=1)
    c_miss: float = Field(gt=0)
    c_fa: float = Field(gt=0)


class PairRules(Definition):
    """Part of the definition of a protocol whose trials are pairs."""

    groups: tuple[Group, ...]
    metrics: tuple[PairMetric, ...] = Field(min_length=1)
    tpr_at_fpr: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field((0.01,), min_length=1)
    min_dcf: DetectionCost = DetectionCost(p_target=0.05, c_miss=1.0, c_fa=1.0)
    interval: TwoSidedRule


class _Measure(NamedTuple):
    """A figure: name, value, function of a resample (None: no interval), bounds."""

    metric: str
    value: float
    resampled: CurveFigure | None
    bounds: tuple[float, float] = (0.0, 1.0)


def pair_figures(
    table: pd.DataFrame, rules: PairRules, replicates: int, seed: int, column: str = "score"
) -> list[Figure]:
    """Compute the figures of scored pairs, of all and of each group.

    A group without both labels is skipped.

    Args:
        table: `label` and scores, and `voice_identity, face_identity`; without identities there are no intervals and
            no `cllr`.
        rules: metrics, their settings, groups and the interval's rule.
        replicates: number of resamples.
        seed: seed of the resamples.
        column: of the scores.

    Returns:
        Figures. `cllr` is NaN if there are too few identities to calibrate across.
    """
    scores, labels = table[column].to_numpy(), table["label"].to_numpy() == 1
    identities = _identities(table)
    ratios = None
    if identities and "cllr" in rules.metrics:
        ratios = cross_calibrated(scores, labels, *identity_codes(*identities)[0])
    figures = []
    for group, rows in groups(table, rules.groups):
        if group and not both_labels(labels[rows]):
            continue
        part = scores[rows], labels[rows]
        # Groups share the calibration of all, so that a misfit of one gender shows.
        measures = list(_measures(*part, None if ratios is None else ratios[rows], rules))
        intervals: dict[str, Interval] = {}
        n_identities = None
        if identities:
            (voice, face), n_identities = identity_codes(*(names[rows] for names in identities))
            intervals = _intervals(measures, *part, (voice, face), n_identities, rules, replicates, seed)
        ties = tied_trials(*part)
        figures += [
            Figure(
                measure.metric,
                measure.value,
                int(rows.sum()),
                n_identities,
                intervals.get(measure.metric),
                ties,
                group=group,
            )
            for measure in measures
        ]
    return figures


def pair_chance(table: pd.DataFrame, rules: PairRules) -> list[Figure]:
    """Return the closed-form figures of chance.

    AUC and EER are 0.5, TPR equals FPR, and costs are 1.

    Args:
        table: `label`, and `voice_identity, face_identity` if they are known.
        rules: metrics and groups.
    """
    values: dict[str, float] = {}
    for metric in rules.metrics:
        if metric == "tpr_at_fpr":
            values |= {_tpr_name(rate): rate for rate in rules.tpr_at_fpr}
        else:
            values[metric] = 0.5 if metric in ("auc", "eer") else 1.0
    labels = table["label"].to_numpy() == 1
    identities = _identities(table)
    figures = []
    for group, rows in groups(table, rules.groups):
        if not both_labels(labels[rows]):
            continue
        known = identity_codes(*(names[rows] for names in identities))[1] if identities else None
        figures += [Figure(metric, value, int(rows.sum()), known, group=group) for metric, value in values.items()]
    return figures


def both_labels(labels: BoolArray) -> bool:
    """Tell if there are positives and negatives."""
    return bool(labels.any() and not labels.all())


def _identities(table: pd.DataFrame) -> list[npt.NDArray[np.object_]]:
    """Return the identities of each pair's voice and face; empty if unknown."""
    if not set(IDENTITIES) <= set(table.columns):
        return []
    return [table[column].to_numpy(dtype=object) for column in IDENTITIES]


def _measures(scores: ScoreArray, labels: BoolArray, ratios: FloatArray | None, rules: PairRules) -> Iterator[_Measure]:
    for metric in rules.metrics:
        if metric == "auc":
            yield _Measure(metric, auc(scores, labels), auc_of)
        elif metric == "eer":
            yield _Measure(metric, eer(scores, labels), eer_of)
        elif metric == "tpr_at_fpr":
            for rate in rules.tpr_at_fpr:
                yield _Measure(_tpr_name(rate), tpr_at_fpr(scores, labels, rate), tpr_of(rate))
        elif metric == "min_dcf":
            point = rules.min_dcf.model_dump()
            yield _Measure(metric, min_dcf(scores, labels, **point), min_dcf_of(**point))
        elif metric == "min_cllr":
            yield _Measure(metric, min_cllr(scores, labels), min_cllr_of)
        elif ratios is None:
            yield _Measure(metric, float("nan"), None)
        else:
            costs = class_mean_of(trial_costs(ratios, labels), labels)
            yield _Measure(metric, cllr(ratios, labels), costs, (0.0, float("inf")))


def _tpr_name(rate: float) -> str:
    return f"tpr@fpr={rate:g}"


def _intervals(
    measures: list[_Measure],
    scores: ScoreArray,
    labels: BoolArray,
    people: tuple[IntArray, IntArray],
    n_identities: int,
    rules: PairRules,
    replicates: int,
    seed: int,
) -> dict[str, Interval]:
    """Compute intervals by metric; `people` are codes of both identities."""
    read = {measure.metric: measure.resampled for measure in measures if measure.resampled is not None}
    counts = identity_counts(n_identities, replicates, seed)
    by_identity = curve_replicates(scores, labels, *people, counts, read)
    by_pair = pair_replicates(scores, labels, *people, min(replicates, PAIR_REPLICATES), seed, read)
    rule = rules.interval
    return {
        measure.metric: percentile_interval(
            corrected(
                measure.value,
                by_identity[measure.metric],
                counts,
                by_pair=by_pair[measure.metric],
                level=rule.level,
                bounds=measure.bounds,
            ),
            rule.level,
            rule.method,
        )
        for measure in measures
        if measure.metric in read
    }


def resampled_aucs(
    tables: Sequence[pd.DataFrame], replicates: int, seed: int
) -> tuple[FloatArray, FloatArray, FloatArray, npt.NDArray[np.int32]]:
    """Compute the AUC of several runs on the same pairs, with resamples.

    Args:
        tables: one score table per run, with identities.
        replicates, seed: of the resamples.

    Returns:
        [S] values, [S, R] resamples by identities, [S, min(R, PAIR_REPLICATES)] resamples by pairs, and [R, I] counts.
    """
    names = (tables[0][column].to_numpy(dtype=object) for column in IDENTITIES)
    (voice, face), n_identities = identity_codes(*names)
    runs = [_Scored(table["score"].to_numpy(), table["label"].to_numpy(), voice, face) for table in tables]
    values = np.array([auc(scored.trials[0], scored.trials[1]) for scored in runs])
    found = [_resampled_auc(scored, n_identities, replicates, seed) for scored in runs]
    by_identity, by_pair = (np.stack(part) for part in zip(*found, strict=True))
    return values, by_identity, by_pair, identity_counts(n_identities, replicates, seed)


class _Scored:
    """A model's scores of a list of pairs, compared by bytes."""

    def __init__(self, score: FloatArray, labels: FloatArray, voice: IntArray, face: IntArray) -> None:
        self.trials = score, labels, voice, face
        self.digest = hashlib.sha256(b"".join(array.tobytes() for array in self.trials)).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Scored) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


# A reference is compared with many methods, and a model that no label changed appears once per subset.
@lru_cache(maxsize=256)
def _resampled_auc(scored: _Scored, n_identities: int, replicates: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Resample a model's AUC by identities and by pairs of them.

    Returns:
        [R] and [min(R, PAIR_REPLICATES)] resamples.
    """
    figure, counts = {"auc": auc_of}, identity_counts(n_identities, replicates, seed)
    by_identity = curve_replicates(*scored.trials, counts, figure)["auc"]
    by_pair = pair_replicates(*scored.trials, min(replicates, PAIR_REPLICATES), seed, figure)["auc"]
    return by_identity, by_pair


def check_pairs(file: ScoreFile, warnings: list[str]) -> None:
    """Check labels and identities of pairs; turn labels into numbers.

    Raises:
        RequestError: a label is not 0 or 1, an identity is empty, or a label contradicts the identities.
    """
    table = file.table
    file.numbers("label", finite=True)
    file.refuse(~table["label"].isin((0.0, 1.0)), lambda row: f"label '{row['label']:g}' is neither 0 nor 1")
    if set(IDENTITIES) <= set(table.columns):
        empty = (table[list(IDENTITIES)] == "").any(axis=1)
        file.refuse(empty, lambda _: f"one of {', '.join(IDENTITIES)} is empty")
        contrary = (table["voice_identity"] == table["face_identity"]) != (table["label"] == 1.0)
        file.refuse(
            contrary, lambda row: f"label {row['label']:g}, but the identities are {', '.join(row[list(IDENTITIES)])}"
        )
    else:
        warnings.append(f"{file.path}: no columns {', '.join(IDENTITIES)}: there are no intervals and no cllr")
    file.warn_of_duplicates(("voice", "face", "stratum"), warnings)


def parts_by_stratum(file: ScoreFile, place: Place) -> list[tuple[Place, pd.DataFrame]]:
    """Split a table of pairs by its column `stratum`, if any.

    Raises:
        RequestError: a stratum is empty, or has trials of one label only.
    """
    table = file.table
    strata = table["stratum"] if "stratum" in table.columns else pd.Series(place["stratum"], index=table.index)
    file.refuse(strata == "", lambda _: "the stratum is empty; U asks nothing")
    parts = []
    for name in dict.fromkeys(strata):
        part = table[strata == name].reset_index(drop=True)
        if part["label"].nunique() < 2:
            raise RequestError(f"{file.path}: all trials of stratum {name} are labelled {part['label'].iloc[0]:g}")
        parts.append(({**place, "stratum": name}, part))
    return parts
