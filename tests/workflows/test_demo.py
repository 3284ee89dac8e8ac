"""The whole job on the micro world, and its going on after a stop."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from lowshot.config import build_config
from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError, RunError
from lowshot.experiments import parallel_pretraining, runner
from lowshot.experiments.parallel_pretraining import pretrain_all
from lowshot.models.loaded import load_model
from lowshot.models.weights import save_model
from lowshot.runs import lock_run, read_config, read_provenance
from lowshot.schema import DIFFERENCE_COLUMNS, MODEL
from lowshot.training.interrupt import StopRequest
from lowshot.workflows import comparison
from lowshot.workflows.demo import demo as make_demo
from lowshot.workflows.training_logs import pretraining_curves


def run_demo(config, dataset, seeds, out, say):
    """The workflow's messages go to `say` without their times."""

    def report(event):
        if event.kind != "steps":
            say(event.text.partition("] ")[2] or event.text)

    found = make_demo(dataset.root, seeds=seeds, config=config, out=out, report=report)
    return found.directory, found.results


pytestmark = pytest.mark.slow


def small(config, **changes):
    """A demo of one fraction and two epochs; at the second, CMPC has clusters."""
    few = {"labels": [0.5], "train": {"epochs": 2, "validate_every": 1}, "method": {"cluster_every": 1}}
    return build_config([config.model_dump(mode="json"), few, changes])


def in_process(patch):
    """Pretrain one after the other in this process: to start others takes longer than to train."""
    patch.setattr(runner, "pretrain_all", lambda jobs, reader, _, *others: pretrain_all(jobs, reader, 1, *others))


