"""`lowshot evaluate --scores`: figures from score tables alone."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from lowshot import cli

QUICK = ("--set", "evaluate.replicates=100")
NAME = "verification-unseen-unheard-U.csv"


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
def folder(tmp_path):
    """Scores of one model, by somebody else."""
    rng = np.random.default_rng(0)
    path = tmp_path / "their model"
    path.mkdir()
    voice = np.repeat(np.arange(40), 2)
    face = np.where(np.arange(80) % 2, (voice + 7) % 40, voice)
    table = pd.DataFrame({"voice_identity": voice, "face_identity": face, "label": (voice == face).astype(int)})
    table["score"] = rng.normal(size=80) + table["label"]
    table.to_csv(path / NAME, index=False)
    scores = {name: rng.normal(size=40) for name in ("score", "score_1", "score_2")}
    matching = pd.DataFrame({"direction": "voice_to_face", "identity": np.arange(40), **scores})
    matching.to_csv(path / "matching-unseen-unheard-voice_to_face.csv", index=False)
    return path


@pytest.mark.slow
@pytest.mark.pictures
def test_a_folder_of_scores_gives_figures_curves_and_a_page(lowshot, folder, tmp_path):
    code, out, err = lowshot("evaluate", "--scores", folder, *QUICK, "--out", tmp_path / "out")
    assert code == 0, err
    assert "auc" in out and "min_cllr" in out and "accuracy 1:3" in out and "chance 0.3333" in out
    directory = tmp_path / "out"
    rows = pd.read_csv(directory / "results.csv")
    assert set(rows["method"]) == {"scores", "chance"} and set(rows["protocol"]) == {"verification", "matching"}
    assert "their_model" in set(rows["run_id"])
    curve = pd.read_csv(directory / "curves" / "their_model" / NAME)
    assert list(curve.columns) == ["fpr", "tpr", "fnr", "threshold"]
    assert curve["tpr"].iloc[[0, -1]].tolist() == [0, 1]
    assert (directory / "report.html").is_file() and (directory / "plots" / "roc.png").is_file()
    provenance = json.loads((directory / "provenance.json").read_text())
    assert provenance["finished"] and len(provenance["scores"]) == 2
    # What was written is read as scores again.
    again = lowshot("evaluate", "--scores", directory / "scores" / "their_model", *QUICK, "--json")
    first = rows[rows["method"] == "scores"]["value"].to_numpy()
    second = [row["value"] for row in json.loads(again[1]) if row["method"] == "scores"]
    np.testing.assert_allclose(np.sort(second), np.sort(first), atol=1e-9)


def test_single_files_are_taken_as_they_are_named(lowshot, folder, tmp_path):
    file = folder / NAME
    code, out, _ = lowshot("evaluate", "--scores", file, *QUICK, "--json", "--out", tmp_path / "out")
    assert code == 0
    assert {row["protocol"] for row in json.loads(out)} == {"verification"}


@pytest.mark.parametrize("other", [("--model", "x"), ("--data", "synth:tiny"), ("--split", "val"), ("--skip-missing",)])
def test_scores_need_nothing_else(lowshot, folder, other):
    code, _, err = lowshot("evaluate", "--scores", folder, *other)
    assert code == 2
    assert f"leave {other[0]} out" in err


def test_faults_are_one_line_and_leave_nothing_behind(lowshot, folder, tmp_path):
    (folder / NAME).write_text("label,score\n1,0.5\n0,x\n")
    code, _, err = lowshot("evaluate", "--scores", folder / NAME, "--out", tmp_path / "out")
    assert code == 2 and "row 3: score 'x' is not a finite number" in err
    assert not (tmp_path / "out").exists()
    (tmp_path / "empty").mkdir()
    code, _, err = lowshot("evaluate", "--scores", tmp_path / "empty")
    assert code == 2 and "no CSV files in this folder" in err
