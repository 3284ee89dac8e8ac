"""Labelled subsets as a person asks for them: printed, written as lists, and learned from."""

import sys
from pathlib import Path

import pandas as pd
import pytest

from lowshot import cli


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
    path = tmp_path / "micro.yaml"
    path.write_text(config.to_yaml())
    return ("--config", path, "--from", "scratch")


def test_written_lists_hold_what_is_printed(lowshot, world, tmp_path):
    request = ("protocols", "subsets", "--data", world)
    for kind in ((), ("--unit", "video", "--variant", "balanced")):
        out = tmp_path / f"lists{len(kind)}"
        code, printed, _ = lowshot(*request, "--fractions", "0.2,1", "--seeds", 2, "--out", out, *kind)
        assert (code, len(printed.split())) == (0, 5)
        for seed in (0, 1):
            code, printed, _ = lowshot(*request, "--labels", 0.2, "--subset-seed", seed, *kind)
            rows = pd.read_csv(out / f"per20-seed{seed}.csv", dtype=str).to_numpy().tolist()
            assert [line.split("\t") for line in printed.splitlines()] == rows
    code, _, err = lowshot(*request, "--fractions", 0.2, "--out", out)
    assert (code, "exists; name an empty directory" in err) == (2, True)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ((), "give --labels to print one subset, or --out to write lists"),
        (("--labels", 0.2, "--out", "lists"), "give --labels to print one subset, or --out to write lists"),
        (("--labels", 0.2, "--seeds", 2), "--seeds belongs to --out"),
        (("--labels", 0.2, "--fractions", "0.1"), "--fractions belongs to --out"),
        (("--out", "lists", "--subset-seed", 1), "--subset-seed belongs to --labels"),
        (("--out", "lists", "--fractions", "0.1;0.2"), "--fractions 0.1;0.2: '0.1;0.2' is not a number"),
        (("--out", "lists", "--fractions", "0.2,1.5"), "--fractions 1.5: must be above 0 and at most 1"),
        (("--out", "lists", "--fractions", "0"), "--fractions 0: must be above 0 and at most 1"),
        (("--out", "lists"), "the smallest usable value is --fractions 0.15"),
        (("--labels", 0.01, "--unit", "video"), "too few for the 2 identities"),
        (("--labels", 0.2, "--variant", "fair"), "fair"),
    ],
)
def test_subsets_that_make_no_sense_are_refused(lowshot, world, options, fault):
    code, out, err = lowshot("protocols", "subsets", "--data", world, *options)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert fault in err
    assert not list(Path.cwd().iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["finetune", "probe"])
def test_a_list_is_learned_from_and_its_figures_say_so(lowshot, world, sets, tmp_path, verb):
    lowshot("protocols", "subsets", "--data", world, "--fractions", "0.25", "--out", tmp_path / "lists")
    code, out, err = lowshot(verb, "--subset", tmp_path / "lists" / "per25-seed2.csv", *sets)
    assert (code, out.strip()) == (0, f"runs/0001-{verb}-scratch-per25-seed2")
    assert f"{verb} of scratch with 3 of 10 identities (30 %) labelled" in err
    assert "warning" not in err
    replicates = ("--set", "evaluate.replicates=100", "--protocol", "retrieval", "--data", world)
    assert lowshot("evaluate", *replicates)[0] == 0
    results = pd.read_csv(next(Path("runs").glob("0002-evaluate-*")) / "results.csv")
    ours = results[results["method"] == "scratch"]
    assert set(zip(ours["fraction"], ours["subset_seed"], ours["adaptation"], strict=True)) == {(0.3, 2, verb)}


@pytest.mark.slow
def test_a_list_of_ones_own_has_no_seed_in_the_figures(lowshot, world, sets, tmp_path):
    people = lowshot("protocols", "subsets", "--data", world, "--labels", 0.4)[1].split()
    (tmp_path / "mine.csv").write_text("identity\n" + "\n".join(people) + "\n")
    code, _, err = lowshot("probe", "--subset", tmp_path / "mine.csv", *sets)
    assert code == 0
    assert "warning: " in err
    assert "no recipe says which data it was drawn from" in err
    options = ("--set", "evaluate.replicates=100", "--protocol", "retrieval", "--data", world)
    assert lowshot("evaluate", *options)[0] == 0
    results = pd.read_csv(next(Path("runs").glob("0002-evaluate-*")) / "results.csv")
    ours = results[results["method"] == "scratch"]
    assert set(ours["fraction"]) == {0.4}
    assert ours["subset_seed"].isna().all()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--subset", "none.csv"), "none.csv"),
        (("--subset", "mine.csv", "--labels", 0.2), "--subset says what is labelled; leave --labels out"),
        (("--subset", "mine.csv", "--subset-seed", 0), "--subset says what is labelled; leave --subset-seed out"),
        (("--subset", "mine.csv"), "mine.csv, row 3: identity 'nobody' is not in"),
    ],
)
@pytest.mark.parametrize("verb", ["finetune", "probe"])
def test_lists_that_cannot_be_learned_from_leave_nothing_behind(lowshot, world, sets, verb, options, fault):
    people = lowshot("protocols", "subsets", "--data", world, "--labels", 0.2)[1].split()
    Path("mine.csv").write_text(f"identity\n{people[0]}\nnobody\n")
    code, out, err = lowshot(verb, *options, *sets)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert fault in err
    assert [path.name for path in Path.cwd().iterdir()] == ["mine.csv"]