@pytest.fixture(scope="module")
def demo(config, world, tmp_path_factory):
    """A finished demo of two seeds."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        in_process(patch)
        run_demo(small(config), Dataset.open(world), 2, out, lines.append)
    return out, lines


def test_every_model_is_measured_beside_chance_and_ceiling(demo):
    results = pd.read_csv(demo[0] / "results.csv")
    models = results[results["protocol"] == "verification"].groupby(["method", "adaptation", "fraction"], dropna=False)
    names = set(results["method"])
    assert names == {"cmpc", "cid", "scratch", "chance", "oracle"}
    assert len(models) == 2 + 2 * 3 + 2
    seeds = results[results["method"] == "cmpc"].groupby(["adaptation", "fraction"])["train_seed"].nunique()
    assert (seeds == 2).all()


def test_differences_are_paired_and_whole(demo):
    table = pd.read_csv(demo[0] / "differences.csv")
    assert set(zip(table["method_a"], table["method_b"], strict=True)) == {("cmpc", "cid"), ("cmpc", "scratch")}
    assert (table["seeds"] == 2).all()
    pd.testing.assert_series_equal(
        table["difference"], table["value_a"] - table["value_b"], check_names=False, rtol=1e-9, atol=1e-12
    )
    # A percentile interval of so few identities need not hold the figure itself.
    assert (table["ci_low"] <= table["ci_high"]).all()
    assert table["p_value"].between(0, 1).all()
    results = pd.read_csv(demo[0] / "results.csv")
    measured = results[results["group"].isna()].query(
        "method == 'cmpc' and adaptation == 'none' and seen == 'unseen-unheard'"
    )
    found = table.query("adaptation == 'none' and method_b == 'cid'")
    for stratum in ("U", "G"):
        mean = measured.query(f"metric == 'auc' and stratum == '{stratum}'")["value"].mean()
        assert found.query(f"metric == 'auc' and stratum == '{stratum}'")["value_a"].item() == pytest.approx(mean)


def test_methods_are_compared_by_every_protocol_at_every_budget(demo):
    table = pd.read_csv(demo[0] / "differences.csv", keep_default_na=False)
    assert tuple(table.columns) == DIFFERENCE_COLUMNS
    figures = {
        ("auc", "verification", "", "U", ""),
        ("auc", "verification", "", "G", ""),
        ("accuracy", "matching", "voice_to_face", "U", "2"),
        ("map", "retrieval", "voice_to_face", "U", ""),
    }
    results = pd.read_csv(demo[0] / "results.csv")
    if ((results["stratum"] == "GNA") & (results["seen"] == "unseen-unheard")).any():
        figures.add(("auc", "verification", "", "GNA", ""))
    for _, rows in table.groupby(["method_b", "adaptation", "fraction"]):
        named = rows[["metric", "protocol", "direction", "stratum", "gallery_size"]].astype(str)
        assert len(rows) == len(figures)
        assert set(named.itertuples(index=False, name=None)) == figures
    assert set(table["seen"]) == {"unseen-unheard"}


def test_called_again_it_makes_and_measures_nothing_anew(demo, config, world, monkeypatch):
    out, _ = demo
    weights = {path: path.stat().st_mtime_ns for path in out.glob("*/model.safetensors")}
    before = pd.read_csv(out / "results.csv")
    (out / "results.csv").unlink()
    lines = []
    stop_at("score_model", monkeypatch)
    run_demo(small(config), Dataset.open(world), 2, out, lines.append)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/model.safetensors")} == weights
    pd.testing.assert_frame_equal(pd.read_csv(out / "results.csv"), before)


def test_the_page_and_its_plots_are_there(demo):
    page = (demo[0] / "report.html").read_text(encoding="utf-8")
    assert "CMPC" in page
    assert {path.stem for path in (demo[0] / "plots").glob("*.png")} >= {"roc", "label-fraction", "strata"}


def test_fractions_that_cannot_be_are_refused_before_anything_is_written(config, world, tmp_path):
    with pytest.raises(RequestError, match="`labels=0"):
        run_demo(small(config, labels=[0.01]), Dataset.open(world), 1, tmp_path / "out", print)
    assert not (tmp_path / "out").exists()


class Stopped(Exception):
    pass


def stop_at(stage, patch, module=runner):
    def stop(*args, **options):
        raise Stopped

    patch.setattr(module, stage, stop)


def train_only(patch):
    """Make all models, and stop before any figure."""
    patch.setattr(runner.Making, "_scored", lambda *args: True)
    stop_at("_write_tables", patch, comparison)


@pytest.fixture
def copied(demo, tmp_path):
    """A copy of the finished demo, to change."""
    return shutil.copytree(demo[0], tmp_path / "demo")


def test_runs_record_the_method_that_they_come_from(demo):
    out, lines = demo
    assert read_config(out / "cid-finetune-0.5-seed0").method.name == "cid"
    assert read_config(out / "cmpc-finetune-0.5-seed0").method.name == "cmpc"
    assert [line for line in lines if line.startswith("probe cid, 5 of 10 identities (50 %) labelled, seed 1: ")]


def test_both_methods_get_the_settings_that_both_have(config, world, tmp_path, monkeypatch):
    made = []

    def note(jobs, *others):
        made.extend((settings.method.name, settings.method.temperature) for settings, _, _ in jobs)

    monkeypatch.setattr(runner, "pretrain_all", note)
    stop_at("load_model", monkeypatch)
    with pytest.raises(Stopped):
        run_demo(small(config, method={"temperature": 0.07}), Dataset.open(world), 1, tmp_path / "out", print)
    assert made == [("cmpc", 0.07), ("cid", 0.07)]


def test_adaptations_of_a_pretraining_that_was_made_anew_are_made_anew(copied, config, world, monkeypatch):
    model = load_model(copied / "pretrain-cid-seed0")
    for weights in model.towers.parameters():
        weights.data *= 1.5
    save_model(model.towers, copied / "pretrain-cid-seed0" / MODEL, **model.metadata)
    before = {path: path.stat().st_mtime_ns for path in copied.glob("*/model.safetensors")}
    train_only(monkeypatch)
    with pytest.raises(Stopped):
        run_demo(small(config), Dataset.open(world), 1, copied, print)
    changed = {path.parent.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {f"cid-{kind}-0.5-seed0" for kind in ("probe", "finetune")}
    for name in changed:
        assert read_provenance(copied / name)["start_sha"] == model.sha


def test_with_fewer_seeds_only_their_curves_are_shown(demo, copied, config, world, monkeypatch):
    shown = []
    monkeypatch.setattr(comparison, "write_report", lambda *args, curves, **options: shown.append(set(curves)))
    _, rows = run_demo(small(config), Dataset.open(world), 1, copied, print)
    assert set(rows["train_seed"].dropna()) == {0}
    assert shown == [{"pretrain-cmpc-seed0", "pretrain-cid-seed0"}]
    both = pretraining_curves(copied, pd.read_csv(demo[0] / "results.csv"))
    assert set(both) == {f"pretrain-{method}-seed{seed}" for method in ("cmpc", "cid") for seed in (0, 1)}


def test_a_directory_of_another_demo_is_refused_by_what_differs(demo, config, world, tmp_path):
    out, _ = demo
    before = (out / "provenance.json").read_bytes()
    for changes, key in (
        ({"labels": [0.4]}, "labels"),
        ({"adapt": {"steps": 5}}, r"adapt\.steps"),
        ({"seed": 1}, "seed"),
    ):
        with pytest.raises(RequestError, match=f"holds another demo, {key} differs"):
            run_demo(small(config, **changes), Dataset.open(world), 2, out, print)
    other = shutil.copytree(world, tmp_path / "other")
    with (other / "manifest.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(RequestError, match="holds another demo, data differs"):
        run_demo(small(config), Dataset.open(other), 2, out, print)
    assert (out / "provenance.json").read_bytes() == before


@pytest.mark.parametrize("stage", ["pretrain_all", "adapt", "score_model"])
def test_killed_it_goes_on_with_the_same_out(demo, config, world, tmp_path, monkeypatch, stage):
    out, dataset = tmp_path / "out", Dataset.open(world)
    if stage != "pretrain_all":
        # How the demo comes to its pretrainings is told by the first case; these are taken over.
        for run in demo[0].glob("pretrain-*-seed0"):
            shutil.copytree(run, out / run.name)
        for file in ("provenance.json", "config.yaml"):
            shutil.copy(demo[0] / file, out / file)
    with monkeypatch.context() as patch:
        in_process(patch)
        stop_at(stage, patch)
        with pytest.raises(Stopped):
            run_demo(small(config), dataset, 1, out, print)
    assert (read_provenance(out)["kind"], read_provenance(out)["finished"]) == ("demo", False)
    (out / ".results.csv.x1.part").touch()
    made = {path: path.stat().st_mtime_ns for path in out.glob("*/model.safetensors")}
    in_process(monkeypatch)
    train_only(monkeypatch)
    with pytest.raises(Stopped):
        run_demo(small(config), dataset, 1, out, print)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert len(list(out.glob("*/model.safetensors"))) == 2 + 3 * 2


def test_bare_it_goes_on_in_the_newest_stopped_one_of_the_same_request(config, world, monkeypatch):
    dataset = Dataset.open(world)
    stop_at("pretrain_all", monkeypatch)

    def go(settings=None, seeds=1):
        with pytest.raises(Stopped):
            run_demo(settings or small(config), dataset, seeds, None, print)
        return sorted(path.name[:4] for path in Path("runs").iterdir())

    assert go() == ["0001"]
    assert go() == ["0001"]
    assert go(seeds=2) == ["0001", "0002"]
    assert go(small(config, adapt={"steps": 5})) == ["0001", "0002", "0003"]
    assert go() == ["0001", "0002", "0003"]
    with lock_run(next(Path("runs").glob("0001-*"))):
        assert go() == ["0001", "0002", "0003", "0004"]


def test_two_processes_do_not_make_one_demo(config, world, tmp_path):
    with lock_run(tmp_path / "out"), pytest.raises(RequestError, match="another process"):
        run_demo(small(config), Dataset.open(world), 1, tmp_path / "out", print)


def test_what_it_says_when_stopped_is_true(config, world, monkeypatch, forked):
    @contextmanager
    def stopped_at_once():
        request = StopRequest()
        request.asked = True
        yield request

    dataset = Dataset.open(world)
    with monkeypatch.context() as patch:
        patch.setattr(parallel_pretraining, "stop_on_signal", stopped_at_once)
        with pytest.raises(RunError, match="the same command continues from it"):
            run_demo(small(config), dataset, 1, None, print)
    stop_at("adapt", monkeypatch)
    with pytest.raises(Stopped):
        run_demo(small(config), dataset, 1, None, print)
    assert len(list(Path("runs").iterdir())) == 1
    run = next(Path("runs").glob("*/pretrain-cmpc-seed0"))
    assert read_provenance(run)["finished"]
