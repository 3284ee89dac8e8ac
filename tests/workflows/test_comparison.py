"""Comparisons on the micro world: what they hold, how they go on after a stop, and what is never reused."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowshot.cli.parsing import parse_fractions, parse_methods, parse_names
from lowshot.config import build_config
from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.results import read_results
from lowshot.experiments import cell_store, runner
from lowshot.experiments.cells import comparison_plan
from lowshot.files import write_text
from lowshot.models.weights import read_model, save_model
from lowshot.reporting import plots
from lowshot.runs import read_config, read_provenance
from lowshot.schema import CHECKPOINT, MODEL
from lowshot.workflows import comparison
from lowshot.workflows.comparison import over_subsets, run_comparison

pytestmark = pytest.mark.slow

VARIANT = "cmpc+recalibration=cluster-neighbours"
TABLES = ("results.csv", "differences.csv", "label_efficiency.csv")


def quick(config, **changes):
    return build_config(
        [config.model_dump(mode="json"), {"train": {"epochs": 2}, "method": {"cluster_every": 1}}, changes]
    )


def go(config, data, out, say=lambda line: None, **changes):
    asked = {
        "methods": "cmpc:method.recalibration=cluster-neighbours,cid",
        "fractions": "0,0.3,1",
        "adaptations": "probe",
        "subset_seeds": 2,
        "seeds": 2,
        "reference": "cid",
        **changes,
    }
    for name, parse in (("methods", parse_methods), ("fractions", parse_fractions), ("adaptations", parse_names)):
        asked[name] = parse(asked[name])

    def report(event):
        if event.kind != "steps":
            # Without the time.
            say(event.text.partition("] ")[2] or event.text)

    plan = comparison_plan(config, **asked)
    return run_comparison(plan, "CMPC and CID", config, Dataset.open(data), out, 1, report)


def small(config, data, out, say=lambda line: None, **changes):
    """A comparison of four cells."""
    asked = {"methods": "cmpc,cid", "fractions": "0,0.5", "adaptations": "probe", "subset_seeds": 1, "seeds": 1}
    return go(config, data, out, say, **{**asked, **changes})


def test_budgets_at_which_nothing_changed_are_told(config, world, tmp_path):
    still = quick(config, adapt={"probe_learning_rates": [1e-30], "probe_steps": 2}, train={"epochs": 1})
    folder, _ = small(still, world, tmp_path / "out", subset_seeds=2)
    told = "no gain on the validation identities; the starting model is kept: CMPC (2 of 2), CID (2 of 2)"
    assert f"50 % probe: {told}" in read_provenance(folder)["warnings"]


@pytest.fixture(scope="module")
def settings(config):
    return quick(config)


@pytest.fixture(scope="module")
def whole(settings, world, tmp_path_factory):
    """An uninterrupted comparison."""
    return go(settings, world, tmp_path_factory.mktemp("whole") / "out")[0]


@pytest.fixture(scope="module")
def four(settings, world, tmp_path_factory):
    """A comparison of four cells, whose page has no pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "draw", lambda material: [])
        return small(settings, world, tmp_path_factory.mktemp("four") / "out")[0]


@pytest.fixture
def copied(four, tmp_path):
    return shutil.copytree(four, tmp_path / "copied")


def texts(directory):
    return {name: (directory / name).read_bytes() for name in TABLES}


def measured_in(directory):
    """Figures of whole lists; those of parts of a list stand beside them."""
    results = read_results(directory / "results.csv")
    return results[results["group"] == ""]


def times(directory, pattern):
    return {path.relative_to(directory): path.stat().st_mtime_ns for path in directory.glob(pattern)}


def changed(before, after):
    return {str(path) for path in after if before.get(path) != after[path]}


class Stopped(Exception):
    pass


def stop_after(calls, patch, module, name):
    """Let a function be called some times, then stop in place of the next call."""
    real, count = getattr(module, name), iter(range(calls))

    def counted(*arguments, **options):
        if next(count, None) is None:
            raise Stopped
        return real(*arguments, **options)

    patch.setattr(module, name, counted)


def test_every_cell_is_measured_on_the_same_trials(whole):
    results = measured_in(whole)
    assert set(results["method"]) == {VARIANT, "cid", "chance", "oracle"}
    models = results[~results["method"].isin(("chance", "oracle"))]
    auc = models.query("metric == 'auc' and stratum == 'U' and seen == 'unseen-unheard'")
    # Two trainings of two methods; two subsets of 30 %, one of all.
    assert len(auc) == auc["run_id"].nunique() == 2 * 2 * (1 + 2 + 1)
    assert auc["n_trials"].nunique() == 1
    assert set(auc.query("fraction == 0.3")["subset_seed"]) == {0, 1}
    assert set(auc["train_seed"]) == {0, 1}
    assert {path.name for path in (whole / "scores").iterdir()} == {*models["run_id"], "oracle"}
    assert (whole / "report.html").is_file()
    assert (whole / "plots" / "label-fraction.png").is_file()


