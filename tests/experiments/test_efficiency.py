"""How many labels come to the same: interpolation by hand, resamples, and what cannot be said."""

import math

import numpy as np
import pandas as pd
import pytest

from lowshot.evaluation.evaluate import EvaluationResult
from lowshot.experiments.efficiency import (
    Point,
    efficiency_lines,
    efficiency_rows,
    efficiency_table,
    points,
    reach,
)
from lowshot.metrics.bootstrap import identity_codes, identity_counts
from lowshot.metrics.curve_replicates import auc_of, curve_replicates, pair_replicates
from lowshot.metrics.variance_correction import corrected
from lowshot.metrics.verification import auc
from lowshot.schema import EFFICIENCY_COLUMNS

FRACTIONS = [0.0, 0.01, 0.1, 1.0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.50, 0.0),  # without labels already
        (0.61, 0.0025),  # a quarter of the way to 1 %, along the fraction
        (0.64, 0.01),
        (0.67, 0.01 * 10**0.5),  # half the way to 10 %, along its logarithm
        (0.75, 0.1 * 10**0.5),
        (0.80, 1.0),
        (0.81, math.inf),
    ],
)
def test_a_value_is_reached_where_the_curve_has_it(value, expected):
    curve = np.array([[0.60, 0.64, 0.70, 0.80]])
    assert reach(np.array([value]), curve, FRACTIONS)[0] == pytest.approx(expected)


def test_of_a_curve_that_falls_the_best_so_far_counts():
    curve = np.array([[0.60, 0.66, 0.62, 0.84]])
    assert reach(np.array([0.66]), curve, FRACTIONS)[0] == pytest.approx(0.01)
    assert reach(np.array([0.75]), curve, FRACTIONS)[0] == pytest.approx(0.1 * 10**0.5)
    assert reach(np.array([0.62]), curve, FRACTIONS)[0] < 0.01


def test_a_copy_of_the_reference_needs_no_more_labels_than_it():
    falling = np.array([[0.70148, 0.71412, 0.70154]])
    for place, fraction in enumerate(FRACTIONS[:3]):
        assert reach(falling[:, place], falling, FRACTIONS[:3])[0] <= fraction


def test_a_level_curve_is_reached_at_once_or_never():
    flat = np.array([[0.7, 0.7, 0.7, 0.7]])
    assert reach(np.array([0.7]), flat, FRACTIONS)[0] == 0.0
    assert reach(np.array([0.7000001]), flat, FRACTIONS)[0] == math.inf


def measured(value, spread=0.0, replicates=200, seed=0):
    noise = np.random.default_rng(seed).normal(0, spread, replicates) if spread else np.zeros(replicates)
    return {0: Point(value, value + noise, 2)}


def curves(ours, spread=0.0):
    reference = {("none", 0.0): measured(0.60), ("probe", 0.01): measured(0.64), ("probe", 0.1): measured(0.70)}
    return {"cmpc": {("probe", 0.01): measured(ours, spread)}, "cid": reference}


def test_rows_say_what_the_reference_needs_and_how_sure_that_is():
    (row,) = efficiency_rows(curves(0.67, 0.01), "cid")
    assert tuple(efficiency_table([row]).columns) == EFFICIENCY_COLUMNS
    assert (row["method"], row["reference"], row["adaptation"], row["fraction"]) == ("cmpc", "cid", "probe", 0.01)
    assert row["equal_fraction"] == pytest.approx(0.01 * 10**0.5)
    resampled = measured(0.67, 0.01)[0].replicates
    alone = np.sort(reach(resampled, np.tile([0.60, 0.64, 0.70], (200, 1)), [0.0, 0.01, 0.1]))
    assert row["ci_low"] == alone[4]
    assert row["ci_high"] == alone[195]
    assert row["ci_low"] < row["equal_fraction"] < row["ci_high"]


def test_what_lies_beyond_the_largest_fraction_is_said_so():
    (row,) = efficiency_rows(curves(0.72, 0.02), "cid")
    assert (row["equal_fraction"], row["ci_high"], row["largest_fraction"]) == (math.inf, math.inf, 0.1)
    assert row["ci_low"] < 0.1
    (line,) = efficiency_lines(efficiency_table([row]))
    assert line.startswith("cmpc with 1 % (probe) = cid with over 10 % [")
    assert line.endswith("over 10 %]")


def test_what_the_least_fraction_reaches_may_take_less():
    some = curves(0.63, 0.02)
    del some["cid"]["none", 0.0]
    (row,) = efficiency_rows(some, "cid")
    assert (row["equal_fraction"], row["ci_low"], row["least_fraction"]) == (0.01, 0.01, 0.01)
    (line,) = efficiency_lines(efficiency_table([row]))
    assert line.startswith("cmpc with 1 % (probe) = cid with at most 1 % [at most 1 %, ")
    (row,) = efficiency_rows(curves(0.67), "cid")
    assert row["least_fraction"] == 0.0


def test_resamples_without_a_figure_are_left_out_and_none_leaves_no_interval():
    some = curves(0.67)
    point = some["cmpc"]["probe", 0.01][0]
    point.replicates[:50] = np.nan
    (row,) = efficiency_rows(some, "cid")
    assert row["ci_low"] == row["ci_high"] == pytest.approx(0.01 * 10**0.5)
    point.replicates[:] = np.nan
    (row,) = efficiency_rows(some, "cid")
    assert math.isnan(row["ci_low"])
    assert row["equal_fraction"] == pytest.approx(0.01 * 10**0.5)


def test_one_fraction_of_the_reference_is_no_curve():
    alone = curves(0.67)
    alone["cid"] = {("probe", 0.01): measured(0.64)}
    assert efficiency_rows(alone, "cid") == []


def test_a_point_is_the_mean_over_runs_in_every_resample():
    generator = np.random.default_rng(1)
    names = [f"id{n}" for n in range(8) for _ in range(4)]
    others = [f"id{(n + 1) % 8}" if k % 2 else f"id{n}" for n in range(8) for k in range(4)]
    trials = pd.DataFrame({"voice_identity": names, "face_identity": others, "label": [1, 0] * 16})
    tables = [trials.assign(score=generator.normal(size=32) + trials["label"]) for _ in range(2)]
    runs = [EvaluationResult(pd.DataFrame(), {"verification-unseen-unheard-U": table}, {}, ()) for table in tables]
    both, first, second = (points(part, 100, 3)[0] for part in (runs, runs[:1], runs[1:]))
    assert both.value == pytest.approx(np.mean([auc(table["score"], table["label"]) for table in tables]))
    assert (both.runs, len(both.replicates)) == (2, 100)
    middle = (first.replicates + second.replicates) / 2
    assert np.corrcoef(middle[~np.isnan(middle)], both.replicates[~np.isnan(middle)])[0, 1] > 0.95
    # As far as the interval of the run itself.
    (voice, face), count = identity_codes(np.array(names, object), np.array(others, object))
    counts = identity_counts(count, 100, 3)
    trials = (tables[0]["score"], tables[0]["label"], voice, face)
    by_identity = curve_replicates(*trials, counts, {"auc": auc_of})["auc"]  # type: ignore[call-arg]
    by_pair = pair_replicates(*trials, 100, 3, {"auc": auc_of})["auc"]  # type: ignore[call-arg]
    np.testing.assert_allclose(first.replicates, corrected(first.value, by_identity, counts, by_pair=by_pair))
