"""Correct the spread of resampled figures to that of new identities.

Two corrections come before an interval or a p-value.

**Few identities.** The spread of resamples is itself an estimate, from n identities of unequal weight. As in
Student's interval, the resamples are stretched by the ratio of the quantiles of t and of the normal distribution, and
by sqrt(n / (n - 1)).

**Pairs.** A trial across identities i and j has the product of two counts as its weight. Two trials that share one
identity have the right covariance. But the variance of a product is three times that of a count, so the contribution
of a single pair is counted three times. If a list has few trials of each identity, this is most of the spread, and the
intervals are far too wide. The excess is measured by resampling pairs, and subtracted.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from lowshot.metrics.bootstrap import checked_counts
from lowshot.metrics.verification import FloatArray

ONE_SIDED_METHOD = "identity-bootstrap-t"
# Numbers in memory at once while covariances of counts and figures are computed.
_BLOCK_ELEMENTS = 2**22


def corrected(
    value: float,
    by_identity: npt.ArrayLike,
    counts: npt.ArrayLike,
    *,
    by_pair: npt.ArrayLike | None = None,
    level: float = 0.95,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> FloatArray:
    """Centre the resamples on the figure, and scale them to its spread.

    To first order a figure is a sum of contributions of its trials, psi. Its variance V is the sum of psi psi' over all
    pairs of trials that share an identity, each once. If every trial depends on one identity, resamples of identities
    have the variance V. If trials depend on two, they have V + 2 S. S sums, over pairs of identities, the square of the
    joint contribution of a pair's trials. Resamples of pairs have the variance S. So V is var(by_identity) -
    2 var(by_pair). It lies between a third of var(by_identity), if every pair is independent, and all of it.

    The degrees of freedom of V are those of a sum of squares of the identities' contributions, each estimated from its
    counts.

    Args:
        value: the figure.
        by_identity: [R] the figure in each resample of identities.
        counts: [R, n] the counts of those resamples.
        by_pair: [R'] the figure in each resample of pairs, from `pair_replicates`; None if each trial depends on one
            identity.
        level: of the interval that they are for, in (0, 1).
        bounds: the least and the greatest value that the figure can have.

    Returns:
        [R] figures around `value`; NaN where `by_identity` has none. Resamples that are all equal stay unchanged.

    Raises:
        ValueError: replicates and counts that do not belong together, or a level out of range.

    Source:
        Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007 (the excess); Aronow, Samii and Assenova,
        Cluster-robust variance estimation for dyadic data, Political Analysis 2015 (the sum over trials that share an
        identity); Satterthwaite, An approximate distribution of estimates of variance components, Biometrics 1946
        (degrees of freedom); Efron, Estimation and accuracy after model selection, JASA 2014 (what an identity
        contributes, from its counts).
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
    resampled, count_array = np.asarray(by_identity, dtype=np.float64), checked_counts(counts)
    if resampled.shape != (len(count_array),):
        raise ValueError(f"needs a figure for each of {len(count_array)} resamples, got shape {resampled.shape}")
    whole = ~np.isnan(resampled)
    if not whole.any() or np.ptp(resampled[whole]) == 0.0:
        return resampled
    centred = resampled - resampled[whole].mean()
    total = float(np.mean(centred[whole] ** 2))
    variance = total
    if by_pair is not None:
        single = float(np.nanvar(np.asarray(by_pair, dtype=np.float64)))
        variance = float(np.clip(total - 2.0 * single, total / 3.0, total))
    n_identities = count_array.shape[1]
    freedom = _freedom(variance, _contributions(centred[whole], count_array[whole]))
    tail = (1.0 + level) / 2.0
    stretch = stdtrit(freedom, tail) / ndtri(tail) * np.sqrt(n_identities / (n_identities - 1))
    spread: FloatArray = np.clip(value + np.sqrt(variance / total) * stretch * centred, *bounds)
    return spread


def _contributions(centred: FloatArray, counts: npt.NDArray[np.integer]) -> FloatArray:
    """Contribution of each identity [n]: the covariance of count and figure."""
    parts, step = np.zeros(counts.shape[1]), max(1, _BLOCK_ELEMENTS // counts.shape[1])
    for start in range(0, len(counts), step):
        parts += centred[start : start + step] @ counts[start : start + step]
    return parts / len(counts)


def _freedom(variance: float, contributions: FloatArray) -> float:
    """Degrees of freedom of a sum of squared contributions; at least 1."""
    squares = contributions**2
    # A sum of n like terms has the sum of their squared deviations as variance; a chi-square has 2 over its freedom.
    varies = float(((squares - squares.mean()) ** 2).sum())
    return max(1.0, 2.0 * variance**2 / varies) if varies > 0 else float(len(squares))
