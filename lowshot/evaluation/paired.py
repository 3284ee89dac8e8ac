"""Paired differences between two methods, computed from their score tables of the same trials.

Every replicate resamples the identities once, for all training seeds of both methods alike: the interval is that of
the choice of identities, given these training runs. The spread over runs is another thing and is not in it.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.errors import RequestError
from lowshot.evaluation.protocols import matching_protocol, retrieval_protocol, verification_protocol
from lowshot.evaluation.verification import identity_codes
from lowshot.metrics.bootstrap import Difference, IntArray, difference_of, identity_counts, mean_replicates
from lowshot.metrics.curve_replicates import PAIR_REPLICATES, auc_of, curve_replicates, pair_replicates
from lowshot.metrics.matching import trial_credit
from lowshot.metrics.variance_correction import corrected
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
    found = [_resampled_auc(_Scored(score, labels, voice, face), n_identities, replicates, seed) for score in scores]
    resampled, by_pair = (np.stack(part) for part in zip(*found, strict=True))
    level = verification_protocol().interval.level
    return _difference(values, resampled, counts, len(scores_a), level, by_pair)


class _Scored:
    """A model's scores of a list of trials, equal to others of the same bytes."""

    def __init__(self, score: FloatArray, labels: FloatArray, voice: IntArray, face: IntArray) -> None:
        self.trials = score, labels, voice, face
        self.digest = hashlib.sha256(b"".join(array.tobytes() for array in self.trials)).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Scored) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


# A reference is held against many, and a model that no label changed stands there once for every subset.
@lru_cache(maxsize=256)
def _resampled_auc(scored: _Scored, n_identities: int, replicates: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Resamples of a model's AUC, [R] by identities and [min(R, PAIR_REPLICATES)] by pairs of them."""
    figure, counts = {"auc": auc_of}, identity_counts(n_identities, replicates, seed)
    by_identity = curve_replicates(*scored.trials, counts, figure)["auc"]
    by_pair = pair_replicates(*scored.trials, min(replicates, PAIR_REPLICATES), seed, figure)["auc"]
    return by_identity, by_pair


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
    if n_identities < 2:
        # A single identity has no spread to resample.
        return difference_of(float(_gap(means, split)), [], level)
    counts = identity_counts(n_identities, replicates, seed)
    resampled = np.stack([mean_replicates(value, (codes,), counts) for value in values])
    return _difference(means, resampled, counts, split, level)


def _difference(
    values: FloatArray,
    resampled: FloatArray,
    counts: npt.NDArray[np.int32],
    split: int,
    level: float,
    by_pair: FloatArray | None = None,
) -> Difference:
    """From the figures of all runs [S] and their resamples [S, R]; the first `split` runs are those of a."""
    value = float(_gap(values, split))
    single = None if by_pair is None else _gap(by_pair, split)
    gaps = corrected(value, _gap(resampled, split), counts, by_pair=single, level=level, bounds=(-1.0, 1.0))
    return difference_of(value, gaps, level)


def _gap(figures: FloatArray, split: int) -> FloatArray:
    """Mean over the runs of a minus that over the runs of b: [S, ...] -> [...]."""
    gap: FloatArray = figures[:split].mean(axis=0) - figures[split:].mean(axis=0)
    return gap


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
