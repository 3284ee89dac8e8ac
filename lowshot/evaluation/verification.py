"""Verification measured: ROC figures and calibration of scored trials, and their intervals."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.data.dataset import Dataset
from lowshot.evaluation.groups import group_columns, groups
from lowshot.evaluation.protocols import VerificationProtocol
from lowshot.evaluation.results import Figure
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.scorers import ScoreArray
from lowshot.evaluation.trial_files import verification_table
from lowshot.evaluation.trials import BoolArray, VerificationTrials
from lowshot.metrics.bootstrap import Interval, identity_counts, percentile_interval
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
from lowshot.metrics.verification import (
    FloatArray,
    auc,
    eer,
    min_dcf,
    roc_corners,
    tied_trials,
    tpr_at_fpr,
)

IDENTITIES = ("voice_identity", "face_identity")


class _Measure(NamedTuple):
    """A figure of a list: its name and value, how it is read off a resample (None: it has no interval), its ends."""

    metric: str
    value: float
    resampled: CurveFigure | None
    bounds: tuple[float, float] = (0.0, 1.0)


def identity_codes(*identities: npt.NDArray[np.object_]) -> tuple[list[IntArray], int]:
    """Number the identities of some arrays from 0: the codes of each array, and how many identities there are."""
    names, codes = np.unique(np.concatenate(identities).astype(str), return_inverse=True)
    return np.split(codes.astype(np.int64), np.cumsum([len(array) for array in identities])[:-1]), len(names)


def verification_trials(trials: VerificationTrials, dataset: Dataset) -> pd.DataFrame:
    """The score table of trials before they are scored: `voice, face, voice_identity, face_identity, label`."""
    table = verification_table(trials, dataset).drop(columns="stratum")
    table.insert(2, "voice_identity", dataset.voices["identity"].to_numpy()[trials.voice])
    table.insert(3, "face_identity", dataset.faces["identity"].to_numpy()[trials.face])
    return pd.concat([table, group_columns(dataset, "voice", trials.voice)], axis=1)


def verification_scores(trials: VerificationTrials, scores: ScoreArray, dataset: Dataset) -> pd.DataFrame:
    """Score table: `voice, face, voice_identity, face_identity, label, score`, one row per trial.

    Behind them stand the attributes of the voice by which figures are parted, such as `gender`.
    """
    table = verification_trials(trials, dataset)
    table.insert(5, "score", scores)
    return table


def verification_figures(
    table: pd.DataFrame, protocol: VerificationProtocol, replicates: int, seed: int
) -> list[Figure]:
    """Figures of scored trials, of all of them and of each group that has trials of both labels.

    Args:
        table: as `verification_scores` gives it; without the columns of identities there are no intervals and no
            `cllr`.
        protocol: metrics, their settings, groups and the interval's rule.
        replicates: number of resamples.
        seed: seed of the resamples.

    Returns:
        The figures of all trials first. `cllr` is NaN where the identities are too few to calibrate across.
    """
    scores, labels = table["score"].to_numpy(), table["label"].to_numpy() == 1
    identities = _identities(table)
    ratios = cross_calibrated(scores, labels, *identity_codes(*identities)[0]) if identities else None
    figures = []
    for group, rows in groups(table, protocol.groups):
        if group and not _both_labels(labels[rows]):
            continue
        part = scores[rows], labels[rows]
        # Groups are judged by the calibration of all: what fits one gender and not the other must show.
        measures = list(_measures(*part, None if ratios is None else ratios[rows], protocol))
        intervals: dict[str, Interval] = {}
        n_identities = None
        if identities:
            (voice, face), n_identities = identity_codes(*(names[rows] for names in identities))
            intervals = _intervals(measures, *part, (voice, face), n_identities, protocol, replicates, seed)
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


def _identities(table: pd.DataFrame) -> list[npt.NDArray[np.object_]]:
    """Whose voice and whose face each trial has; nothing where the table does not say."""
    if not set(IDENTITIES) <= set(table.columns):
        return []
    return [table[column].to_numpy(dtype=object) for column in IDENTITIES]


def _both_labels(labels: BoolArray) -> bool:
    return bool(labels.any() and not labels.all())


def _measures(
    scores: ScoreArray, labels: BoolArray, ratios: FloatArray | None, protocol: VerificationProtocol
) -> Iterator[_Measure]:
    for metric in protocol.metrics:
        if metric == "auc":
            yield _Measure(metric, auc(scores, labels), auc_of)
        elif metric == "eer":
            yield _Measure(metric, eer(scores, labels), eer_of)
        elif metric == "tpr_at_fpr":
            for rate in protocol.tpr_at_fpr:
                yield _Measure(_tpr_name(rate), tpr_at_fpr(scores, labels, rate), tpr_of(rate))
        elif metric == "min_dcf":
            point = protocol.min_dcf.model_dump()
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
    protocol: VerificationProtocol,
    replicates: int,
    seed: int,
) -> dict[str, Interval]:
    """Intervals by metric; people: the identities of voices and faces, as numbers."""
    read = {measure.metric: measure.resampled for measure in measures if measure.resampled is not None}
    counts = identity_counts(n_identities, replicates, seed)
    by_identity = curve_replicates(scores, labels, *people, counts, read)
    by_pair = pair_replicates(scores, labels, *people, min(replicates, PAIR_REPLICATES), seed, read)
    rule = protocol.interval
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


def verification_chance(table: pd.DataFrame, protocol: VerificationProtocol) -> list[Figure]:
    """Closed-form figures of a model that knows nothing: AUC and EER 0.5, TPR the FPR, costs 1.

    Args:
        table: as `verification_trials` gives it.
        protocol: metrics and groups.
    """
    values: dict[str, float] = {}
    for metric in protocol.metrics:
        if metric == "tpr_at_fpr":
            values |= {_tpr_name(rate): rate for rate in protocol.tpr_at_fpr}
        else:
            values[metric] = 0.5 if metric in ("auc", "eer") else 1.0
    labels = table["label"].to_numpy() == 1
    identities = _identities(table)
    figures = []
    for group, rows in groups(table, protocol.groups):
        if not _both_labels(labels[rows]):
            continue
        known = identity_codes(*(names[rows] for names in identities))[1] if identities else None
        figures += [Figure(metric, value, int(rows.sum()), known, group=group) for metric, value in values.items()]
    return figures


def error_curve(table: pd.DataFrame) -> pd.DataFrame:
    """ROC and DET points: `fpr, tpr, fnr, threshold`, from accepting nothing to accepting all.

    Points on a straight line between others are left out: joined linearly, the rest are the same curve.
    """
    points = roc_corners(table["score"].to_numpy(), table["label"].to_numpy())
    return pd.DataFrame({"fpr": points.fpr, "tpr": points.tpr, "fnr": 1.0 - points.tpr, "threshold": points.thresholds})
