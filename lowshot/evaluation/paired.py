"""Paired differences between two methods, computed from their score tables of the same trials.

Every replicate resamples the identities once, for all training seeds of both methods alike: the interval is that of
the choice of identities, given these training runs. The spread over runs is another thing and is not in it.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.errors import RequestError
from lowshot.evaluation.protocols import matching_protocol, retrieval_protocol, verification_protocol
from lowshot.evaluation.verification import identity_codes
from lowshot.metrics.bootstrap import (
    Difference,
    auc_replicates,
    identity_counts,
    mean_replicates,
    paired_difference,
)
from lowshot.metrics.matching import trial_credit
from lowshot.metrics.verification import auc

Tables = Sequence[pd.DataFrame]
FloatArray = npt.NDArray[np.float64]


def paired_auc(scores_a: Tables, scores_b: Tables, replicates: int, seed: int) -> Difference:
    """Difference in verification AUC of two methods, a minus b, each the mean over its training seeds.

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
    columns = ("voice", "face", "voice_identity", "face_identity", "label")
    tables = _same_trials(scores_a, scores_b, columns, ("score",))
    labels = tables[0]["label"].to_numpy()
    (voice, face), n_identities = identity_codes(
        tables[0]["voice_identity"].to_numpy(dtype=object), tables[0]["face_identity"].to_numpy(dtype=object)
    )
    counts = identity_counts(n_identities, replicates, seed)
    scores = [table["score"].to_numpy() for table in tables]
    values = np.array([auc(score, labels) for score in scores])
    resampled = np.stack([auc_replicates(score, labels, voice, face, counts) for score in scores])
    return _difference(values, resampled, len(scores_a), verification_protocol().interval.level)


def paired_accuracy(scores_a: Tables, scores_b: Tables, size: int, replicates: int, seed: int) -> Difference:
    """Difference in 1:N matching accuracy of two methods; the probes' identities are resampled.

    Args:
        scores_a, scores_b: as `matching_score_table` gives them, one per training seed.
        size: N; probes with fewer candidates are left out, as in `matching_figures`.
        replicates, seed: as in `paired_auc`.

    Returns:
        As `paired_auc`; no interval (NaN) where all probes are of one identity.

    Raises:
        RequestError: as `paired_auc`.
    """
    scores = ("score", *(f"score_{place}" for place in range(1, size)))
    columns = ("direction", "probe", "identity", "target", *(f"candidate_{place}" for place in range(1, size)))
    # A gallery that ends before N has no score there.
    full_a, full_b = (
        [table.dropna(subset=[scores[-1]]) if scores[-1] in table else table for table in given]
        for given in (scores_a, scores_b)
    )
    tables = _same_trials(full_a, full_b, columns, scores)
    target = np.zeros(len(tables[0]), dtype=np.int64)
    credit = [trial_credit(table[list(scores)].to_numpy(), target) for table in tables]
    return _difference_of_means(tables[0], credit, len(scores_a), replicates, seed, matching_protocol().interval.level)


def paired_map(scores_a: Tables, scores_b: Tables, replicates: int, seed: int) -> Difference:
    """Difference in mean average precision of two methods; the queries' identities are resampled.

    Args:
        scores_a, scores_b: as `rank_queries` gives them, one per training seed.
        replicates, seed: as in `paired_auc`.

    Returns:
        As `paired_auc`; no interval (NaN) where all queries are of one identity.

    Raises:
        RequestError: as `paired_auc`.
    """
    columns = ("query", "identity", "n_ranked", "n_relevant")
    tables = _same_trials(scores_a, scores_b, columns, ("average_precision",))
    values = [table["average_precision"].to_numpy() for table in tables]
    return _difference_of_means(tables[0], values, len(scores_a), replicates, seed, retrieval_protocol().interval.level)


def _difference_of_means(
    trials: pd.DataFrame, values: Sequence[FloatArray], split: int, replicates: int, seed: int, level: float
) -> Difference:
    (codes,), n_identities = identity_codes(trials["identity"].to_numpy(dtype=object))
    means = np.array([value.mean() for value in values])
    # A single identity has no spread to resample.
    resampled = np.full((len(values), 1), np.nan)
    if n_identities > 1:
        counts = identity_counts(n_identities, replicates, seed)
        resampled = np.stack([mean_replicates(value, (codes,), counts) for value in values])
    return _difference(means, resampled, split, level)


def _difference(values: FloatArray, resampled: FloatArray, split: int, level: float) -> Difference:
    """Means over the training seeds of each method: the first `split` rows are those of a, the rest of b."""
    return paired_difference(
        float(values[:split].mean()),
        float(values[split:].mean()),
        resampled[:split].mean(axis=0),
        resampled[split:].mean(axis=0),
        level,
    )


def _same_trials(
    scores_a: Tables, scores_b: Tables, trials: Sequence[str], scores: Sequence[str]
) -> list[pd.DataFrame]:
    """Tables in one order, so that those written in another still pair up; first those of a, then those of b."""
    if not scores_a or not scores_b:
        raise RequestError("a paired difference needs score tables of both methods")
    tables = [_in_order(table, trials, scores) for table in (*scores_a, *scores_b)]
    for table in tables[1:]:
        if not table[list(trials)].equals(tables[0][list(trials)]):
            raise RequestError("score tables of different trials cannot be compared in pairs; evaluate with one --seed")
    return tables


def _in_order(table: pd.DataFrame, trials: Sequence[str], scores: Sequence[str]) -> pd.DataFrame:
    for column in (*trials, *scores):
        if column not in table.columns:
            raise RequestError(f"score table: column '{column}' is missing; it needs {', '.join((*trials, *scores))}")
    # A number is one number, whether it was just computed or read from a file.
    types = {column: float if pd.api.types.is_numeric_dtype(table[column]) else str for column in trials}
    return table.astype(types).sort_values(list(trials), kind="stable", ignore_index=True)
