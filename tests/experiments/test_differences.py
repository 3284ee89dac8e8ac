"""The table of differences: every figure once, its p-values corrected for how many there are."""

import numpy as np
import pandas as pd
import pytest

from lowshot.evaluation.evaluate import EvaluationResult
from lowshot.experiments import differences
from lowshot.experiments.differences import difference_rows, differences_table
from lowshot.metrics.multiple_testing import holm
from lowshot.schema import DIFFERENCE_COLUMNS

# As it is, before the other tests of this folder make do with less.
LEAST_REPLICATES = differences.LEAST_REPLICATES


def result(rng: np.random.Generator, gap: float) -> EvaluationResult:
    """Verification of 60 identities, and its AUC with those of two genders."""
    voice = np.repeat(np.arange(60), 2)
    face = np.where(np.arange(120) % 2, (voice + 7) % 60, voice)
    table = pd.DataFrame(
        {
            "voice": voice.astype(str),
            "face": face.astype(str),
            "voice_identity": voice.astype(str),
            "face_identity": face.astype(str),
            "label": (voice == face).astype(int),
        }
    )
    table["score"] = rng.normal(size=120) + gap * table["label"]
    place = {"metric": "auc", "protocol": "verification", "direction": "", "stratum": "U", "seen": "unseen-unheard"}
    rows = pd.DataFrame([{**place, "group": group, "value": value} for group, value in (("gender=f", 0.1), ("", 0.7))])
    scores = {"verification-unseen-unheard-U": table}
    return EvaluationResult(rows.assign(gallery_size=pd.array([pd.NA, pd.NA], dtype="Int64")), scores, {}, ())


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    monkeypatch.setattr(differences, "LEAST_REPLICATES", LEAST_REPLICATES)
    rng = np.random.default_rng(0)
    ours, theirs = [result(rng, 3.0)], [result(rng, 0.0)]
    return [
        *difference_rows(("a", "b"), "none", 0.0, ours, theirs, 100, 0),
        *difference_rows(("b", "b"), "none", 0.0, theirs, theirs, 100, 0),
    ]


def test_figures_of_groups_are_no_figures_of_a_method(rows: list[dict[str, object]]) -> None:
    assert [row["value_a"] for row in rows] == [0.7, 0.7]


def test_p_values_are_corrected_for_the_whole_table(rows: list[dict[str, object]]) -> None:
    table = differences_table(rows)
    assert tuple(table.columns) == DIFFERENCE_COLUMNS and DIFFERENCE_COLUMNS[-1] == "p_holm"
    np.testing.assert_array_equal(table["p_holm"], holm(table["p_value"]))
    assert table["p_holm"].tolist() == [2 * table["p_value"].iloc[0], 1.0]
    assert differences_table([]).empty


@pytest.mark.parametrize("rows", [1, 200, 251, 2000])
def test_however_many_rows_there_are_the_clearest_can_be_shown(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differences, "LEAST_REPLICATES", LEAST_REPLICATES)
    replicates = differences.enough_replicates(1000, rows)
    p_values = [2 / (replicates + 1), *[1.0] * (rows - 1)]
    assert holm(p_values)[0] <= 0.05
    assert differences.enough_replicates(10**6, rows) == 10**6


def test_a_clear_difference_stays_one_in_a_table_of_many(rows: list[dict[str, object]]) -> None:
    """Of 100 resamples the least p-value is 0.02: five of those, and nothing could ever be shown."""
    many = differences_table([rows[0], *[rows[1]] * 99])
    assert many["p_value"].iloc[0] == 2 / (LEAST_REPLICATES + 1)
    assert many["p_holm"].iloc[0] < 0.05
