"""A figure of several runs on the same trials, with its resamples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.metrics.bootstrap import identity_codes, identity_counts, mean_replicates


@dataclass(frozen=True, eq=False)
class Resampled:
    """A figure of several runs on one list, and its resamples.

    Args:
        values: [S] the figure of each run.
        by_identity: [S, R] the figure in each resample of identities; None if a single identity has all trials.
        counts: [R, I] how often each identity stands in each resample; None as above.
        by_pair: [S, R'] the figure in each resample of pairs of identities; None if trials depend on one identity.
    """

    values: npt.NDArray[np.float64]
    by_identity: npt.NDArray[np.float64] | None
    counts: npt.NDArray[np.int32] | None
    by_pair: npt.NDArray[np.float64] | None = None


def resampled_means(
    values: Sequence[npt.NDArray[np.float64]], trials: pd.DataFrame, replicates: int, seed: int
) -> Resampled:
    """Average trials of several runs, with resamples of the column `identity`.

    Args:
        values: [T] for each run.
        trials: T rows with `identity`.
        replicates, seed: of the resamples.
    """
    (codes,), n_identities = identity_codes(trials["identity"].to_numpy(dtype=object))
    means = np.array([value.mean() for value in values])
    if n_identities < 2:
        # A single identity cannot be resampled.
        return Resampled(means, None, None)
    counts = identity_counts(n_identities, replicates, seed)
    return Resampled(means, np.stack([mean_replicates(value, (codes,), counts) for value in values]), counts)
