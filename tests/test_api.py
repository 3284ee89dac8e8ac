"""lowshot from Python: the page's quick start runs, and the functions do what the verbs do."""

import re
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lowshot
from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.models.weights import read_model
from lowshot.runs import read_config, read_provenance
from lowshot.synthetic import render

PAGE = Path(__file__).parent.parent / "docs" / "api.md"


@pytest.mark.slow
def test_the_quick_start_runs(world, monkeypatch, capsys, no_pictures):
    # The smallest world that there is stands for synth:tiny, which takes longer to render.
    monkeypatch.setattr(render, "ensure_world", lambda *args, **kwargs: world)
    dataset = Dataset.open(world)
    shutil.copy(dataset.path("voice", 0), "voice.wav")
    for row, name in enumerate(("a.jpg", "b.jpg")):
        shutil.copy(dataset.path("face", row), name)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    scope: dict[str, object] = {}
    for block in blocks:
        exec(block, scope)
    printed = capsys.readouterr().out
    for word in ("cmpc", "chance", "oracle", "588544 weights", "a.jpg", "was trained on invented people"):
        assert word in printed
    results = pd.read_csv(scope["found"].directory / "results.csv")  # type: ignore[attr-defined]
    assert len(results) == len(scope["found"].results)  # type: ignore[attr-defined]
    assert Path("vectors/features.safetensors").is_file()
    assert read_provenance(scope["run"])["command"][0] != "lowshot"

    again = lowshot.evaluate(embeddings="vectors", protocol="verification", settings={"evaluate.replicates": 100})
    values = [rows.query("method == 'cmpc'")["value"].to_numpy() for rows in (again.results, scope["found"].results)]  # type: ignore[attr-defined]
    assert values[0] == pytest.approx(values[1], nan_ok=True)


@pytest.mark.slow
def test_settings_data_and_seeds_reach_the_run(world, config, tmp_path):
    settings = {
        "voice.frames": 48,
        "face.size": 32,
        "train.epochs": 1,
        "train.batch_size": 16,
        "train.learning_rate": 1e-05,
        "adapt.probe_steps": 2,
        "adapt.probe_learning_rates": [1e-05],
    }
    run = lowshot.pretrain(world, method="cid", settings=settings, seed=7, out=tmp_path / "run")
    assert run == tmp_path / "run"
    written = read_config(run)
    assert (written.seed, written.method.name, written.train.learning_rate) == (7, "cid", 1e-05)
    probed = lowshot.probe(run, labels=0.5, subset_seed=1, out=tmp_path / "probed")
    facts = read_model(probed / "model.safetensors")[1]
    assert (facts["adaptation"], facts["subset_seed"], facts["train_seed"]) == ("probe", "1", "7")
    assert lowshot.load(probed).metadata == facts


@pytest.mark.slow
def test_a_directory_of_vectors_is_data(vectors, tmp_path):
    opened = lowshot.open_data(vectors)
    assert (opened.has_features, opened.features["voice"].shape, len(opened.faces)) == (True, (100, 12), 100)
    settings = {"train.epochs": 2, "train.batch_size": 16, "evaluate.replicates": 100, "model.dim": 16}
    run = lowshot.pretrain(vectors, settings=settings, out=tmp_path / "run")
    assert lowshot.load(run).towers.widths == {"voice": 12, "face": 20}
    found = lowshot.evaluate(run, protocol="retrieval", settings={"evaluate.replicates": 100})
    assert set(found.results["protocol"]) == {"retrieval"}


def test_wrong_requests_are_the_errors_of_the_command_line(world):
    with pytest.raises(RequestError, match=r"unknown key 'train\.epoch'; did you mean 'train\.epochs'\?"):
        lowshot.pretrain(world, settings={"train.epoch": 2})
    with pytest.raises(RequestError, match="no finished pretrain or finetune or probe run"):
        lowshot.load()
    with pytest.raises(RequestError, match="no protocol 'retreival'; there are verification, matching, retrieval"):
        lowshot.evaluate("pretrained:cmpc-compact", protocol="retreival")
    with pytest.raises(RequestError, match="nowhere"):
        lowshot.open_data("nowhere")
    with pytest.raises(RequestError, match="give `model` or `embeddings`, not both"):
        lowshot.evaluate("pretrained:cmpc-compact", embeddings="vectors")
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        lowshot.train  # noqa: B018
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("adapt", [lowshot.finetune, lowshot.probe])
@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"labels": "0.1"}, "`labels='0.1'`: give a number above 0 and at most 1, as in `labels=0.1` for 10 %"),
        ({"labels": True}, "`labels=True`: give a number"),
        ({"subset_seed": "1"}, "`subset_seed='1'`: give a whole number from 0 on"),
        ({"subset_seed": -1}, "`subset_seed=-1`: give a whole number from 0 on"),
        ({"subset_seed": True}, "`subset_seed=True`: give a whole number"),
        ({"labels": 0.1, "subset": "list.csv"}, "`subset` says what is labelled; leave `labels` out"),
        ({"settings": {"adapt.steps": Path("5")}}, f"`settings`: {Path('5')!r} is not a number"),
        ({"settings": "adapt.steps=5"}, "`settings='adapt.steps=5'`: give a dict by key"),
        ({"adapt": "steps=5"}, "`adapt='steps=5'`: give a dict by key"),
        ({"adapt": {"step": 5}}, "unknown key 'adapt.step'; did you mean 'adapt.steps'?"),
        ({"adpat": {"steps": 5}}, "no argument `adpat`; did you mean 'adapt'?"),
    ],
)
def test_what_is_of_another_type_is_refused_before_anything_is_done(adapt, asked, fault):
    with pytest.raises(RequestError, match=f"^{re.escape(fault)}"):
        adapt("scratch", data="nowhere", **asked)


def test_numbers_of_numpy_are_numbers():
    with pytest.raises(RequestError, match="nowhere: no such dataset"):
        lowshot.probe("scratch", data="nowhere", labels=np.float32(0.5), subset_seed=np.int64(1))
    with pytest.raises(RequestError, match="nowhere: no such dataset"):
        settings = {"adapt.steps": np.int64(2), "adapt.finetune_learning_rates": [np.float32(0.5)]}
        lowshot.finetune("scratch", data="nowhere", labels=Fraction(3, 10), settings=settings)


@pytest.mark.slow
def test_importing_is_quick():
    code = """
import sys, lowshot
assert "match" in dir(lowshot)
print(sorted(name for name in ("torch", "pandas", "numpy", "pydantic", "click") if name in sys.modules))
lowshot.pretrain
print("torch" in sys.modules, "pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "False False"]


def test_both_doors_refuse_alike():
    """Arguments that exclude each other are refused below the doors; the command line has flags in their place."""
    for asked, fault in (
        ({"scores": "a", "protocol": "all"}, "`scores` needs nothing else; leave `protocol` out"),
        ({"meta": "a"}, "`meta` and `skip_missing` belong to `trials`"),
        ({"trials": ["a"], "split": "val"}, "`trials` says what is measured; leave `split` out"),
        ({"embeddings": "a", "data": "b"}, "`embeddings` brings its own manifest; leave `data` out"),
    ):
        with pytest.raises(RequestError, match=f"^{re.escape(fault)}"):
            lowshot.evaluate(**asked)


def test_the_old_name_of_load_is_told():
    with pytest.warns(DeprecationWarning, match=r"lowshot\.load"):
        assert lowshot.load_model("pretrained:cmpc-compact").name == lowshot.load("pretrained:cmpc-compact").name
