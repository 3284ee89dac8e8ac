"""`lowshot data check` as a person types it."""

import csv
import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

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
def data(world, tmp_path):
    """A copy of the micro world: 12 files are broken, and one row is listed in two splits."""
    folder = tmp_path / "data"
    shutil.copytree(world, folder)
    table = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    train = table[table["split"] == "train"]
    for path in train["path"].iloc[:12]:
        (folder / path).write_bytes(b"no medium")
    twice = train.iloc[[20]].assign(split="test", path="=1+1.jpg")
    pd.concat([table, twice]).to_csv(folder / "manifest.csv", index=False)
    return folder


def test_a_whole_dataset_is_good_for_everything(lowshot, world):
    code, out, err = lowshot("data", "check", world)
    assert (code, err) == (0, "")
    assert "faults: none" in out
    assert out.splitlines()[-3:] == [
        "pretraining: 40 videos with both modalities",
        "adaptation: 10 labelled training identities (1 % are too few, 10 % are too few), 4 validation identities",
        "evaluation: 6 test identities, 30 seen-heard clips and images, strata U, G, N, A; all splits have rows",
    ]


def test_ten_of_each_kind_are_printed_and_all_are_in_the_csv(lowshot, data):
    code, out, err = lowshot("data", "check", data, "--out", "problems.csv")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "15 faults prevent a run (1 identity-splits, 1 video-splits, 1 missing, 12 unreadable)" in err
    assert out.count("cannot be read as") == 10
    assert "and 2 more; --out FILE lists all" in out
    with Path("problems.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["kind"] == "unreadable" for row in rows) == 12
    # No spreadsheet takes a path for a formula.
    assert [row["path"] for row in rows if row["kind"] == "missing"] == ["./=1+1.jpg"]
    assert {row["fault"] for row in rows if row["kind"] == "short"} == {"no"}


def test_json_has_everything(lowshot, data):
    code, out, _ = lowshot("data", "check", data, "--json")
    found = json.loads(out)
    assert code == 2
    assert found["faults"]["unreadable"] == sum(problem["kind"] == "unreadable" for problem in found["problems"]) == 12
    assert found["good_for"]["test"] == 6


def test_a_clean_manifest_says_what_it_leaves_out_and_has_no_fault(lowshot, data):
    code, out, _ = lowshot("data", "check", data, "--write-clean", data / "clean.csv")
    assert code == 0
    rows = len(pd.read_csv(data / "manifest.csv"))
    kept = len(pd.read_csv(data / "clean.csv"))
    assert f"{kept} of {rows} rows; skipped {rows - kept} (" in out.splitlines()[-1]
    assert "12 unreadable" in out.splitlines()[-1]
    assert lowshot("data", "check", data / "clean.csv")[0] == 0


@pytest.mark.parametrize("kept", ["no column split", "no voice", "no row", "one vector less", "a faulty row"])
def test_a_clean_manifest_is_advised_where_one_can_be_written(lowshot, vectors, tmp_path, kept):
    folder = tmp_path / "copy"
    shutil.copytree(vectors, folder)
    table = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    tensors = load_file(folder / "features.safetensors")
    if kept == "no column split":
        table = table.drop(columns="split")
    elif kept == "one vector less":
        tensors["voice"] = tensors["voice"][1:]
    else:
        rows = {"no voice": table["modality"] == "voice", "no row": table["video"] != "", "a faulty row": [0]}[kept]
        table.loc[rows, "video"] = ""
    table.to_csv(folder / "manifest.csv", index=False)
    save_file(tensors, folder / "features.safetensors")
    code, _, err = lowshot("data", "check", folder)
    assert (code, "--write-clean" in err) == (2, kept == "a faulty row")
    code, _, err = lowshot("data", "check", folder, "--write-clean", "clean")
    assert (code, Path("clean").exists()) == ((0, True) if kept == "a faulty row" else (2, False))
    assert code == 0 or err.endswith("; skipping rows does not mend that\n")


def test_names_move_no_cursor(lowshot, data):
    with (data / "manifest.csv").open("a", encoding="utf-8", newline="") as file:
        file.write('"x\x1b[2J\ny.wav",voice,v,p,train,,,\n')
    out = lowshot("data", "check", data)[1]
    assert "x\\x1b[2J\\ny.wav: the file is missing" in out


def test_a_source_that_is_not_there_is_one_line(lowshot):
    code, out, err = lowshot("data", "check", "nowhere")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "nowhere: no such manifest" in err
