"""`lowshot probe --within` as a person types it."""

import sys
from pathlib import Path

import pytest

from lowshot import cli
from lowshot.evaluation.results import read_results


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


def test_figures_are_printed_beside_chance_and_written(lowshot, sets):
    code, out, err = lowshot("probe", "--within", "both", "--target", "gender", "--labels", 0.6, *sets)
    assert code == 0
    assert "probe voice and face of scratch with 6 of 10 identities (60 %) labelled" in err
    *lines, _, last = out.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("probe-gender ") and "unseen-unheard" in line for line in lines)
    assert [line.split()[3] for line in lines] == ["accuracy", "balanced_accuracy"] * 2
    assert all("chance 0." in line and line.endswith(" 18 trials") for line in lines)
    path = Path(last.removeprefix("results: "))
    assert path == Path("runs/0001-within-scratch-voice-face-0.6/results.csv")
    assert len(read_results(path)) == 8


def test_a_list_says_what_is_labelled_here_too(lowshot, world, sets, tmp_path):
    request = ("protocols", "subsets", "--data", world, "--unit", "video", "--fractions", "0.8", "--seeds", 1)
    lowshot(*request, "--out", tmp_path / "lists")
    code, out, err = lowshot("probe", "--within", "voice", "--subset", tmp_path / "lists" / "per80-seed0.csv", *sets)
    assert code == 0
    assert "videos (8" in err
    rows = read_results(Path(out.splitlines()[-1].removeprefix("results: ")))
    ours = rows[rows["method"] == "scratch"]
    assert set(ours["subset_seed"]) == {0}
    assert set(ours["protocol"]) == {"probe-identity", "probe-gender", "probe-age", "probe-nationality"}


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--target", "gender"), "--target belongs to --within voice, face or both"),
        (("--within", "ears"), "ears"),
        (("--within", "face", "--target", "height"), "height"),
        (("--within", "face", "--labels", 0.01), "training identities, but adaptation needs at least 2"),
        (("--within", "face", "--subset", "mine.csv", "--subset-seed", 1), "leave --subset-seed out"),
        (("--within", "face", "--subset", "mine.csv", "--target", "gender"), "gender: all labelled identities are 'm'"),
    ],
)
def test_what_makes_no_sense_leaves_nothing_behind(lowshot, reader, sets, options, fault):
    manifest = reader.dataset.manifest
    men = manifest.loc[(manifest["split"] == "train") & (manifest["gender"] == "m"), "identity"].unique()
    Path("mine.csv").write_text("identity\n" + "\n".join(men[:3]) + "\n")
    code, out, err = lowshot("probe", *options, *sets)
    assert (code, out) == (2, "")
    assert fault in err.splitlines()[-1]
    assert [path.name for path in Path.cwd().iterdir()] == ["mine.csv"]
