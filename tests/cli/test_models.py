"""`lowshot models` as a person types it, and what the other verbs do with a converted checkpoint."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import torchvision
from torch import nn

from lowshot import cli
from lowshot.models.two_tower import TwoTower
from lowshot.models.weights import save_model


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
def checkpoint(tmp_path):
    """A released checkpoint with random weights; removed in the end, and so is what was made of it: both are large."""
    state = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for subnet, channels in (("voice_subnet", 1), ("face_subnet", 3)):
            tower = torchvision.models.resnet34(weights=None)
            tower.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
            tower.fc = nn.Identity()
            state |= {f"{subnet}.{name}": value for name, value in tower.state_dict().items()}
    path = tmp_path / "checkpoint_CMPC.pth.tar"
    torch.save({"epoch": 1, "model": state}, path)
    yield path
    path.unlink()
    for weights in (*tmp_path.rglob("*.safetensors"), *tmp_path.rglob("*.part")):
        weights.unlink()


@pytest.fixture
def few(world, tmp_path):
    """A manifest of a few of the micro world's people: towers of the paper's size are slow here."""
    manifest = pd.read_csv(world / "manifest.csv", dtype=str, keep_default_na=False)
    kept = []
    for split, count in (("train", 1), ("val", 2), ("test", 2)):
        rows = manifest[manifest["split"] == split]
        videos = rows.groupby("identity", sort=False)["video"].unique()[:2]
        rows = rows[rows["video"].isin([video for of_one in videos for video in of_one[:count]])]
        kept.append(rows.groupby(["video", "modality"], sort=False).head(1))
    folder = tmp_path / "few"
    shutil.copytree(world, folder)
    pd.concat(kept).to_csv(folder / "manifest.csv", index=False)
    return folder


@pytest.mark.slow
def test_a_converted_checkpoint_is_shown_embedded_evaluated_and_fine_tuned(lowshot, checkpoint, few, tmp_path):
    code, out, err = lowshot("models", "convert", checkpoint, "--out", tmp_path / "mine")
    assert (code, out.strip()) == (0, str(tmp_path / "mine"))
    assert "docs/fidelity.md" in err
    weights = tmp_path / "mine" / "model.safetensors"

    shown = json.loads(lowshot("models", "show", tmp_path / "mine", "--json")[1])
    assert (shown["name"], shown["tower"], shown["dim"], shown["parameters"]) == ("mine", "resnet34", 512, 42_563_072)
    assert (shown["voice_input"], shown["face_input"]) == ([1, 64, 500], [3, 224, 224])
    assert (shown["voice_front_end"], shown["face_front_end"]) == ("released", "released")
    assert shown["facts"]["method"] == "converted-checkpoint_CMPC"

    assert lowshot("embed", "--model", tmp_path / "mine", "--data", few, "--out", tmp_path / "vectors")[0] == 0
    assert (tmp_path / "vectors" / "features.safetensors").is_file()

    sets = ("--set", "evaluate.replicates=100", "--protocol", "retrieval", "--json")
    code, out, err = lowshot("evaluate", "--model", weights, "--data", few, *sets)
    assert code == 0, err
    rows = [row for row in json.loads(out) if row["method"] == "converted-checkpoint_CMPC"]
    assert {row["init"] for row in rows} == {"checkpoint_CMPC.pth.tar"}

    steps = ("--set", "adapt.steps=1", "--set", "adapt.checks=1", "--set", "adapt.finetune_learning_rates=[1e-4]")
    code, out, err = lowshot("finetune", "--from", tmp_path / "mine", "--labels", 1, "--data", few, *steps)
    assert code == 0, err
    adapted = json.loads(lowshot("models", "show", out.strip(), "--json")[1])
    assert (adapted["facts"]["init"], adapted["facts"]["adaptation"]) == ("mine", "finetune")
    assert (adapted["voice_front_end"], adapted["face_front_end"]) == ("released", "released")


def test_any_model_is_shown(lowshot, config, tmp_path):
    model = TwoTower.from_config(config)
    save_model(model, tmp_path / "m.safetensors", method="cid")
    code, out, _ = lowshot("models", "show", tmp_path / "m.safetensors")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0
    assert (lines["tower"], lines["dim"], lines["facts.method"]) == ("compact", "16", "cid")
    assert int(lines["parameters"].replace(",", "")) == sum(value.numel() for value in model.parameters())
    assert (lines["voice_input"], lines["face_input"]) == ("[1, 64, 48]", "[3, 32, 32]")
    assert (lines["voice_front_end"], lines["face_front_end"]) == ("centred", "centred")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("convert", "nowhere.pth.tar"), "nowhere.pth.tar: cannot be read"),
        (("show", "nowhere"), "nowhere: no such run or weights file"),
        (("show", "text.safetensors"), "text.safetensors: cannot be read as safetensors"),
    ],
)
def test_a_wrong_request_is_one_line_with_exit_code_2(lowshot, arguments, fault):
    Path("text.safetensors").write_text("no weights")
    code, out, err = lowshot("models", *arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert fault in err
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["text.safetensors"]
