"""Trial lists on the command line: built, audited, scored; what is asked in vain is refused in one line."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from lowshot import cli

QUICK = ("--set", "evaluate.replicates=100")


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
def vectors(lowshot, config, tmp_path):
    """Embeddings of the micro world by a model of a few steps."""
    path = tmp_path / "micro.yaml"
    path.write_text(config.to_yaml())
    assert lowshot("pretrain", "--config", path, "--set", "train.epochs=1")[0] == 0
    assert lowshot("embed", "--out", tmp_path / "vectors")[0] == 0
    return tmp_path / "vectors"


def trials_of(paths):
    return [option for path in paths for option in ("--trials", path)]


def key(row):
    names = ("method", "protocol", "direction", "stratum", "seen", "gallery_size", "metric", "group")
    return tuple(row[name] for name in names)


@pytest.mark.slow
def test_built_lists_give_the_figures_of_the_trials_they_hold(lowshot, vectors, tmp_path):
    assert lowshot("protocols", "build", "--data", vectors, "--out", tmp_path / "lists")[0] == 0
    lists = sorted((tmp_path / "lists").glob("*.csv"))
    code, out, _ = lowshot("evaluate", "--embeddings", vectors, *QUICK, "--json")
    direct = {key(row): row["value"] for row in json.loads(out) if row["method"] != "oracle"}
    code, out, err = lowshot("evaluate", "--embeddings", vectors, *trials_of(lists), *QUICK, "--out", tmp_path / "e")
    assert code == 0, err
    rows = json.loads(pd.read_csv(tmp_path / "e" / "results.csv", keep_default_na=False).to_json(orient="records"))
    assert {row["n_skipped"] for row in rows} == {0}
    read = pd.read_csv(tmp_path / "e" / "results.csv")
    assert len(read) == len(direct)
    values = sorted(value for value in direct.values() if value is not None)
    assert sorted(read["value"].dropna()) == pytest.approx(values)
    assert "verification U unseen-unheard" in out
    assert "chance 0.5000" in out
    assert (tmp_path / "e" / "report.html").is_file()
    provenance = json.loads((tmp_path / "e" / "provenance.json").read_text())
    recipe = json.loads((tmp_path / "lists" / "recipe.json").read_text())
    assert sorted(provenance["trials"].values()) == sorted(entry["sha256"] for entry in recipe["lists"].values())


@pytest.mark.slow
def test_a_model_reads_each_file_of_a_list(lowshot, config, world, tmp_path):
    path = tmp_path / "micro.yaml"
    path.write_text(config.to_yaml())
    lowshot("pretrain", "--config", path, "--set", "train.epochs=1")
    lowshot("protocols", "build", "--data", world, "--stratum", "G", "--out", tmp_path / "lists")
    lists = sorted((tmp_path / "lists").glob("*unseen-unheard*.csv"))
    assert [path.stem for path in lists] == [
        "matching-unseen-unheard-face_to_voice-G",
        "matching-unseen-unheard-voice_to_face-G",
        "retrieval-unseen-unheard",
        "verification-unseen-unheard",
    ]
    code, out, err = lowshot("evaluate", *trials_of(lists), *QUICK, "--json")
    assert code == 0, err
    rows = json.loads(out)
    assert {(row["protocol"], row["stratum"]) for row in rows} == {
        ("verification", "G"), ("matching", "G"), ("retrieval", "U")
    }  # fmt: skip
    assert {row["method"] for row in rows} == {"cmpc", "chance", "oracle"}


@pytest.mark.slow
def test_missing_media_stop_an_evaluation_before_anything_is_written(lowshot, vectors, tmp_path):
    lowshot("protocols", "build", "--data", vectors, "--out", tmp_path / "lists")
    path = tmp_path / "lists" / "verification-unseen-unheard.csv"
    table = pd.read_csv(path)
    table.loc[0, "face"] = "gone.jpg"
    table.to_csv(path, index=False)
    code, out, err = lowshot("evaluate", "--embeddings", vectors, "--trials", path, *QUICK, "--out", tmp_path / "e")
    assert (code, out) == (2, "")
    line = err.strip().splitlines()[-1]
    assert "lacks 1 of the media" in line
    assert f"face 'gone.jpg' ({path}, row 2)" in line
    assert not (tmp_path / "e").exists()
    request = ("evaluate", "--embeddings", vectors, "--trials", path, "--skip-missing", *QUICK)
    code, out, err = lowshot(*request, "--out", tmp_path / "e")
    assert code == 0, err
    assert ", 1 skipped" in out
    rows = pd.read_csv(tmp_path / "e" / "results.csv")
    assert set(rows.loc[rows["stratum"] == "U", "n_skipped"]) == {1}
    assert set(rows.loc[rows["stratum"] == "G", "n_skipped"]) == {0}


@pytest.mark.slow
def test_hidden_labels_give_a_file_to_submit_and_no_report(lowshot, vectors, tmp_path):
    manifest = pd.read_csv(vectors / "manifest.csv")
    voices, faces = (manifest.loc[manifest["modality"] == m, "path"].iloc[:3] for m in ("voice", "face"))
    path = tmp_path / "English_test.txt"
    path.write_text("".join(f"k{n} {v} {f}\n" for n, (v, f) in enumerate(zip(voices, faces, strict=True))))
    code, out, err = lowshot("evaluate", "--embeddings", vectors, "--trials", path, "--out", tmp_path / "e")
    assert code == 0, err
    submitted = tmp_path / "e" / "submissions" / "vectors" / "English_test.txt"
    assert out.strip() == f"submit:  {submitted}"
    assert [line.split()[0] for line in submitted.read_text().splitlines()] == ["k0", "k1", "k2"]
    assert not (tmp_path / "e" / "report.html").exists()


def test_lists_are_audited_as_text_and_as_json(lowshot, world, tmp_path):
    lowshot("protocols", "build", "--data", world, "--out", tmp_path / "lists")
    lists = sorted((tmp_path / "lists").glob("*.csv"))
    code, out, err = lowshot("protocols", "audit", *lists, "--data", world)
    assert code == 0, err
    assert "all lists together" in out
    code, out, _ = lowshot("protocols", "audit", *lists, "--data", world, "--json")
    found = {Path(part["list"]).name: part for part in json.loads(out)}
    pairs = [part for part in json.loads(out) if part["list"] == str(lists[-1])]
    assert {part["stratum"] for part in pairs} >= {"U", "G"}
    for part in pairs:
        assert part["unknown_files"] == part["duplicate_trials"] == 0
        assert part["labels_against_identities"] == {"count": 0, "of": part["trials"]}
    # The world has the layout of VoxCeleb1 and its table of people: names alone tell the same.
    code, out, _ = lowshot("protocols", "audit", *lists, "--meta", world / "vox1_meta.csv", "--json")
    by_name = {Path(part["list"]).name: part for part in json.loads(out)}
    for name, part in by_name.items():
        for fact in ("targets_of_one_video", "positives_of_one_video", "impostors_sharing_gender", "identities"):
            assert part.get(fact) == found[name].get(fact)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("evaluate", "--meta", "x.csv"), "--meta and --skip-missing belong to --trials"),
        (("evaluate", "--skip-missing"), "--meta and --skip-missing belong to --trials"),
        (("evaluate", "--trials", "x.csv", "--protocol", "matching"), "leave --protocol out"),
        (("evaluate", "--trials", "x.csv", "--split", "test"), "leave --split out"),
        (("protocols", "audit"), "FILE..."),
        (("protocols", "audit", "nowhere.csv"), "nowhere.csv: no such trial list"),
        (("protocols", "build", "--data", "nowhere", "--out", "x"), "nowhere: no such dataset"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(lowshot, arguments, fault):
    code, out, err = lowshot(*arguments)
    assert (code, out) == (2, "")
    assert fault in err.strip().splitlines()[-1]
    assert not list(Path.cwd().iterdir())
