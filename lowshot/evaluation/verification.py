"""Verification measured: AUC, EER and detection cost of scored trials, and their intervals."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.data.dataset import Dataset
from lowshot.evaluation.draws import IntArray
from lowshot.evaluation.protocols import VerificationProtocol
from lowshot.evaluation.results import Figure
from lowshot.evaluation.scorers import ScoreArray
from lowshot.evaluation.trial_files import verification_table
from lowshot.evaluation.trials import VerificationTrials
from lowshot.metrics.bootstrap import auc_replicates, eer_replicates, identity_counts, percentile_interval
from lowshot.metrics.verification import auc, eer, min_dcf, roc_points, tied_trials


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