def test_a_variant_is_trained_by_its_own_settings_under_its_own_name(whole, four):
    plain, varied = (
        read_model(folder / f"pretrain-{name}-seed0" / MODEL)[0].state_dict()
        for folder, name in ((four, "cmpc"), (whole, VARIANT))
    )
    assert any(not value.equal(varied[key]) for key, value in plain.items())
    _, facts = read_model(whole / f"{VARIANT}-probe-0.3-subset1-seed0" / MODEL)
    assert (facts["method"], facts["init"]) == (VARIANT, f"pretrain-{VARIANT}-seed0")


def test_each_method_minus_the_reference_at_every_budget(whole):
    table = pd.read_csv(whole / "differences.csv")
    assert set(zip(table["method_a"], table["method_b"], strict=True)) == {(VARIANT, "cid")}
    budgets = {("none", 0.0), ("probe", 0.3), ("probe", 1.0)}
    assert set(zip(table["adaptation"], table["fraction"], strict=True)) == budgets
    # Subsets of one training are no further trainings.
    assert set(table["seeds"]) == {2}
    results = measured_in(whole)
    row = table.query("method_a == @VARIANT and adaptation == 'probe' and fraction == 0.3 and stratum == 'U'")
    row = row[row["metric"] == "auc"].iloc[0]
    runs = results.query(
        "adaptation == 'probe' and fraction == 0.3 and stratum == 'U' and metric == 'auc' and seen == 'unseen-unheard'"
    )
    means = runs.groupby("method")["value"].mean()
    assert row["value_a"] == pytest.approx(means[VARIANT])
    assert row["difference"] == pytest.approx(means[VARIANT] - means["cid"])


def test_labels_are_converted_to_the_references(whole):
    table = pd.read_csv(whole / "label_efficiency.csv")
    assert set(table["method"]) == {VARIANT}
    assert set(table["fraction"]) == {0.0, 0.3, 1.0}
    assert set(table["adaptation"]) == {"probe"}
    assert (table["equal_fraction"].between(0, 1) | np.isinf(table["equal_fraction"])).all()
    assert (table["ci_low"] <= table["ci_high"]).all()
    differences = pd.read_csv(whole / "differences.csv")
    keys = ["adaptation", "fraction", "metric", "protocol", "stratum"]
    both = table.query("fraction > 0").merge(
        differences, left_on=["method", *keys], right_on=["method_a", *keys], validate="one_to_one"
    )
    assert len(both) == len(table.query("fraction > 0"))
    np.testing.assert_allclose(both["value"], both["value_a"])


def test_spread_over_trainings_leaves_the_subsets_out(whole):
    results = measured_in(whole)
    taken = over_subsets(results)
    where = "method == 'cid' and adaptation == 'probe' and fraction == 0.3 and metric == 'map'"
    where += " and direction == 'voice_to_face'"
    assert len(results.query(where)) == 4
    runs = results.query(where).groupby("train_seed")[["value", "ci_low", "ci_high"]].mean()
    assert taken.query(where).set_index("train_seed")[["value", "ci_low", "ci_high"]].equals(runs)
    assert (taken["method"] == "oracle").sum() == (results["method"] == "oracle").sum()


def test_killed_again_and_again_it_ends_in_the_same_tables(four, settings, world, tmp_path, monkeypatch):
    out = tmp_path / "out"
    # How stopped pretrainings go on is told elsewhere: these are taken over.
    for run in four.glob("pretrain-*"):
        shutil.copytree(run, out / run.name)
    for file in ("provenance.json", "config.yaml"):
        shutil.copy(four / file, out / file)
    made = {}
    for module, name, calls in (
        (runner, "adapt", 0),
        (runner, "score_model", 1),
        (cell_store, "write_text", 1),
        (comparison, "write_table", 1),
        (comparison, "write_report", 0),
    ):
        with monkeypatch.context() as patch:
            stop_after(calls, patch, module, name)
            with pytest.raises(Stopped):
                small(settings, world, out)
        assert not (out / "report.html").is_file()
        kept = times(out, f"*/{MODEL}") | times(out, "state/cells/*.json")
        assert {path: kept[path] for path in made} == made
        made = kept
    assert len(list(out.glob("state/cells/*.json"))) == 4
    small(settings, world, out)
    assert texts(out) == texts(four)


