"""The whole job on the micro world, and its going on after a stop."""

import pandas as pd
import pytest

from lowshot.config import build_config
from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.experiments.demo import run_demo


def small(config, **changes):
    return build_config([config.model_dump(mode="json"), {"labels": [0.3, 0.5]}, changes])


@pytest.fixture(scope="module")
def demo(config, world, tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "demo"
    lines = []
    run_demo(small(config), Dataset.open(world), 2, out, lines.append)
    return out, lines


def test_every_model_is_measured_beside_chance_and_ceiling(demo):
    results = pd.read_csv(demo[0] / "results.csv")
    models = results[results["protocol"] == "verification"].groupby(["method", "adaptation", "fraction"], dropna=False)
    names = set(results["method"])
    assert names == {"cmpc", "cid", "scratch", "chance", "oracle"}
    assert len(models) == 2 + 2 * 3 * 2 + 2
    seeds = results[results["method"] == "cmpc"].groupby(["adaptation", "fraction"])["train_seed"].nunique()
    assert (seeds == 2).all()


def test_differences_are_paired_and_whole(demo):
    table = pd.read_csv(demo[0] / "differences.csv")
    assert set(zip(table["method_a"], table["method_b"], strict=True)) == {("cmpc", "cid"), ("cmpc", "scratch")}
    assert (table["seeds"] == 2).all()
    pd.testing.assert_series_equal(
        table["difference"], table["value_a"] - table["value_b"], check_names=False, rtol=1e-9, atol=1e-12
    )
    assert (table["ci_low"] <= table["difference"]).all()
    assert (table["difference"] <= table["ci_high"]).all()
    results = pd.read_csv(demo[0] / "results.csv")
    rows = results.query("method == 'cmpc' and adaptation == 'none' and metric == 'auc' and stratum == 'U'")
    mean = rows[rows["seen"] == "unseen-unheard"]["value"].mean()
    assert table.query("adaptation == 'none'")["value_a"].iloc[0] == pytest.approx(mean)


def test_called_again_it_makes_nothing_anew(demo, config, world):
    out, _ = demo
    weights = {path: path.stat().st_mtime_ns for path in out.glob("*/model.safetensors")}
    before = pd.read_csv(out / "results.csv")
    (out / "results.csv").unlink()
    lines = []
    run_demo(small(config), Dataset.open(world), 2, out, lines.append)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/model.safetensors")} == weights
    pd.testing.assert_frame_equal(pd.read_csv(out / "results.csv"), before)


def test_the_page_and_its_plots_are_there(demo):
    page = (demo[0] / "report.html").read_text(encoding="utf-8")
    assert "CMPC" in page
    assert {path.stem for path in (demo[0] / "plots").glob("*.png")} >= {"roc", "label-fraction", "strata"}


def test_fractions_that_cannot_be_are_refused_before_anything_is_written(config, world, tmp_path):
    with pytest.raises(RequestError, match="--labels 0"):
        run_demo(small(config, labels=[0.01]), Dataset.open(world), 1, tmp_path / "out", print)
    assert not (tmp_path / "out").exists()
