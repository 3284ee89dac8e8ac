"""The whole job on a directory of vectors, as a person types it."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lowshot import cli
from lowshot.data.dataset import Dataset
from lowshot.runs import read_config, read_provenance

PAGE = Path(__file__).parents[2] / "docs" / "features.md"
QUICK = ("--set", "train.epochs=25", "--set", "model.mlp.width=64", "--set", "model.dim=16")
FEW = ("--set", "evaluate.replicates=100")


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


def refused(outcome, *words):
    code, _, err = outcome
    line = err.strip().splitlines()[-1]
    assert code == 2 and "Traceback" not in err and line.startswith("lowshot: ")
    for word in words:
        assert word in line
    return line


def auc_of(run):
    rows = pd.read_csv(run / "results.csv")
    rows = rows[(rows["metric"] == "auc") & (rows["stratum"] == "U") & (rows["method"] != "chance")]
    return rows["value"].iloc[0]


@pytest.mark.slow
def test_the_commands_of_the_field_work_one_after_the_other(lowshot, vectors):
    code, out, _ = lowshot("pretrain", "--data", vectors, *QUICK)
    assert (code, out.strip()) == (0, "runs/0001-pretrain-cmpc")
    made = read_config(Path("runs/0001-pretrain-cmpc"))
    assert (made.model.tower, made.model.mlp.width) == ("mlp", 64)
    assert made.augment.feature_noise > 0 and made.augment.feature_dropout > 0
    for verb in ("finetune", "probe"):
        code, out, err = lowshot(verb, "--labels", 0.3, "--set", "adapt.steps=8", "--set", "adapt.probe_steps=8")
        assert code == 0, err
    code, out, err = lowshot("evaluate", "--protocol", "all", "--model", "runs/0001-pretrain-cmpc", *FEW)
    assert code == 0, err
    (folder,) = Path("runs").glob("0004-*")
    rows = pd.read_csv(folder / "results.csv")
    assert set(rows["protocol"]) == {"verification", "matching", "retrieval"}
    assert (folder / "report.html").is_file()
    # Seven unseen identities, whose vectors have the shared cause: far above chance, though not by how much.
    assert auc_of(folder) > 0.65
    assert lowshot("report", folder)[0] == 0
    # The page shows the pretraining of the model.
    shown = (folder / "report.html").read_text(encoding="utf-8")
    assert "Training loss</strong> is not shown" not in shown and "Sizes of the clusters</strong> is not" not in shown
    assert "Prototype health" in shown
    # Of an adapted model too, by the run beside it.
    code, _, err = lowshot("evaluate", "--protocol", "matching", "--model", "runs/0002-finetune-cmpc-0.3", *FEW)
    assert code == 0, err
    assert Path("runs/0005-evaluate-0002-finetune-cmpc-0.3/pretrain-cmpc-seed0/clusters.csv").is_file()
    # Another run's directory has a page of its own, or a log that is no page's.
    for other in Path("runs").glob("000[123]-*"):
        kind = other.name.split("-")[1]
        refused(
            lowshot("report", folder, "--out", other), f"--out {other}: holds a run of `{kind}`", "another directory"
        )
        assert not (other / "report.html").exists()
    assert lowshot("report", folder, "--out", "page")[0] == 0
    assert lowshot("report", folder, "--out", "page")[0] == 0
    assert lowshot("report", folder, "--out", folder)[0] == 0


@pytest.mark.slow
def test_an_adaptation_that_changed_nothing_says_so_wherever_its_figures_stand(lowshot, vectors):
    assert lowshot("pretrain", "--data", vectors, *QUICK, "--set", "train.epochs=1", "--out", "run")[0] == 0
    still = ("--set", "adapt.steps=2", "--set", "adapt.finetune_learning_rates=[1e-30]")
    assert lowshot("finetune", "--from", "run", "--labels", 0.3, *still, "--out", "tuned")[0] == 0
    line = "tuned: no gain on the validation identities; the starting model is kept (run)"
    assert lowshot("embed", "--model", "tuned", "--data", vectors, "--out", "made")[0] == 0
    for source, name in (("--model", "tuned"), ("--embeddings", "made")):
        code, _, err = lowshot("evaluate", source, name, *FEW, "--out", f"of-{name}")
        assert code == 0 and f"warning: {line.replace('tuned', name)}" in err
        assert f"<li>{line.replace('tuned', name)}</li>" in Path(f"of-{name}/report.html").read_text(encoding="utf-8")
    moved = ("--set", "adapt.steps=8", "--set", "adapt.finetune_learning_rates=[0.01]")
    assert lowshot("finetune", "--from", "run", "--labels", 0.3, *moved, "--out", "better")[0] == 0
    assert read_provenance(Path("better"))["selected"]["step"] > 0
    assert "raised" not in lowshot("evaluate", "--model", "better", *FEW)[2]


@pytest.mark.slow
def test_vectors_as_they_are_and_vectors_through_towers_are_two_things(lowshot, vectors):
    assert lowshot("pretrain", "--data", vectors, *QUICK, "--out", "run")[0] == 0
    line = refused(lowshot("evaluate", "--embeddings", vectors, *FEW), "12 dimensions", "face embeddings 20")
    assert "--data" in line
    code, _, err = lowshot("evaluate", "--model", "run", "--data", vectors, *FEW, "--out", "through")
    assert code == 0, err
    assert lowshot("embed", "--model", "run", "--data", vectors, "--out", "made")[0] == 0
    made = Dataset.open("made")
    assert made.features["voice"].shape == made.features["face"].shape == (100, 16)
    np.testing.assert_allclose(np.linalg.norm(made.features["face"], axis=1), 1, atol=1e-5)
    code, _, err = lowshot("evaluate", "--embeddings", "made", *FEW, "--out", "scored")
    assert code == 0, err
    assert auc_of(Path("scored")) == pytest.approx(auc_of(Path("through")), abs=1e-6)
    # Passed through the towers again they would be nonsense.
    refused(lowshot("evaluate", "--model", "run", "--data", "made"), "the embeddings that run made", "--embeddings")
    # What was embedded is a dataset of vectors like any other.
    assert lowshot("pretrain", "--data", "made", *QUICK, "--set", "train.epochs=1", "--out", "second")[0] == 0
    refused(lowshot("evaluate", "--model", "second", "--data", vectors), "has 12 columns, and the model takes 16")
    assert lowshot("embed", "--model", "second", "--out", "twice")[0] == 0
    refused(
        lowshot("evaluate", "--model", "second", "--data", "twice"), "the embeddings that second made", "--embeddings"
    )
    assert lowshot("evaluate", "--model", "second", "--data", "made", *FEW)[0] == 0


@pytest.mark.parametrize("block", ["numpy", "torch"])
def test_the_page_says_how_to_make_such_a_directory(lowshot, vectors, block):
    source = Dataset.open(vectors)
    columns = ["video", "identity", "split"]
    given = {f"{m}_rows": source.rows(m)[columns].itertuples(index=False) for m in ("voice", "face")}
    given |= {modality: np.asarray(tensor, np.float64) for modality, tensor in source.features.items()}
    first, torchs, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(first, given)
    if block == "torch":
        Path("vectors/features.safetensors").unlink()
        exec(torchs, given | {m: torch.from_numpy(given[m]) for m in ("voice", "face")})
    made = Dataset.open("vectors")
    for modality, tensor in source.features.items():
        np.testing.assert_array_equal(made.features[modality], tensor)
    assert (made.manifest[columns].to_numpy() == source.manifest[columns].to_numpy()).all()
    assert lowshot("data", "check", "vectors")[0] == 0


def test_for_the_file_of_vectors_the_directory_is_named(lowshot, vectors):
    file = vectors / "features.safetensors"
    for request in (("data", "check", file), ("pretrain", "--data", file), ("evaluate", "--embeddings", file)):
        assert refused(lowshot(*request), f"{file}: holds vectors").endswith(f"; give the directory, {vectors}")


@pytest.mark.slow
def test_methods_are_compared_on_vectors(lowshot, vectors):
    budget = ("--set", "train.epochs=2", "--set", "adapt.steps=2", "--set", "adapt.probe_steps=2")
    asked = ("--methods", "cmpc,cid,scratch,cid:model.mlp.layers=2", "--fractions", "0,0.3", "--jobs", 1)
    once = ("--seeds", 1, "--subset-seeds", 1, "--out", "compared")
    code, _, err = lowshot("compare", "--data", vectors, *asked, *once, *budget, *QUICK[2:], *FEW)
    assert code == 0, err
    rows = pd.read_csv("compared/results.csv")
    assert {"cmpc", "cid", "scratch", "cid+model.mlp.layers=2", "chance"} == set(rows["method"])
    assert Path("compared/differences.csv").is_file()
    towers = ("--methods", "cid,cid:model.tower=compact", "--fractions", "0")
    refused(lowshot("compare", "--data", vectors, *towers), "holds feature vectors", "compact")


def test_kinds_that_do_not_go_together_are_refused_in_one_line(lowshot, vectors, world, config, tmp_path):
    refused(lowshot("pretrain", "--data", vectors, "--preset", "paper"), "resnet34", "omit model.tower")
    refused(lowshot("pretrain", "--data", world, "--set", "model.tower=mlp"), "voice and face files", "mlp")
    micro = tmp_path / "micro.yaml"
    micro.write_text(config.to_yaml())
    assert lowshot("pretrain", "--config", micro, "--set", "train.epochs=1", "--out", "media")[0] == 0
    for verb in ("evaluate", "embed"):
        out = ("--out", "none")
        refused(lowshot(verb, "--model", "media", "--data", vectors, *out), "holds feature vectors", "compact")
    refused(lowshot("finetune", "--from", "media", "--data", vectors), "holds feature vectors", "compact")
    assert lowshot("pretrain", "--data", vectors, *QUICK, "--set", "train.epochs=1", "--out", "run")[0] == 0
    refused(lowshot("evaluate", "--model", "run", "--data", world), "holds voice and face files", "mlp")
    assert not Path("none").exists()


def test_fresh_weights_learn_from_labels_alone(lowshot, vectors):
    quick = ("--set", "adapt.steps=2", "--set", "adapt.probe_steps=2", *QUICK)
    for verb in ("finetune", "probe"):
        code, _, err = lowshot(verb, "--from", "scratch", "--data", vectors, "--labels", 0.3, *quick)
        assert code == 0, err


@pytest.mark.slow
def test_a_model_of_vectors_is_shown_by_its_widths(lowshot, vectors):
    assert lowshot("pretrain", "--data", vectors, *QUICK, "--set", "train.epochs=1", "--out", "run")[0] == 0
    shutil.copy(Path("run/model.safetensors"), "alone.safetensors")
    code, out, _ = lowshot("models", "show", "alone.safetensors", "--json")
    shown = json.loads(out)
    assert (code, shown["tower"], shown["voice_input"], shown["face_input"]) == (0, "mlp", [12], [20])
    assert "window_ms" not in shown and "face_front_end" not in shown
    code, _, err = lowshot("evaluate", "--model", "alone.safetensors", "--data", vectors, *FEW)
    assert code == 0, err
