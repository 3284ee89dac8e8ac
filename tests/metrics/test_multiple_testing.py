"""Holm's correction against its definition."""

import numpy as np
import pytest

from lowshot.metrics.multiple_testing import holm


def by_definition(p_values, alpha):
    """Claim the smallest p-values one by one, as long as each is at most alpha over the number of those left."""
    claimed, left = set(), list(np.argsort(p_values, kind="stable"))
    while left and p_values[left[0]] <= alpha / len(left):
        claimed.add(int(left.pop(0)))
    return claimed


@pytest.mark.parametrize("seed", range(20))
def test_a_corrected_p_value_is_the_level_at_which_the_claim_is_made(seed):
    rng = np.random.default_rng(seed)
    p_values = np.round(rng.random(rng.integers(1, 9)) ** 3, 2)
    corrected = holm(p_values)
    for alpha in (0.011, 0.053, 0.107, 0.33):
        assert set(np.flatnonzero(corrected <= alpha).tolist()) == by_definition(p_values, alpha)


def test_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])
    np.testing.assert_array_equal(holm([0.02]), [0.02])
    assert holm([]).shape == (0,)


def test_what_was_not_tested_counts_for_none():
    np.testing.assert_allclose(holm([np.nan, 0.01, np.nan, 0.02]), [np.nan, 0.02, np.nan, 0.02])
    assert np.isnan(holm([np.nan])).all()


def test_few_tables_without_any_difference_hold_a_claim():
    rng = np.random.default_rng(0)
    wrong = [holm(rng.random(12)).min() <= 0.05 for _ in range(2000)]
    # A table of 12 uncorrected tests would hold one 46 times in a hundred.
    assert 0.035 < np.mean(wrong) < 0.065


@pytest.mark.parametrize("p_values", [[-0.1], [1.1], [[0.5]]])
def test_what_is_no_p_value_is_refused(p_values):
    with pytest.raises(ValueError, match="p-values"):
        holm(p_values)
