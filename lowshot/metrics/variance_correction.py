"""Resampled figures made to spread as far as figures of new identities would.

Two things are put right before an interval or a p-value is read off.

**Few identities.** The spread of resamples is itself an estimate, from n identities that weigh unequally. As in
Student's interval, the resamples are stretched by the ratio of the quantiles of t and of the normal distribution, and
by sqrt(n / (n - 1)).

**Pairs.** A trial across identities i and j weighs the product of two counts. Two trials that share one identity vary
together as they should. But the variance of a product is three times that of a count: what a single pair contributes on
its own is counted three times, and where a list has few trials of each identity, that is most of the spread. The
intervals are then far too wide. The excess is measured, by resampling pairs, and taken away.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from lowshot.metrics.bootstrap import checked_counts
from lowshot.metrics.verification import FloatArray

ONE_SIDED_METHOD = "identity-bootstrap-t"
# Numbers held at once while counts are set against figures.
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
    """Move the resamples of a figure to the figure itself, and scale them to the right spread.

    To first order a figure is a sum of contributions of its trials, psi. Its variance V is the sum of psi psi' over all
    pairs of trials that share an identity, each once. Resamples of identities have that variance where every trial
    hangs on one identity. Where trials hang on two, they have V + 2 S, S being the sum over pairs of identities of the
    square of what their trials contribute together; resamples of pairs have the variance S. So V is
    var(by_identity) - 2 var(by_pair), between a third of var(by_identity), where every pair stands for itself, and all
    of it.

    The degrees of freedom of V are those of a sum of squares of what the identities contribute, each estimated from its
    counts.

    Args:
        value: the figure.
        by_identity: [R] the figure in each resample of identities.
        counts: [R, n] the counts of those resamples.
        by_pair: [R'] the figure in each resample of pairs, from `pair_replicates`; None where a trial hangs on one
            identity.
        level: of the interval that they are for, in (0, 1).
        bounds: the least and the greatest value that the figure can have.

    Returns:
        [R] figures around `value`; NaN where `by_identity` has none. Resamples that are all alike stay as they are.

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
    """What each identity contributes to a figure: the covariance of its count with the figure, [n]."""
    parts, step = np.zeros(counts.shape[1]), max(1, _BLOCK_ELEMENTS // counts.shape[1])
    for start in range(0, len(counts), step):
        parts += centred[start : start + step] @ counts[start : start + step]
    return parts / len(counts)


def _freedom(variance: float, contributions: FloatArray) -> float:
    """Degrees of freedom of an estimate of variance made of the squares of contributions; at least 1."""
    squares = contributions**2
    # A sum of n like terms varies by the sum of their squared deviations; a chi-square by 2 over its freedom.
    varies = float(((squares - squares.mean()) ** 2).sum())
    return max(1.0, 2.0 * variance**2 / varies) if varies > 0 else float(len(squares))
