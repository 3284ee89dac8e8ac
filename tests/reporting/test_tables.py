"""Tables against hand-computed figures of small invented results."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lowshot.errors import RequestError
from lowshot.reporting import tables


def row(method: str, value: Any, **changes: Any) -> dict[str, Any]:
    """One verification AUC without labels, changed where named."""
    base = {
        "method": method,
        "adaptation": "none",
        "protocol": "verification",
        "direction": "",
        "stratum": "U",
        "seen": "unseen-unheard",
        "gallery_size": "",
        "fraction": 0,
        "subset_seed": "",
        "train_seed": 0,
        "metric": "auc",
        "value": value,
        "ci_low": "",
        "ci_high": "",
    }
    return {**base, **changes}


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    return tables.check(pd.DataFrame(rows))


def test_headline_figures_equal_the_input() -> None:
    across = {"direction": "voice_to_face", "stratum": "U"}
    head = tables.headline(
        table(
            row("cmpc", 0.712, ci_low=0.69, ci_high=0.74),
            row("cmpc", 0.655, protocol="matching", metric="accuracy", gallery_size=2, **across),
            row("cmpc", 0.411, protocol="matching", metric="accuracy", gallery_size=10, **across),
            row("cmpc", 0.6, protocol="matching", metric="accuracy", gallery_size=2, direction="face_to_voice"),
            row("cmpc", 0.123, protocol="retrieval", metric="map", **across),
            row("cmpc", 0.9, seen="seen-heard"),
            row("cmpc", 0.61, stratum="G"),
        )
    )
    assert len(head) == 1
    found = head.iloc[0]
    assert (found["auc"], found["auc_low"], found["auc_high"]) == (0.712, 0.69, 0.74)
    assert (found["auc_g"], found["accuracy"], found["map"], found["seeds"]) == (0.61, 0.655, 0.123, 1)
    assert math.isnan(found["auc_min"]) and math.isnan(found["map_low"])


def test_the_gender_matched_auc_stands_beside_that_of_all_impostors() -> None:
    shown = tables.display(tables.headline(table(row("cmpc", 0.712), row("cmpc", 0.61, stratum="G"))))
    assert shown.iloc[0].to_dict() == {"Labels": "no labels", "Method": "CMPC", "AUC %": "71.2", "AUC G %": "61.0"}


def test_validation_figures_have_names_of_their_own() -> None:
    results = table(row("cmpc", 0.7, seen="validation"), row("cmpc", 0.6, seen="validation", stratum="G"))
    head = tables.headline(results)
    assert tables.names_of_figures(head) == ["validation auc", "validation auc_g"]
    assert list(tables.display(head).columns) == ["Labels", "Method", "validation AUC %", "validation AUC G %"]
    assert tables.strata(results).empty


def test_validation_figures_never_stand_among_test_figures() -> None:
    head = tables.headline(table(row("cmpc", 0.7, seen="validation"), row("cmpc", 0.6)))
    assert tables.names_of_figures(head) == ["auc"] and head["auc"].tolist() == [0.6]


def test_seeds_are_averaged_and_their_spread_kept_apart() -> None:
    head = tables.headline(
        table(
            row("cmpc", 0.70, train_seed=0, ci_low=0.66, ci_high=0.74),
            row("cmpc", 0.76, train_seed=1, ci_low=0.72, ci_high=0.80),
        )
    )
    found = head.iloc[0]
    assert found["auc"] == pytest.approx(0.73)
    assert (found["auc_min"], found["auc_max"], found["seeds"]) == (0.70, 0.76, 2)
    assert (found["auc_low"], found["auc_high"]) == (pytest.approx(0.69), pytest.approx(0.77))
    assert tables.display(head).iloc[0].tolist() == ["no labels", "CMPC", "2", "73.0 [69.0, 77.0]", "70.0–76.0"]


def test_labelled_subsets_are_no_further_seeds() -> None:
    def runs(*values: tuple[int, int, float]) -> pd.DataFrame:
        budget: dict[str, Any] = {"adaptation": "probe", "fraction": 0.1}
        return table(
            *(row("cmpc", value, train_seed=seed, subset_seed=subset, **budget) for seed, subset, value in values)
        )

    found = tables.headline(runs((0, 0, 0.60), (0, 1, 0.80), (1, 0, 0.75), (1, 1, 0.77))).iloc[0]
    assert found["auc"] == pytest.approx(0.73)
    # Subsets of one training spread by 20 points, the trainings by 6.
    assert (found["seeds"], found["auc_min"], found["auc_max"]) == (2, pytest.approx(0.70), pytest.approx(0.76))
    alone = tables.headline(runs((0, 0, 0.60), (0, 1, 0.80))).iloc[0]
    assert (alone["seeds"], alone["auc_min"], alone["auc_max"]) == (2, 0.60, 0.80)


def test_a_missing_seed_is_not_averaged_away() -> None:
    head = tables.headline(table(row("cmpc", 0.7, train_seed=0), row("cmpc", "", train_seed=1)))
    assert math.isnan(head.iloc[0]["auc"])


def test_rows_run_from_chance_by_labels_to_oracle() -> None:
    head = tables.headline(
        table(
            row("oracle", 0.9, fraction="", train_seed=""),
            row("cid", 0.66, adaptation="finetune", fraction=0.1),
            row("zeta", 0.61),
            row("cid", 0.62),
            row("cmpc", 0.65, adaptation="probe", fraction=0.01),
            row("cmpc", 0.64),
            row("chance", 0.5, fraction="", train_seed=""),
        )
    )
    assert head["method"].tolist() == ["chance", "cmpc", "cid", "zeta", "cmpc", "cid", "oracle"]
    assert tables.display(head)["Labels"].tolist() == [
        "",
        "no labels",
        "no labels",
        "no labels",
        "1 % probe",
        "10 % fine-tuned",
        "",
    ]


def test_chance_of_several_runs_is_one_row_without_seeds() -> None:
    head = tables.headline(
        table(row("chance", 0.5, run_id="a"), row("chance", 0.5, run_id="b", train_seed=1), row("cid", 0.6))
    )
    assert head["method"].tolist() == ["chance", "cid"]
    assert head["seeds"].tolist() == [1, 1] and head["auc"].tolist() == [0.5, 0.6]


def test_strata_hold_the_strata_that_were_measured() -> None:
    results = table(row("cid", 0.6), row("cid", 0.55, stratum="GNA"), row("cid", 0.8, seen="seen-heard"))
    assert tables.names_of_figures(tables.strata(results)) == ["U", "GNA"]
    assert tables.strata(results).iloc[0]["GNA"] == 0.55
    assert tables.strata(results, seen="seen-heard").iloc[0]["U"] == 0.8


def test_directions_are_kept_apart() -> None:
    one = {"protocol": "matching", "metric": "accuracy", "gallery_size": 5}
    results = table(
        row("cid", 0.3, direction="voice_to_face", **one), row("cid", 0.4, direction="face_to_voice", **one)
    )
    assert tables.direction(results, "voice_to_face").iloc[0]["1:5"] == 0.3
    assert tables.direction(results, "face_to_voice").iloc[0]["1:5"] == 0.4


def test_strata_of_matching_are_never_averaged() -> None:
    one: dict[str, Any] = {"protocol": "matching", "metric": "accuracy", "direction": "voice_to_face"}
    results = table(
        row("cmpc", 0.8, gallery_size=2, **one),
        row("cmpc", 0.6, gallery_size=2, **{**one, "stratum": "G"}),
        row("cmpc", 0.1, protocol="retrieval", metric="map", direction="voice_to_face", stratum="G"),
    )
    head = tables.headline(results).iloc[0]
    assert head["accuracy"] == 0.8 and math.isnan(head["map"])
    found = {name: (words, part.iloc[0]["1:2"]) for name, words, part in tables.directions(results)}
    assert found == {
        "voice_to_face": ("voice to face", 0.8),
        "voice_to_face-G": ("voice to face, impostors of stratum G", 0.6),
    }


def by_gender(value: float = 0.7) -> list[dict[str, Any]]:
    """A figure with its groups, in two strata."""
    return [
        row("cmpc", value + step, stratum=stratum, group=group)
        for stratum in ("U", "G")
        for group, step in (("", 0.0), ("gender=f", -0.1), ("gender=m", 0.1))
    ]


def test_groups_count_in_no_table_but_their_own() -> None:
    whole = pd.DataFrame(by_gender())
    # Rows just measured are shown without having been checked.
    raw = tables.headline(whole.assign(ci_low=math.nan, ci_high=math.nan))
    checked = tables.headline(tables.check(whole))
    for head in (raw, checked):
        assert head[["auc", "auc_g", "seeds"]].to_numpy().tolist() == [[0.7, 0.7, 1]]
    assert tables.strata(tables.check(whole)).iloc[0][["U", "G"]].tolist() == [0.7, 0.7]
    assert len(tables.check(whole)) == 2
    parted = tables.by_group(tables.check_groups(whole))
    assert tables.names_of_figures(parted) == ["U gender=f", "U gender=m", "G gender=f", "G gender=m"]
    assert parted.iloc[0][["U gender=f", "G gender=m"]].tolist() == [pytest.approx(0.6), pytest.approx(0.8)]


def test_results_without_groups_have_an_empty_table_of_them() -> None:
    old = pd.DataFrame([row("cmpc", 0.7)])
    assert len(tables.check(old)) == 1
    assert tables.by_group(tables.check_groups(old)).empty


def test_a_group_with_two_figures_is_refused_like_any_other() -> None:
    rows = [*by_gender(), row("cmpc", 0.5, group="gender=f")]
    with pytest.raises(RequestError, match="row 8: column 'value' gives cmpc a second figure"):
        tables.check(pd.DataFrame(rows))


@pytest.mark.parametrize("metric", ["tpr@fpr=0.01", "min_cllr", "min_dcf"])
def test_new_shares_are_checked_and_other_figures_are_free(metric: str) -> None:
    with pytest.raises(RequestError, match=f"{metric} must be in"):
        table(row("cmpc", 1.2, metric=metric))
    assert len(table(row("cmpc", 1.2, metric="cllr"), row("cmpc", 17.5, metric="median_rank"))) == 2


def test_text_and_markdown_show_the_same_figures() -> None:
    head = tables.headline(table(row("cmpc", 0.7, ci_low=0.65, ci_high=0.75), row("a|b", 0.6)))
    assert tables.to_text(head).splitlines() == [
        "Labels     Method  AUC %",
        "---------  ------  -----------------",
        "no labels  CMPC    70.0 [65.0, 75.0]",
        "no labels  a|b     60.0",
    ]
    assert tables.to_markdown(head).splitlines() == [
        "| Labels | Method | AUC % |",
        "| --- | --- | --- |",
        "| no labels | CMPC | 70.0 [65.0, 75.0] |",
        "| no labels | a\\|b | 60.0 |",
    ]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row("cid", "high")], "row 2: column 'value' holds 'high', not a number"),
        ([row("cid", 0.6), row("cmpc", 61.0)], "row 3: column 'value' holds 61; auc must be in"),
        ([row("cid", 0.6, data_sha="a"), row("cmpc", 0.6, data_sha="b")], "column 'data_sha'"),
        ([row("cid", 0.6, run_id="a"), row("cid", 0.7, run_id="b")], "row 3: column 'value' gives cid a second figure"),
        ([{key: value for key, value in row("cid", 0.6).items() if key != "metric"}], "column 'metric' is missing"),
    ],
)
def test_malformed_results_name_file_and_column(rows: list[dict[str, Any]], words: str, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    with pytest.raises(RequestError) as caught:
        tables.check(tables.read_csv(path), path)
    assert str(path) in str(caught.value) and words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"method,value\n", b"a,b\n1,2,3\n4\n", b"\xff\xfe\x00broken"])
def test_a_file_that_is_no_table_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"results\.csv: ") as caught:
        tables.check(tables.read_csv(path), path)
    assert "\n" not in str(caught.value)


def test_a_method_called_null_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    pd.DataFrame([row("null", 0.6)]).to_csv(path, index=False)
    assert tables.check(tables.read_csv(path), path)["method"].tolist() == ["null"]


@pytest.mark.slow
def test_tables_import_neither_torch_nor_matplotlib() -> None:
    code = "import sys, lowshot.reporting.tables; print({'torch', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_a_missing_value_equals_none_that_is_wanted() -> None:
    table = pd.DataFrame({"gallery_size": pd.array([2, None, 5], dtype="Int64"), "metric": ["a", "a", None]})
    assert tables.where_equal(table, {"gallery_size": 2.0, "metric": "a"}).index.tolist() == [0]
    assert tables.where_equal(table, {"gallery_size": 5}).index.tolist() == [2]
