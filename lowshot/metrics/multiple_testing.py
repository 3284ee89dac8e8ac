"""Many claims in one table: p-values that hold for all of them together."""

import numpy as np
import numpy.typing as npt

from lowshot.metrics.verification import FloatArray


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Holm's step-down correction: p-values that keep the chance of any false claim in a table at their level.

    Whatever the tests have to do with each other: no more than 5 % of tables in which nothing differs hold a corrected
    p-value of 0.05 or less.

    Args:
        p_values: [m] in [0, 1]; NaN where there was no test, which then counts for none.

    Returns:
        [m] corrected p-values, never below the given ones and at most 1; NaN where there was no test.

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
    # A test is claimed only after all with smaller p-values are.
    stepped = np.minimum(np.maximum.accumulate(given[tested][rising] * left), 1.0)
    found = np.full(given.shape, np.nan)
    found[np.flatnonzero(tested)[rising]] = stepped
    return found
