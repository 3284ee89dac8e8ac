"""What a person types with a model that comes with lowshot."""

import json
import sys
from pathlib import Path

import pytest

from lowshot import cli
from lowshot.data.dataset import Dataset
from lowshot.models.match import percent

MODEL = "pretrained:cmpc-compact"


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


def test_models_are_listed_and_shown(lowshot):
    code, out, _ = lowshot("models", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[:2]] == ["pretrained:cid-compact", MODEL]
    listed = json.loads(lowshot("models", "list", "--json")[1])
    assert Path(listed[MODEL]["path"]).is_file()
    shown = json.loads(lowshot("models", "show", MODEL, "--json")[1])
    assert (shown["name"], shown["sha256"]) == (MODEL, listed[MODEL]["sha256"])
    assert Path(shown["card"]).is_file()


@pytest.mark.slow
def test_one_is_evaluated_embedded_and_adapted(lowshot, world, tmp_path):
    few = ("--data", world, "--set", "evaluate.replicates=100")
    code, out, err = lowshot("evaluate", "--model", MODEL, "--protocol", "verification", *few, "--json")
    assert code == 0, err
    assert {row["method"] for row in json.loads(out)} == {"cmpc", "chance", "oracle"}
    assert Path("runs/0001-evaluate-pretrained_cmpc-compact/report.html").is_file()
    assert lowshot("embed", "--model", MODEL, "--data", world, "--out", tmp_path / "vectors")[0] == 0
    code, out, err = lowshot("probe", "--from", MODEL, "--labels", 0.5, *few, "--set", "adapt.probe_steps=2")
    assert code == 0, err
    adapted = json.loads(lowshot("models", "show", out.strip(), "--json")[1])
    assert adapted["facts"]["init"] == MODEL
    code, _, err = lowshot("probe", "--from", out.strip(), "--labels", 0.5)
    assert (code, MODEL in err) == (2, True)


def test_a_run_is_calibrated_in_place(lowshot, world, tmp_path):
    weights = json.loads(lowshot("models", "show", MODEL, "--json")[1])["file"]
    run = tmp_path / "mine"
    run.mkdir()
    (run / "model.safetensors").write_bytes(Path(weights).read_bytes())
    code, out, _ = lowshot("models", "calibrate", run, "--data", world)
    assert (code, out.splitlines()[-1]) == (0, str(run / "calibration.json"))
    again = json.loads(lowshot("models", "calibrate", weights, "--data", world, "--json")[1])
    assert again["file"] is None
    kept = json.loads((run / "calibration.json").read_text())
    assert {key: again[key] for key in kept} == kept


def test_what_is_not_there_is_one_line(lowshot):
    for verb, option in (("evaluate", "--model"), ("embed", "--model"), ("finetune", "--from")):
        out = ("--out", "vectors") if verb == "embed" else ()
        code, printed, err = lowshot(verb, option, "pretrained:resnet", *out)
        assert (code, printed) == (2, "")
        assert "there are pretrained:cid-compact, pretrained:cmpc-compact" in err
        assert len(err.splitlines()) == 1
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("probability", "said"), [(None, ""), (0.0, "<1%"), (0.0099, "<1%"), (0.01, "1%"), (0.5, "50%"), (0.9999, ">99%")]
)
def test_no_probability_is_said_to_be_certain(probability, said):
    assert percent(probability) == said


def test_files_are_matched(lowshot, world):
    dataset = Dataset.open(world)
    voice, faces = dataset.path("voice", 0), [dataset.path("face", row) for row in (0, 5, 9)]
    code, out, err = lowshot("match", voice, *faces, "--model", MODEL)
    assert code == 0, err
    header, *lines = out.splitlines()
    assert header.split() == ["rank", "similarity", "probability", "face"]
    assert sorted(line.split(maxsplit=3)[3] for line in lines) == sorted(map(str, faces))
    assert all(line.split()[2].endswith("%") for line in lines)
    assert "warning: pretrained:cmpc-compact was trained on invented people" in err
    found = json.loads(lowshot("match", faces[0], voice, "--model", MODEL, "--json")[1])
    assert (found["model"], found["face"], found["ranking"][0]["file"]) == (MODEL, str(faces[0]), str(voice))
    assert 0 < found["ranking"][0]["probability"] < 1
    code, _, err = lowshot("match", voice, *faces)
    assert (code, "no finished pretrain or finetune or probe run" in err) == (2, True)


def test_one_is_exported(lowshot, tmp_path):
    code, out, err = lowshot("models", "export", MODEL, "--out", tmp_path / "towers")
    assert (code, out.strip()) == (0, str(tmp_path / "towers"))
    assert "largest difference from the original's unit vectors: voice " in err
    assert {path.name for path in (tmp_path / "towers").iterdir()} == {"voice.pt", "face.pt", "model.json"}
    assert json.loads((tmp_path / "towers" / "model.json").read_text())["name"] == MODEL
