"""Correction of p-values for many claims in one table."""

import numpy as np
import numpy.typing as npt

from lowshot.metrics.verification import FloatArray


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Correct p-values by Holm's step-down method (family-wise error rate).

    If nothing differs in a table, the chance that it holds a corrected p-value of 0.05 or less is at most 5 %. This
    is true for any dependence between the tests.

    Args:
        p_values: [m] in [0, 1]; NaN for no test, which does not count as one.

    Returns:
        [m] corrected p-values, never below the given ones and at most 1; NaN for no test.

    Raises:
        ValueError: more than one axis, or a value outside [0, 1].

    Source:
        Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.
    """
    given = np.asarray(p_values, dtype=np.float64)
    tested = ~np.isnan(given)
    if given.ndim != 1 or (given[tested] < 0).any() or (given[tested] > 1).any():
        raise ValueError("p-values must lie in [0, 1], on one axis")
    rising = np.argsort(given[tested], kind="stable")
    left = np.arange(len(rising), 0, -1)
    # A test can be rejected only after all tests with smaller p-values.
    stepped = np.minimum(np.maximum.accumulate(given[tested][rising] * left), 1.0)
    found = np.full(given.shape, np.nan)
    found[np.flatnonzero(tested)[rising]] = stepped
    return found
