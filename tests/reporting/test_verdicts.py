"""Verdicts against hand-made differences."""

import math
from typing import Any

import pandas as pd
import pytest

from lowshot.errors import RequestError
from lowshot.reporting import verdicts

from .test_tables import row, table


def difference(low: float, high: float, **changes: Any) -> dict[str, Any]:
    base = {
        "method_a": "cmpc",
        "method_b": "cid",
        "adaptation": "none",
        "fraction": 0,
        "metric": "auc",
        "protocol": "verification",
        "direction": "",
        "stratum": "U",
        "seen": "unseen-unheard",
        "gallery_size": "",
        "seeds": 3,
        "difference": (low + high) / 2,
        "ci_low": low,
        "ci_high": high,
        "p_value": 0.004,
    }
    return {**base, **changes}


def judged(*rows: dict[str, Any], results: pd.DataFrame | None = None) -> pd.DataFrame:
    return verdicts.judge(pd.DataFrame(rows), table(row("cmpc", 0.6)) if results is None else results)


def test_verdict_follows_the_interval() -> None:
    found = judged(
        difference(0.01, 0.05),
        difference(-0.01, 0.05, adaptation="probe", fraction=0.01),
        difference(-0.05, -0.01, adaptation="finetune", fraction=0.01),
        difference(0.0, 0.04, adaptation="probe", fraction=0.1),
        difference(math.nan, math.nan, adaptation="finetune", fraction=0.1),
    )
    assert found["verdict"].tolist() == [
        "CMPC is better",
        "no difference shown",
        "CID is better",
        "no difference shown",
        "no interval: no verdict",
    ]


@pytest.mark.parametrize(
    ("seeds", "scope"), [(1, " for this one training run"), (2, " for these two training runs"), (3, ""), (10, "")]
)
def test_few_runs_say_nothing_of_the_methods(seeds: int, scope: str) -> None:
    found = judged(difference(0.01, 0.05, seeds=seeds), difference(-0.1, 0.1, seeds=seeds, stratum="G"))
    assert found["verdict"].tolist() == [f"CMPC is better{scope}", f"no difference shown{scope}"]


def test_the_spread_over_seeds_is_that_of_paired_runs() -> None:
    results = table(
        *(row("cmpc", value, train_seed=seed) for seed, value in enumerate((0.70, 0.80, 0.60))),
        *(row("cid", value, train_seed=seed) for seed, value in enumerate((0.65, 0.70, 0.62))),
        row("cmpc", 0.9, train_seed=0, stratum="G"),
        row("cid", 0.1, train_seed=0, stratum="G"),
        row("cmpc", 0.9, train_seed=0, adaptation="probe", fraction=0.1),
    )
    found = judged(difference(0.0, 0.1), difference(0.0, 0.1, stratum="G", seeds=1), results=results)
    assert found["seed_low"].tolist() == [pytest.approx(-0.02), pytest.approx(math.nan, nan_ok=True)]
    assert found["seed_high"].tolist() == [pytest.approx(0.10), pytest.approx(math.nan, nan_ok=True)]
    turned = judged(difference(0.0, 0.1, method_a="cid", method_b="cmpc"), results=results).iloc[0]
    assert (turned["seed_low"], turned["seed_high"]) == (pytest.approx(-0.02), pytest.approx(0.10))


def test_the_spread_over_seeds_is_not_that_over_labelled_subsets() -> None:
    budget: dict[str, Any] = {"adaptation": "probe", "fraction": 0.1}
    results = table(
        *(
            row(method, value, train_seed=seed, subset_seed=subset, **budget)
            for method, values in (("cmpc", (0.60, 0.80, 0.70, 0.74)), ("cid", (0.65, 0.65, 0.65, 0.65)))
            for (seed, subset), value in zip(((0, 0), (0, 1), (1, 0), (1, 1)), values, strict=True)
        )
    )
    found = judged(difference(0.0, 0.1, seeds=2, **budget), results=results).iloc[0]
    assert (found["seed_low"], found["seed_high"]) == (pytest.approx(0.05), pytest.approx(0.07))