def test_a_pretraining_that_was_stopped_goes_on_from_its_checkpoint(four, settings, world, tmp_path, monkeypatch):
    resumed = []
    real = runner.pretrain_all

    def warning(jobs, *others):
        resumed.extend(resume for _, _, resume in jobs)
        real(jobs, *others)

    monkeypatch.setattr(runner, "pretrain_all", warning)
    out = tmp_path / "out"
    out.mkdir()
    run = four / "pretrain-cmpc-seed0"
    shutil.copytree(run, out / run.name)
    (out / run.name / MODEL).unlink()
    shutil.copy(four / "provenance.json", out)
    small(settings, world, out)
    assert resumed == [str(out / run.name), "never"]
    assert texts(out) == texts(four)


def test_a_finished_one_says_so_and_is_left_as_it_is(four, settings, world):
    before, lines = times(four, "**/*"), []
    _, rows = small(settings, world, four, lines.append)
    (line,) = lines
    assert "already holds this comparison, finished" in line
    lock = {Path("state"), Path("state/.lock")}
    assert {key: value for key, value in times(four, "**/*").items() if key not in lock} == {
        key: value for key, value in before.items() if key not in lock
    }
    assert rows.equals(read_results(four / "results.csv"))


def test_bare_a_finished_one_is_found_again_and_another_request_is_made_elsewhere(settings, world):
    first, _ = small(settings, world, None, fractions="0")
    assert small(settings, world, None, fractions="0")[0] == first
    other, _ = small(settings, world, None, fractions="0", methods="cid,siglip")
    assert [first.name[:4], other.name[:4]] == ["0001", "0002"]


def test_a_wider_plan_in_the_same_directory_makes_only_what_is_new(copied, settings, world):
    before = times(copied, f"*/{MODEL}") | times(copied, "state/cells/*.json")
    small(settings, world, copied, methods="cmpc,cid,scratch", subset_seeds=2)
    after = times(copied, f"*/{MODEL}") | times(copied, "state/cells/*.json")
    runs = {f"{name}-probe-0.5-subset1-seed0" for name in ("cmpc", "cid")}
    runs |= {f"scratch-probe-0.5-subset{subset}-seed0" for subset in (0, 1)}
    assert changed(before, after) == {f"{run}/{MODEL}" for run in runs} | {f"state/cells/{run}.json" for run in runs}


