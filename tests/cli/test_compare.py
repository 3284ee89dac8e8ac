"""`lowshot compare` as a person types it, on the micro world."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from lowshot import cli
from lowshot.experiments import differences

REQUEST = ("compare", "--methods", "cmpc,cid", "--fractions", "0,0.3,1", "--adaptations", "probe")
REQUEST += ("--seeds", "2", "--subset-seeds", "1", "--jobs", "1", "--set", "train.epochs=2")


@pytest.fixture
def lowshot(capsys, monkeypatch):
    """Run a command line; gives (exit code, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["lowshot", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stopped:
            code = stopped.code or 0
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


@pytest.fixture
def sets(config, tmp_path):
    """The micro settings, as a user would keep them."""
    path = tmp_path / "micro.yaml"
    path.write_text(config.to_yaml())
    return ("--config", path)


@pytest.mark.slow
def test_it_prints_what_came_out_and_where_it_lies_and_goes_on_bare(lowshot, sets, monkeypatch):
    monkeypatch.setattr(differences, "LEAST_REPLICATES", 100)
    code, out, err = lowshot(*REQUEST, *sets)
    assert code == 0, err
    folder = next(Path("runs").glob("0001-compare-*"))
    table = out.splitlines()
    assert table[0].split()[:3] == ["Labels", "Method", "Seeds"]
    row = next(line for line in table if line.startswith("30 % probe") and "CID" in line)
    assert row.split("CID")[1].split()[0] == "2"
    assert "labels needed for the same verification AUC:" in out
    assert "  cmpc with 30 % (probe) = cid with " in out
    assert f"results: {folder}/results.csv" in out
    for name in ("results.csv", "differences.csv", "label_efficiency.csv", "report.html"):
        assert (folder / name).is_file()
    assert len(pd.read_csv(folder / "results.csv")["run_id"].dropna().unique()) == 2 * 2 * (1 + 1 + 1)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "CMPC and CID on micro" in page
    command = (
        f"lowshot compare --config {folder}/config.yaml --methods cmpc,cid --fractions 0,0.3,1 --adaptations probe"
    )
    assert f"{command} --subset-seeds 1 --seeds 2 --reference cid" in page
    assert json.loads((folder / "provenance.json").read_text())["kind"] == "compare"

    code, again, err = lowshot(*REQUEST, *sets)
    assert (code, again) == (0, out)
    assert f"{folder} already holds this comparison, finished" in err

    (folder / "report.html").unlink()
    assert lowshot("report", folder)[0] == 0
    assert "CMPC and CID on micro" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--methods", "cmpc,cdi"), "--methods cdi: no method 'cdi'; there are cmpc, cid"),
        (("--fractions", "0,2"), "--fractions 2: a label fraction is at least 0 and at most 1"),
        (("--adaptations", "linear"), "--adaptations linear: no adaptation 'linear'"),
        (("--reference", "avid"), "--reference avid: not one of the compared methods"),
        (("--fractions", "0"), "--methods scratch: fresh weights need labels"),
        (("--seeds", "0"), "'--seeds'"),
        (("--fractions", "0.01"), "--fractions 0.01: labels 0.1 of 10 training identities"),
    ],
)
def test_a_wrong_request_ends_in_one_line(lowshot, world, options, message):
    code, out, err = lowshot("compare", "--data", world, *options)
    assert (code, out) == (2, "")
    (line,) = err.strip().splitlines()
    assert line.startswith("lowshot: ")
    assert message in line
    assert not Path("runs").exists()


def test_the_presets_shares_are_the_default(lowshot, world, monkeypatch):
    from lowshot.workflows import comparison

    asked = []

    def plan_only(plan, title, config, *others):
        asked.append((plan.fractions, [arm.label for arm in plan.arms], plan.seeds, plan.subsets, config.data))
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison, "run_comparison", plan_only)
    code, _, err = lowshot("compare", "--preset", "tiny", "--data", world, "--set", "labels=[0.2, 0.5]")
    assert (code, "warning" in err) == (130, False)
    assert asked.pop() == ((0.0, 0.2, 0.5), ["cmpc", "cid", "scratch"], (0, 1, 2), (0, 1, 2), str(world))
    # One of ten people is too few; nobody asked for that share by name.
    code, _, err = lowshot("compare", "--preset", "tiny", "--data", world)
    assert code == 130
    assert "warning: skipped --fractions 0.1: labels 1 of 10 training identities, but adaptation needs" in err
    assert asked.pop()[0] == (0.0, 0.5)
    # With one left for each, fresh weights would have nothing to learn from.
    code, _, err = lowshot("compare", "--preset", "tiny", "--data", world, "--set", "labels=[0.01, 0.1]")
    assert (code, asked.pop()[0]) == (130, (0.0, 0.2))
    assert "warning: using --fractions 0.2 instead: two of 10 people" in err
