"""`lowshot data pack` as a person types it, and the three commands on what it makes."""

import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file

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
    """The micro settings, as a user would keep them."""
    path = tmp_path / "micro.yaml"
    path.write_text(config.to_yaml())
    return ("--config", path)


@pytest.mark.slow
def test_the_three_commands_work_on_a_pack_as_on_files(lowshot, sets, world):
    code, out, err = lowshot("data", "pack", world, "--out", "packed", "--jobs", 1, *sets)
    assert (code, out.strip()) == (0, "packed")
    assert "files," in err
    code, out, _ = lowshot("data", "check", "packed")
    assert code == 0
    assert out.splitlines()[0].endswith("228 rows read, 228 packed media compared with their hashes")
    assert "faults: none" in out
    assert "pretraining: " in out
    code, _, err = lowshot("data", "check", "packed", "--write-clean", "clean.csv")
    assert (code, "is a pack; check the dataset that it was made of" in err) == (2, True)
    shas = [lowshot("data", "describe", data)[1].partition("sha ")[2][:16] for data in (world, "packed")]
    assert shas[0] == shas[1]
    for data, run in ((world, "files"), ("packed", "pack")):
        train = ("pretrain", "--method", "cid", "--set", "train.epochs=1", *sets, "--data", data, "--out", run)
        assert lowshot(*train)[0] == 0
    files, pack = (load_file(f"{run}/model.safetensors") for run in ("files", "pack"))
    assert all(torch.equal(files[name], pack[name]) for name in files)
    assert lowshot("finetune", "--from", "pack", "--labels", 0.5, "--out", "tuned")[0] == 0
    measured = ("--protocol", "verification", "--set", "evaluate.replicates=100", "--json")
    rows = json.loads(lowshot("evaluate", "--model", "tuned", *measured)[1])
    # The oracle's among them: the pack brings the world's truth along.
    assert {row["method"] for row in rows} == {"cid", "chance", "oracle"}


def test_every_unreadable_file_is_named_and_skipped_when_told(lowshot, sets, world, tmp_path):
    source = shutil.copytree(world, tmp_path / "source")
    broken = [*sorted(source.rglob("*.wav"))[:2], sorted(source.rglob("*.jpg"))[5]]
    for path in broken:
        path.write_bytes(b"text")
    request = ("data", "pack", source, "--out", "packed", "--jobs", 1, *sets)
    code, out, err = lowshot(*request)
    assert (code, out) == (2, "")
    assert all(str(path) in err for path in broken)
    assert "3 of 228 files cannot be decoded" in err.splitlines()[-1]
    assert "--skip-unreadable" in err.splitlines()[-1]
    code, _, err = lowshot("pretrain", "--data", "packed", *sets)
    assert code == 2
    assert "packing did not end" in err
    code, out, err = lowshot(*request, "--skip-unreadable")
    assert (code, out.strip()) == (0, "packed")
    assert "skipped: 3 of 228 files" in err


def test_a_damaged_pack_is_named_by_check(lowshot, sets, world, tmp_path):
    lowshot("data", "pack", world, "--out", "packed", "--faces", "jpeg", "--jobs", 1, *sets)
    shard = next((tmp_path / "cwd" / "packed" / "pack").glob("face-*.bin"))
    content = shard.read_bytes()
    shard.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    code, out, err = lowshot("data", "check", "packed")
    assert code == 2
    assert f"{shard.name}: damaged or missing" in out
    assert "1 fault prevents a run (1 damaged); the `lowshot data pack` command that made the pack mends it" in err
