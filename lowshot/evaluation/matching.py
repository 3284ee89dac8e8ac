"""1:N matching measured: accuracy against the number of candidates."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from lowshot.data.dataset import Dataset
from lowshot.evaluation.groups import group_columns, groups
from lowshot.evaluation.protocols import MatchingProtocol
from lowshot.evaluation.results import Figure
from lowshot.evaluation.scorers import ScoreArray, Scorer, checked_scores
from lowshot.evaluation.trial_files import matching_table
from lowshot.evaluation.trials import MatchingTrials
from lowshot.evaluation.verification import identity_codes
from lowshot.metrics.bootstrap import Interval, identity_counts, mean_replicates, percentile_interval
from lowshot.metrics.matching import tied_trials, trial_credit
from lowshot.metrics.variance_correction import corrected


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


def matching_trials(trials: MatchingTrials, dataset: Dataset) -> pd.DataFrame:
    """The score table of trials before they are scored: `direction, probe, identity, target, candidate_1 ...`."""
    table = matching_table(trials, dataset)
    modality = trials.direction.split("_")[0]
    table.insert(2, "identity", dataset.rows(modality)["identity"].to_numpy()[trials.probe])
    return pd.concat([table, group_columns(dataset, modality, trials.probe)], axis=1)


def matching_score_table(trials: MatchingTrials, scores: ScoreArray, dataset: Dataset) -> pd.DataFrame:
    """Score table: `direction, probe, identity, target, candidate_1 ..., score, score_1 ...`, one row per trial.

    `score` is the target's and `score_k` that of `candidate_k`; accuracy of 1:N compares `score` with
    `score_1 ... score_{N-1}`. Behind them stand the attributes of the probe by which figures are parted.
    """
    table = matching_trials(trials, dataset)
    place = 4 + trials.impostors.shape[1]
    for number in range(scores.shape[1]):
        table.insert(place + number, f"score_{number}" if number else "score", scores[:, number])
    return table


def matching_figures(
    table: pd.DataFrame, protocol: MatchingProtocol, sizes: Sequence[int], replicates: int, seed: int
) -> list[Figure]:
    """Accuracy for each gallery size, of all trials and of each group, with intervals over the probes' identities.

    Args:
        table: as `matching_score_table` gives it; without the column `identity` there are no intervals.
        protocol: groups and the interval's rule.
        sizes: gallery sizes; those no trial reaches are left out.
        replicates: number of resamples.
        seed: seed of the resamples.

    Returns:
        The figures of all trials first.

    Deviation:
        Only the probe's identity, which is the target's, is resampled. With the product of all N identities' counts as
        a trial's weight, one trial in a hundred would carry a replicate at N = 10.
    """
    figures = []
    for group, part, size in _parts(table, protocol, sizes):
        names = ["score", *(f"score_{place}" for place in range(1, size))]
        # Ties are shared, so the target's column says nothing: column 0 will do.
        scores, target = part[names].to_numpy(), np.zeros(len(part), dtype=np.int64)
        credit = trial_credit(scores, target)
        interval, n_probed = None, _probed(part)
        # A single identity has no spread to resample.
        if n_probed is not None and n_probed > 1:
            interval = _interval(part, credit, protocol, replicates, seed)
        ties = tied_trials(scores, target)
        figures.append(
            Figure(
                "accuracy", float(credit.mean()), len(part), n_probed, interval, ties, gallery_size=size, group=group
            )
        )
    return figures


def _interval(
    part: pd.DataFrame, credit: np.ndarray, protocol: MatchingProtocol, replicates: int, seed: int
) -> Interval:
    (codes,), n_probed = identity_codes(part["identity"].to_numpy(dtype=object))
    counts = identity_counts(n_probed, replicates, seed)
    rule = protocol.interval
    resampled = corrected(float(credit.mean()), mean_replicates(credit, (codes,), counts), counts, level=rule.level)
    return percentile_interval(resampled, rule.level, rule.method)


def matching_chance(table: pd.DataFrame, protocol: MatchingProtocol, sizes: Sequence[int]) -> list[Figure]:
    """Closed-form accuracy of a model that knows nothing: 1/N.

    Args:
        table: as `matching_trials` gives it.
        protocol: groups.
        sizes: as in `matching_figures`.
    """
    return [
        Figure("accuracy", 1 / size, len(part), _probed(part), gallery_size=size, group=group)
        for group, part, size in _parts(table, protocol, sizes)
    ]


def _parts(
    table: pd.DataFrame, protocol: MatchingProtocol, sizes: Sequence[int]
) -> Iterator[tuple[str, pd.DataFrame, int]]:
    """Each group and gallery size with the trials that have one."""
    for group, rows in groups(table, protocol.groups):
        for size in sizes:
            # What is missing has no score; before anything is scored, an empty name.
            last = next((name for name in (f"score_{size - 1}", f"candidate_{size - 1}") if name in table.columns), "")
            if not last:
                continue
            given = table[last].notna() & (table[last] != "")
            part = table[rows & given.to_numpy()]
            if len(part):
                yield group, part, size


def _probed(part: pd.DataFrame) -> int | None:
    """How many identities the probes are of, where the table says."""
    return part["identity"].nunique() if "identity" in part.columns else None
