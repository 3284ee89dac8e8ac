"""The first screen: its sentence, and the table of CMPC against each rival, from small invented results."""

import numpy as np
import pandas as pd
import pytest

from lowshot.reporting import first_screen, tables, verdicts

from .invented import differences, results


@pytest.fixture
def measured() -> pd.DataFrame:
    return tables.check(results())


def judged(measured: pd.DataFrame) -> pd.DataFrame:
    return verdicts.judge(differences(), measured)


def test_the_sentence_tells_the_difference_with_its_interval(measured: pd.DataFrame) -> None:
    assert first_screen.sentence(measured, judged(measured)) == (
        "Verification AUC, no labels: CMPC 70.6 % and CID 65.6 % (chance is 50.0 %, the upper bound is 90.0 %). "
        "CMPC − CID is +5.0 points, 95 % interval [+2.0, +8.1]: CMPC is better for these two training runs."
    )


def test_a_difference_that_may_be_nothing_is_said_to_be_so(measured: pd.DataFrame) -> None:
    table = differences()
    table.loc[0, "ci_low"] = -0.001
    sentence = first_screen.sentence(measured, verdicts.judge(table, measured))
    assert sentence.endswith("95 % interval [−0.1, +8.1]: no difference shown for these two training runs.")


def test_without_differences_the_sentence_claims_none(measured: pd.DataFrame) -> None:
    sentence = first_screen.sentence(measured, None)
    assert sentence == (
        "Verification AUC, no labels: CMPC 70.6 % [67.6, 73.6] (chance is 50.0 %, the upper bound is 90.0 %)."
    )


def test_without_intervals_the_sentence_shows_none(measured: pd.DataFrame) -> None:
    table = differences()
    table[["ci_low", "ci_high", "p_value"]] = np.nan
    sentence = first_screen.sentence(measured, verdicts.judge(table, measured))
    assert "[" not in sentence and sentence.endswith("is +5.0 points: no interval: no verdict.")
    bare = measured.assign(ci_low=np.nan, ci_high=np.nan)
    assert "CMPC 70.6 % (chance" in first_screen.sentence(bare, None)


def test_nothing_measured_is_nothing_said(measured: pd.DataFrame) -> None:
    models = ~measured["method"].isin(("chance", "oracle"))
    assert first_screen.sentence(measured[~models], None) == ""
    assert first_screen.sentence(measured.assign(value=measured["value"].where(~models)), None) == ""


def test_every_rival_stands_beside_cmpc_with_its_own_difference(measured: pd.DataFrame) -> None:
    shown = first_screen.rivals(measured, judged(measured))
    assert shown["main"] == "CMPC" and shown["budgets"] == ["no labels", "10 % fine-tuned"]
    assert [row["method"] for row in shown["rows"]] == ["chance", "CMPC", "CID", "oracle"]
    cells = {row["method"]: row["cells"] for row in shown["rows"]}
    assert cells["CMPC"][0] == {"value": "70.6", "interval": "[67.6, 73.6]", "ahead": ""}
    assert cells["CID"][0] == {"value": "65.6", "interval": "[62.6, 68.6]", "ahead": "+5.0 [+2.0, +8.1]"}
    assert cells["CID"][1]["ahead"] == "+1.0 [−2.0, +4.0]"
    assert cells["chance"] == [{"value": "50.0", "interval": "", "ahead": ""}] * 2
    assert not shown["lacks"]


def test_a_difference_that_was_taken_the_other_way_round_is_turned(measured: pd.DataFrame) -> None:
    other = measured.assign(method=measured["method"].replace("cid", "avid"))
    table = differences().assign(method_a="avid", method_b="cmpc")
    rows = {row["method"]: row for row in first_screen.rivals(other, verdicts.judge(table, other))["rows"]}
    assert rows["AVID"]["cells"][0]["ahead"] == "−5.0 [−8.1, −2.0]"


def test_a_rival_without_a_paired_difference_is_said_to_lack_it(measured: pd.DataFrame) -> None:
    assert first_screen.rivals(measured, None)["lacks"]
    table = differences()
    only_unlabelled = verdicts.judge(table[table["fraction"] == 0], measured)
    assert first_screen.rivals(measured, only_unlabelled)["lacks"]


def test_one_method_is_its_own_first_screen() -> None:
    alone = tables.check(results(methods=("avid",), seeds=1))
    shown = first_screen.rivals(alone, None)
    assert shown["main"] == "AVID" and not shown["lacks"]
    assert first_screen.sentence(alone, None).startswith("Verification AUC, no labels: AVID 70.1 %")
