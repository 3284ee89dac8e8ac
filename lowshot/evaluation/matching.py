"""1:N matching measured: accuracy against the number of candidates."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lowshot.data.dataset import Dataset
from lowshot.evaluation.protocols import MatchingProtocol
from lowshot.evaluation.results import Figure
from lowshot.evaluation.scorers import ScoreArray, Scorer, checked_scores
from lowshot.evaluation.trial_files import matching_table
from lowshot.evaluation.trials import MatchingTrials
from lowshot.evaluation.verification import identity_codes
from lowshot.metrics.bootstrap import identity_counts, mean_replicates, percentile_interval
from lowshot.metrics.matching import tied_trials, trial_credit


def matching_scores(trials: MatchingTrials, scorer: Scorer) -> ScoreArray:
    """Scores of all candidates: [T, N] with the target's in column 0 and NaN where a candidate is missing."""
    rows = np.concatenate([trials.target[:, None], trials.impostors], axis=1)
    given = rows >= 0
    probe = np.broadcast_to(trials.probe[:, None], rows.shape)[given]
    voice, face = (probe, rows[given]) if trials.direction == "voice_to_face" else (rows[given], probe)
    found = checked_scores(scorer.pairs(voice, face))
    scores = np.full(rows.shape, np.nan, dtype=found.dtype)
    scores[given] = found
    return scores


def usable_sizes(trials: MatchingTrials, sizes: Sequence[int]) -> list[int]:
    """Those gallery sizes that at least one trial reaches."""
    return [size for size in sizes if size <= trials.largest]


def matching_figures(
    trials: MatchingTrials,
    scores: ScoreArray,
    dataset: Dataset,
    protocol: MatchingProtocol,
    sizes: Sequence[int],
    replicates: int,
    seed: int,
) -> list[Figure]:
    """Accuracy for each gallery size, with intervals over the probes' identities.

    Args:
        trials: T trials.
        scores: [T, N] as `matching_scores` gives them.
        dataset: whose rows the trials name.
        protocol: the interval's rule.
        sizes: gallery sizes; those no trial reaches are left out.
        replicates: number of resamples.
        seed: seed of the resamples.

    Deviation:
        Only the probe's identity, which is the target's, is resampled. With the product of all N identities' counts as
        a trial's weight, one trial in a hundred would carry a replicate at N = 10.
    """
    identity = _probe_identity(trials, dataset)
    figures = []
    for size in usable_sizes(trials, sizes):
        kept = trials.having(size)
        # Ties are shared, so the target's column says nothing: column 0 will do.
        part, target = scores[kept, :size], np.zeros(int(kept.sum()), dtype=np.int64)
        credit = trial_credit(part, target)
        (codes,), n_probed = identity_codes(identity[kept])
        # A single identity has no spread to resample.
        interval = None
        if n_probed > 1:
            resampled = mean_replicates(credit, (codes,), identity_counts(n_probed, replicates, seed))
            interval = percentile_interval(resampled, protocol.interval.level)
        ties = tied_trials(part, target)
        figures.append(Figure("accuracy", float(credit.mean()), len(part), n_probed, interval, ties, gallery_size=size))
    return figures


def matching_chance(trials: MatchingTrials, dataset: Dataset, sizes: Sequence[int]) -> list[Figure]:
    """Closed-form accuracy of a model that knows nothing: 1/N."""
    identity = _probe_identity(trials, dataset)
    return [
        Figure("accuracy", 1 / size, int(kept.sum()), len(np.unique(identity[kept])), gallery_size=size)
        for size in usable_sizes(trials, sizes)
        for kept in [trials.having(size)]
    ]


def matching_score_table(trials: MatchingTrials, scores: ScoreArray, dataset: Dataset) -> pd.DataFrame:
    """Score table: `direction, probe, identity, target, candidate_1 ..., score, score_1 ...`, one row per trial.

    `score` is the target's and `score_k` that of `candidate_k`; accuracy of 1:N compares `score` with
    `score_1 ... score_{N-1}`.
    """
    table = matching_table(trials, dataset)
    table.insert(2, "identity", _probe_identity(trials, dataset))
    table["score"] = scores[:, 0]
    for place in range(1, scores.shape[1]):
        table[f"score_{place}"] = scores[:, place]
    return table


def _probe_identity(trials: MatchingTrials, dataset: Dataset) -> np.ndarray:
    return dataset.rows(trials.direction.split("_")[0])["identity"].to_numpy()[trials.probe]