def test_a_verdict_is_corrected_for_the_whole_table() -> None:
    claimed_alone = judged(difference(0.01, 0.05, p_value=0.02))
    assert claimed_alone["verdict"].tolist() == ["CMPC is better"]
    assert claimed_alone["p_holm"].tolist() == [0.02]
    # Rows that the page does not show count as well.
    others = [difference(-0.1, 0.1, p_value=0.5, metric="eer", seeds=seeds) for seeds in (1, 2)]
    among = judged(difference(0.01, 0.05, p_value=0.02), *others)
    assert among["verdict"].tolist() == ["no difference shown after correction for all comparisons"]
    assert among["p_holm"].tolist() == [pytest.approx(0.06)]


def test_corrected_p_values_of_the_table_itself_are_kept() -> None:
    found = judged(difference(0.01, 0.05, p_value=0.02, p_holm=0.2), difference(0.01, 0.05, stratum="G", p_holm=0.03))
    assert found["p_holm"].tolist() == [0.2, 0.03]
    assert found["verdict"].tolist() == ["no difference shown after correction for all comparisons", "CMPC is better"]


def test_a_retrieval_speaks_of_its_gallery() -> None:
    search: dict[str, Any] = {"protocol": "retrieval", "metric": "map", "direction": "voice_to_face"}
    found = judged(difference(0.01, 0.05, **search), difference(-0.1, 0.1, seeds=2, fraction=0.1, **search))
    assert found["verdict"].tolist() == [
        "CMPC is better in this gallery",
        "no difference shown in this gallery for these two training runs",
    ]


def test_a_p_value_that_is_none_is_one_line() -> None:
    with pytest.raises(RequestError, match=r"differences\.csv: column 'p_value': p-values must lie in \[0, 1\]"):
        judged(difference(0.01, 0.05, p_value=1.5))


@pytest.mark.parametrize("rival", ["cid", "avid"])
def test_a_rival_minus_cmpc_is_turned_round(rival: str) -> None:
    claim = judged(difference(-0.05, -0.01, method_a=rival, method_b="cmpc")).iloc[0]
    assert (claim["first"], claim["second"]) == ("cmpc", rival)
    assert (claim["difference"], claim["low"], claim["high"]) == (pytest.approx(0.03), 0.01, 0.05)


def test_every_protocol_is_claimed_with_all_impostors_first() -> None:
    search: dict[str, Any] = {"direction": "voice_to_face"}
    found = judged(
        difference(0.1, 0.2, protocol="retrieval", metric="map", **search),
        difference(0.1, 0.2, stratum="GNA"),
        difference(0.1, 0.2, protocol="matching", metric="accuracy", gallery_size=2, **search),
        difference(0.1, 0.2, stratum="G"),
        difference(0.1, 0.2),
    )
    assert found["figure"].tolist() == ["auc", "auc_g", "auc_gna", "accuracy", "map"]


def test_other_figures_are_not_claimed() -> None:
    others: list[dict[str, Any]] = [
        {"stratum": "N"},
        {"metric": "eer"},
        {"seen": "seen-heard"},
        {"seen": "validation"},
        {"protocol": "matching", "metric": "accuracy", "gallery_size": 10, "direction": "voice_to_face"},
        {"protocol": "retrieval", "metric": "map", "direction": "face_to_voice"},
    ]
    assert judged(*(difference(0.1, 0.2, **change) for change in others)).empty


def test_a_table_of_other_columns_is_one_line() -> None:
    incomplete = {key: value for key, value in difference(0.1, 0.2).items() if key != "direction"}
    with pytest.raises(RequestError, match=r"differences\.csv: column 'direction' is missing; .* lowshot demo"):
        judged(incomplete)


def test_a_difference_that_rounds_to_nothing_has_no_minus() -> None:
    assert verdicts.points(-0.0002) == verdicts.points(0.0002) == "+0.0"
    assert verdicts.points(-0.0312) == "−3.1"