def test_other_settings_or_data_behind_the_cells_are_refused_by_name(four, settings, world, tmp_path):
    before = (four / "provenance.json").read_bytes()
    for changes, key in (({"adapt": {"steps": 5}}, r"adapt\.steps"), ({"evaluate": {"seed": 3}}, r"evaluate\.seed")):
        with pytest.raises(RequestError, match=f"holds another comparison, {key} differs"):
            small(quick(settings, **changes), world, four)
    other = shutil.copytree(world, tmp_path / "other")
    with (other / "manifest.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(RequestError, match="holds another comparison, data differs"):
        small(settings, other, four)
    assert (four / "provenance.json").read_bytes() == before


def test_every_method_is_fine_tuned_in_the_way_that_is_asked_for(settings, world, tmp_path):
    # Settings of one method are none of all methods.
    shared = settings.model_dump(mode="json", exclude={"method"})
    way = build_config([shared, {"adapt": {"strategy": "lp-ft", "objective": "classifier"}}])
    asked = {"methods": "cid,scratch", "fractions": "0.5", "adaptations": "probe,finetune"}
    out, _ = small(way, world, tmp_path / "out", **asked)
    name = "finetune-lp-ft-classifier"
    for method in ("cid", "scratch"):
        facts = read_model(out / f"{method}-{name}-0.5-subset0-seed0" / MODEL)[1]
        assert (facts["strategy"], facts["objective"], facts["adaptation"]) == ("lp-ft", "classifier", name)
        assert (out / f"{method}-probe-0.5-subset0-seed0" / MODEL).is_file()
    for table in ("results.csv", "differences.csv"):
        assert set(pd.read_csv(out / table)["adaptation"].dropna()) == {"probe", name}
    provenance = read_provenance(out)
    assert (provenance["strategy"], provenance["objective"]) == ("lp-ft", "classifier")
    assert read_config(out).adapt.strategy == "lp-ft"
    assert "50 % fine-tuned (lp-ft-classifier)" in (out / "report.html").read_text(encoding="utf-8")
    with pytest.raises(RequestError, match=r"holds another comparison, adapt\.strategy differs"):
        small(build_config([shared, {"adapt": {"strategy": "head", "objective": "classifier"}}]), world, out, **asked)


def test_a_cell_whose_run_is_of_other_data_or_settings_is_not_reused(copied, settings, world):
    probe, pretraining = copied / "cid-probe-0.5-subset0-seed0", copied / "pretrain-cmpc-seed0"
    for run, field in ((probe, "data_sha"), (pretraining, "data_sha")):
        path = run / "provenance.json"
        write_text(path, path.read_text().replace(read_provenance(run)[field], "0" * 16))
        before = times(copied, f"*/{MODEL}")
        if run == probe:
            small(settings, world, copied)
            assert changed(before, times(copied, f"*/{MODEL}")) == {f"{run.name}/{MODEL}"}
    (pretraining / CHECKPOINT).unlink()
    with pytest.raises(RequestError, match=r"pretrain-cmpc-seed0: holds a finished run; name another directory"):
        small(settings, world, copied)


def test_weights_that_were_replaced_are_adapted_and_measured_anew(four, copied, settings, world):
    run = copied / "pretrain-cid-seed0"
    model, facts = read_model(run / MODEL)
    for weights in model.parameters():
        weights.data *= -1.5
    save_model(model, run / MODEL, **facts)
    before = times(copied, "state/cells/*.json")
    small(settings, world, copied)
    made = {f"state/cells/{name}.json" for name in ("cid-seed0", "cid-probe-0.5-subset0-seed0")}
    assert changed(before, times(copied, "state/cells/*.json")) == made
    values = [measured_in(folder).query("method == 'cid'")["value"] for folder in (four, copied)]
    assert not values[0].equals(values[1])


def test_a_cell_that_lost_a_score_file_is_measured_anew(four, copied, settings, world):
    lost = next((copied / "scores" / "cmpc-seed0").glob("matching-*.csv"))
    lost.unlink()
    before = times(copied, "state/cells/*.json")
    small(settings, world, copied)
    assert lost.is_file()
    assert changed(before, times(copied, "state/cells/*.json")) == {"state/cells/cmpc-seed0.json"}
    assert texts(copied) == texts(four)


def test_probes_of_one_model_share_its_embeddings(settings, world, tmp_path, monkeypatch):
    embedded = []
    real = runner.embed_videos
    monkeypatch.setattr(runner, "embed_videos", lambda *args: embedded.append(args[1]) or real(*args))
    monkeypatch.setattr("lowshot.adapt.probe.embed_videos", lambda *args: pytest.fail("embedded once more"))
    # Their figures are of no account here.
    monkeypatch.setattr(runner.Making, "_scored", lambda *args: True)
    stop_after(0, monkeypatch, comparison, "_write_tables")
    with pytest.raises(Stopped):
        small(settings, world, tmp_path / "out", fractions="0.3,0.5", subset_seeds=2)
    assert len(list((tmp_path / "out").glob(f"*-probe-*/{MODEL}"))) == 2 * 2 * 2
    assert len(embedded) == 2
    labelled, validation = embedded[0]
    assert set(validation.identities) & set(labelled.identities) == set()


def test_without_labels_no_validation_split_is_needed(settings, world, tmp_path):
    data = shutil.copytree(world, tmp_path / "data")
    manifest = pd.read_csv(data / "manifest.csv", dtype=str, keep_default_na=False)
    manifest[manifest["split"] != "val"].to_csv(data / "manifest.csv", index=False)
    with pytest.raises(RequestError, match="needs a split 'val'"):
        small(settings, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    out, rows = small(settings, data, tmp_path / "out", fractions="0")
    assert set(rows["adaptation"]) == {"none", ""}
    assert not (out / "label_efficiency.csv").exists()
    assert len(pd.read_csv(out / "differences.csv")) > 0


def test_semi_supervised_is_refused_where_a_share_labels_everyone(settings, world, tmp_path):
    way = build_config(
        [settings.model_dump(mode="json", exclude={"method"}), {"adapt": {"objective": "semi-supervised"}}]
    )
    with pytest.raises(RequestError, match=r"needs training videos without labels, .*; lower `fractions`"):
        small(way, world, tmp_path / "out", fractions="0,0.5,1", adaptations="probe,finetune")
    assert not (tmp_path / "out").exists()


def test_too_few_labels_are_refused_by_the_name_of_the_option(settings, world, tmp_path):
    with pytest.raises(RequestError, match=r"^`fractions=0\.1`: labels 1 of 10 training identities"):
        small(settings, world, tmp_path / "out", fractions="0,0.1")
    assert not (tmp_path / "out").exists()


def test_the_time_of_all_calls_is_added_up(copied, settings, world):
    spent = read_provenance(copied)["seconds"]
    assert spent > 0
    (copied / "results.csv").unlink()
    small(settings, world, copied)
    assert read_provenance(copied)["seconds"] > spent
