"""Several directories on one page: what may stand together, and under which names."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowshot.errors import RequestError
from lowshot.reporting.cluster_tables import gather as gather_clusters
from lowshot.reporting.cluster_tables import rows, sizes
from lowshot.reporting.drawing import Missing
from lowshot.reporting.efficiency_table import read as read_efficiency
from lowshot.reporting.efficiency_table import rows as efficiency_rows
from lowshot.reporting.page import write_report
from lowshot.reporting.sources import gather
from lowshot.workflows.report import training_logs

from .invented import by_gender, clusters, curve, differences, label_efficiency, results


def folder(parent: Path, name: str, table: pd.DataFrame) -> Path:
    made = parent / name
    made.mkdir()
    table.to_csv(made / "results.csv", index=False)
    return made


def test_runs_of_different_data_do_not_share_a_page(tmp_path: Path) -> None:
    one = folder(tmp_path, "one", results(("cmpc",)).assign(data_sha="aaaa"))
    other = folder(tmp_path, "other", results(("cid",)).assign(data_sha="bbbb"))
    with pytest.raises(RequestError, match=r"other: measured on other data \(bbbb\) than .*one \(aaaa\); make a page"):
        write_report(tmp_path / "page", title="t", curves={}, commands=[], sources=[one, other])
    assert not (tmp_path / "page").exists()


def test_data_that_is_not_stated_is_no_proof(tmp_path: Path) -> None:
    one = folder(tmp_path, "one", results(("cmpc",)).assign(data_sha="aaaa"))
    other = folder(tmp_path, "other", results(("cid",)))
    with pytest.raises(RequestError, match=r"other data \(not stated\)"):
        gather([one, other])


def test_other_trials_of_the_same_data_do_not_share_a_page(tmp_path: Path) -> None:
    one = folder(tmp_path, "one", results(("cmpc",)))
    other = folder(tmp_path, "other", results(("cid",)).assign(n_trials=1235))
    with pytest.raises(RequestError, match=r"was measured on 1235 trials, in .*one on 1234"):
        gather([one, other])


def test_as_many_other_trials_do_not_share_a_page(tmp_path: Path) -> None:
    directories = [folder(tmp_path, method, results((method,))) for method in ("cmpc", "cid")]
    table = pd.DataFrame({"voice": ["a", "b"], "face": ["c", "d"], "label": [1, 0], "score": [0.5, 0.1]})
    for directory in directories:
        made = directory / "scores" / f"{directory.name}-seed0"
        made.mkdir(parents=True)
        # Neither their order, nor how a label is written, nor the scores make them other trials.
        table.to_csv(made / "verification-unseen-unheard-U.csv")
        table = table.assign(score=[0.2, 0.3], label=[1.0, 0.0]).iloc[::-1]
    assert set(gather(directories).results["method"]) == {"cmpc", "cid", "chance", "oracle"}
    table.assign(face=["c", "d"]).to_csv(made / "verification-unseen-unheard-U.csv")
    with pytest.raises(RequestError, match=r"cid: verification-unseen-unheard-U\.csv holds scores of other trials"):
        gather(directories)


def test_one_table_of_two_datasets_is_refused(tmp_path: Path) -> None:
    table = results()
    table["data_sha"] = np.where(table["method"] == "cid", "bbbb", "aaaa")
    with pytest.raises(RequestError, match="'data_sha' names more than one dataset"):
        gather([folder(tmp_path, "one", table)])


def test_methods_of_one_name_with_other_figures_carry_their_directory(tmp_path: Path) -> None:
    one = folder(tmp_path, "one", by_gender(results(("cmpc", "cid"))))
    table = by_gender(results(("cmpc", "avid")))
    changed = table["method"] == "cmpc"
    other = folder(tmp_path, "other", table.assign(value=table["value"] - 0.01 * changed))
    differences().to_csv(one / "differences.csv", index=False)
    label_efficiency().to_csv(one / "label_efficiency.csv", index=False)
    sources = gather([one, other])
    assert sources.efficiency is not None
    assert set(sources.efficiency["method"]) == {"cmpc (one)"} and set(sources.efficiency["reference"]) == {"cid"}
    assert set(sources.results["method"]) == {"cmpc (one)", "cmpc (other)", "cid", "avid", "chance", "oracle"}
    assert set(sources.groups["method"]) >= {"cmpc (one)", "cmpc (other)"}
    assert sources.judged is not None
    assert set(sources.judged["first"]) | set(sources.judged["second"]) == {"cmpc (one)", "cid"}
    assert sources.warnings == ()
    # Of two such tables none is drawn, and the page says so.
    label_efficiency().to_csv(other / "label_efficiency.csv", index=False)
    both = gather([one, other])
    assert both.efficiency is None and "several directories have" in both.warnings[0]
    chance = sources.results[sources.results["method"] == "chance"]
    assert len(chance) == len(gather([one]).results.query("method == 'chance'"))


def test_a_note_of_one_directory_among_several_says_whose_it_is(tmp_path: Path) -> None:
    one, other = (folder(tmp_path, name, results((method,))) for name, method in (("one", "cmpc"), ("two", "cid")))
    for place, warnings in ((one, ["both", "mine", ""]), (other, ["both"])):
        (place / "provenance.json").write_text(json.dumps({"warnings": warnings}))
    assert gather([one, other]).warnings == ("both", "one: mine")
    assert gather([one]).warnings == ("both", "mine")
    (one / "provenance.json").write_text(json.dumps({"warnings": None}))
    assert gather([one]).warnings == ()
    (one / "provenance.json").write_text("[1]")
    with pytest.raises(RequestError, match=r"provenance\.json: not a JSON object"):
        gather([one])


def test_runs_of_several_directories_are_no_seeds_of_one_method(tmp_path: Path) -> None:
    one, other = (folder(tmp_path, name, results(("cmpc", "cid"))) for name in ("one", "other"))
    table = results(("cmpc",))
    table.assign(train_seed=table["train_seed"].replace({0: 2, 1: 3})).to_csv(other / "results.csv", index=False)
    differences().to_csv(one / "differences.csv", index=False)
    assert set(gather([one, other]).results["method"]) == {"cmpc (one)", "cmpc (other)", "cid", "chance", "oracle"}
    # Budgets that only one of them has are no other runs.
    table = results(("cmpc",))
    table[table["adaptation"] != "none"].to_csv(other / "results.csv", index=False)
    unadapted = results()
    unadapted[unadapted["adaptation"] != "finetune"].to_csv(one / "results.csv", index=False)
    assert set(gather([one, other]).results["method"]) == {"cmpc", "cid", "chance", "oracle"}


def test_the_same_run_given_twice_is_there_once(tmp_path: Path) -> None:
    one, again = (folder(tmp_path, name, results()) for name in ("one", "again"))
    assert len(gather([one, again]).results) == len(gather([one]).results)
    assert set(gather([one, again]).results["method"]) == {"cmpc", "cid", "chance", "oracle"}


def test_clusters_are_means_over_runs(tmp_path: Path) -> None:
    curves = {}
    for seed, purity in enumerate((0.6, 0.7)):
        log = tmp_path / str(seed) / "metrics.csv"
        log.parent.mkdir()
        clusters().assign(purity=purity).to_csv(log.with_name("clusters.csv"), index=False)
        curves[f"pretrain-cmpc-seed{seed}"] = log
    shown = rows(gather_clusters(curves))
    assert [(row["method"], row["which"], row["runs"]) for row in shown] == [
        ("CMPC", "voice 1", 2),
        ("CMPC", "face 1", 2),
    ]
    assert (shown[0]["purity"], shown[0]["purity_chance"], shown[0]["weights"]) == ("65.0", "25.7", "8.3")
    assert shown[0]["sizes"] == "4 (1 to 30)"


def test_a_method_without_clusters_has_no_health_to_show(tmp_path: Path) -> None:
    found = gather_clusters({"pretrain-cid-seed0": tmp_path / "metrics.csv"})
    assert rows(found) == []
    for logged, reason in ((True, "these pretrainings made no clusters"), (False, "are missing beside these results")):
        absent = sizes(found, {}, logged)
        assert isinstance(absent, Missing) and reason in absent.reason


def test_clusters_that_are_malformed_name_file_and_column(tmp_path: Path) -> None:
    clusters().drop(columns="median").to_csv(tmp_path / "clusters.csv", index=False)
    with pytest.raises(RequestError, match=r"clusters\.csv: column 'median' is missing"):
        gather_clusters({"pretrain-cmpc-seed0": tmp_path / "metrics.csv"})


@pytest.mark.parametrize("column", ["method", "metric", "value", "seen"])
def test_a_missing_column_is_one_line(tmp_path: Path, column: str) -> None:
    with pytest.raises(RequestError, match=rf"results\.csv: column '{column}' is missing"):
        gather([folder(tmp_path, "one", results().drop(columns=column))])


def test_a_table_without_any_figure_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"results\.csv: column 'value' is empty"):
        gather([folder(tmp_path, "one", results().assign(value=np.nan))])


def test_a_model_that_was_not_measured_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(RequestError, match=r"holds a model without results; run `lowshot evaluate`"):
        gather([tmp_path])


def test_label_efficiency_says_which_labels_the_reference_learned_from() -> None:
    """Without labels a method is one, and the reference as many as it was adapted in ways."""
    table = label_efficiency().iloc[[0]]
    assert [row["labels"] for row in efficiency_rows(table)] == ["no labels"]
    both = pd.concat([table, table.assign(adaptation="probe", equal_fraction=0.02)])
    assert [row["labels"] for row in efficiency_rows(both)] == ["no labels; CID fine-tuned", "no labels; CID probe"]


def test_shares_of_labels_are_written_as_a_person_writes_them() -> None:
    table = label_efficiency().iloc[[0]].assign(fraction=0.01, largest_fraction=1.0, ci_low=0.5)
    shown = [
        (row["equal"], row["interval"], row["words"])
        for equal in (1.0, 0.9999, 0.0316)
        for row in efficiency_rows(table.assign(equal_fraction=equal, ci_high=1.0))
    ]
    assert shown[:2] == [("100 %", "50 % to 100 %", "100 times the labels; more, by the interval")] * 2
    assert shown[2][0] == "3.2 %" and shown[2][2].startswith("3.2 times the labels")


def test_training_runs_of_one_name_carry_their_directory(tmp_path: Path) -> None:
    directories = [folder(tmp_path, name, results(("cmpc", other))) for name, other in ((r"a\1", "cid"), ("b", "avid"))]
    for directory, method in zip(directories, ("cid", "avid"), strict=True):
        for run in ("pretrain-cmpc-seed0", f"pretrain-{method}-seed1"):
            curve(directory / run / "metrics.csv")
    # One log of which two evaluations keep a copy is one run.
    assert set(training_logs(directories)) == {"pretrain-cmpc-seed0", "pretrain-cid-seed1", "pretrain-avid-seed1"}
    log = directories[1] / "pretrain-cmpc-seed0" / "metrics.csv"
    log.write_text(log.read_text().replace("0.66", "0.67"))
    assert set(training_logs(directories)) == {
        r"pretrain-cmpc (a\1)-seed0",
        "pretrain-cmpc (b)-seed0",
        "pretrain-cid-seed1",
        "pretrain-avid-seed1",
    }


@pytest.mark.parametrize(
    ("fraction", "words"),
    [
        (0.01, "as many labels or fewer; the interval does not decide"),
        (0.1, "0.1 times the labels or fewer; fewer, by the interval"),
        (0.0, "labels; the method needs none; the interval does not decide"),
    ],
)
def test_the_least_share_that_was_measured_is_a_bound(fraction: float, words: str) -> None:
    least = label_efficiency().iloc[[0]].assign(equal_fraction=0.01, ci_low=0.01, ci_high=0.02, least_fraction=0.01)
    (row,) = efficiency_rows(least.assign(fraction=fraction))
    assert (row["equal"], row["interval"], row["words"]) == ("at most 1 %", "at most 1 % to 2 %", words)


def test_tables_without_the_least_share_are_read(tmp_path: Path) -> None:
    path = tmp_path / "label_efficiency.csv"
    label_efficiency().drop(columns="least_fraction").to_csv(path, index=False)
    table = read_efficiency(path)
    assert table is not None and [row["equal"] for row in efficiency_rows(table)] == ["8 %", "over 50 %"]
