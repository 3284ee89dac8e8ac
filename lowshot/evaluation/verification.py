"""Verification measured: AUC, EER and detection cost of scored trials, their intervals, and paired differences."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.draws import IntArray
from lowshot.evaluation.protocols import VerificationProtocol, verification_protocol
from lowshot.evaluation.results import Figure
from lowshot.evaluation.scorers import ScoreArray
from lowshot.evaluation.trial_files import verification_table
from lowshot.evaluation.trials import VerificationTrials
from lowshot.metrics.bootstrap import (
    Difference,
    auc_replicates,
    eer_replicates,
    identity_counts,
    paired_difference,
    percentile_interval,
)
from lowshot.metrics.verification import auc, eer, min_dcf, roc_points, tied_trials

TRIAL_COLUMNS = ["voice", "face", "voice_identity", "face_identity", "label"]


def identity_codes(*identities: npt.NDArray[np.object_]) -> tuple[list[IntArray], int]:
    """Number the identities of some arrays from 0: the codes of each array, and how many identities there are."""
    names, codes = np.unique(np.concatenate(identities).astype(str), return_inverse=True)
    return np.split(codes.astype(np.int64), np.cumsum([len(array) for array in identities])[:-1]), len(names)


def verification_figures(
    trials: VerificationTrials,
    scores: ScoreArray,
    dataset: Dataset,
    protocol: VerificationProtocol,
    replicates: int,
    seed: int,
) -> list[Figure]:
    """Figures of scored trials.

    Args:
        trials: T trials.
        scores: [T] finite.
        dataset: whose rows the trials name.
        protocol: metrics, their settings and the interval's rule.
        replicates: number of resamples.
        seed: seed of the resamples.

    Returns:
        AUC and EER with intervals over identities, and the minimum detection cost without one.
    """
    (voice, face), n_identities = identity_codes(
        dataset.voices["identity"].to_numpy()[trials.voice], dataset.faces["identity"].to_numpy()[trials.face]
    )
    counts = identity_counts(n_identities, replicates, seed)
    ties = tied_trials(scores, trials.label)
    figures = []
    for metric in protocol.metrics:
        interval = None
        if metric == "auc":
            value = auc(scores, trials.label)
            resampled = auc_replicates(scores, trials.label, voice, face, counts)
            interval = percentile_interval(resampled, protocol.interval.level)
        elif metric == "eer":
            value = eer(scores, trials.label)
            resampled = eer_replicates(scores, trials.label, voice, face, counts)
            interval = percentile_interval(resampled, protocol.interval.level)
        else:
            value = min_dcf(scores, trials.label, **protocol.min_dcf.model_dump())
        figures.append(Figure(metric, value, len(trials), n_identities, interval, ties))
    return figures


def verification_chance(trials: VerificationTrials, dataset: Dataset, protocol: VerificationProtocol) -> list[Figure]:
    """Closed-form figures of a model that knows nothing: AUC and EER 0.5, normalised cost 1."""
    _, n_identities = identity_codes(
        dataset.voices["identity"].to_numpy()[trials.voice], dataset.faces["identity"].to_numpy()[trials.face]
    )
    values = {"auc": 0.5, "eer": 0.5, "min_dcf": 1.0}
    return [Figure(metric, values[metric], len(trials), n_identities) for metric in protocol.metrics]


def verification_scores(trials: VerificationTrials, scores: ScoreArray, dataset: Dataset) -> pd.DataFrame:
    """Score table: `voice, face, voice_identity, face_identity, label, score`, one row per trial."""
    table = verification_table(trials, dataset).drop(columns="stratum")
    table.insert(2, "voice_identity", dataset.voices["identity"].to_numpy()[trials.voice])
    table.insert(3, "face_identity", dataset.faces["identity"].to_numpy()[trials.face])
    table["score"] = scores
    return table


def roc_curve(trials: VerificationTrials, scores: ScoreArray) -> pd.DataFrame:
    """ROC points: `fpr, tpr, threshold`, from accepting nothing to accepting all."""
    points = roc_points(scores, trials.label)
    return pd.DataFrame({"fpr": points.fpr, "tpr": points.tpr, "threshold": points.thresholds})


def paired_differences(
    scores_a: Sequence[pd.DataFrame], scores_b: Sequence[pd.DataFrame], replicates: int, seed: int
) -> Difference:
    """Difference in AUC of two methods, a minus b, each the mean over its training seeds, on the same trials.

    Every replicate resamples the identities once, for all seeds of both methods alike: the interval is that of the
    choice of identities, given these seeds. The spread over seeds is another thing and is not in it.

    Args:
        scores_a: score tables of the first method, one per training seed, as `verification_scores` gives them.
        scores_b: those of the second, at least one.
        replicates: number of resamples.
        seed: seed of the resamples.

    Returns:
        The difference with its interval at the protocol's level and its two-sided p-value.

    Raises:
        RequestError: no tables, a table without a column, or tables of different trials.
    """
    if not scores_a or not scores_b:
        raise RequestError("a paired difference needs score tables of both methods")
    tables = [_in_order(table) for table in (*scores_a, *scores_b)]
    first = tables[0]
    for table in tables[1:]:
        if not table[TRIAL_COLUMNS].equals(first[TRIAL_COLUMNS]):
            raise RequestError("score tables of different trials cannot be compared in pairs; evaluate with one --seed")
    labels = first["label"].to_numpy()
    (voice, face), n_identities = identity_codes(
        first["voice_identity"].to_numpy(dtype=object), first["face_identity"].to_numpy(dtype=object)
    )
    counts = identity_counts(n_identities, replicates, seed)
    scores = [table["score"].to_numpy() for table in tables]
    values = np.array([auc(score, labels) for score in scores])
    resampled = np.stack([auc_replicates(score, labels, voice, face, counts) for score in scores])
    split = len(scores_a)
    return paired_difference(
        float(values[:split].mean()),
        float(values[split:].mean()),
        resampled[:split].mean(axis=0),
        resampled[split:].mean(axis=0),
        verification_protocol().interval.level,
    )


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Trials in an order of their own, so that tables written in another order still pair up."""
    for column in (*TRIAL_COLUMNS, "score"):
        if column not in table.columns:
            raise RequestError(f"score table: column '{column}' is missing; it needs {', '.join(TRIAL_COLUMNS)}, score")
    typed = table.astype({"label": int, **dict.fromkeys(TRIAL_COLUMNS[:-1], str)})
    return typed.sort_values(TRIAL_COLUMNS, kind="stable", ignore_index=True)
