"""What docs/extending.md adds works as the page says: its modules are imported and its commands run."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lowshot as package
from lowshot import settings
from lowshot.cli.wording import in_flags
from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.protocols import custom
from lowshot.evaluation.protocols import registry as protocols
from lowshot.evaluation.results import read_results
from lowshot.experiments import differences
from lowshot.extend import add_importer, add_method, add_protocol, add_tower, import_module
from lowshot.importers.registry import IMPORTERS
from lowshot.methods import registry
from lowshot.models import towers
from lowshot.runs import read_config
from lowshot.workflows import evaluate
from lowshot.workflows.data import import_data

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
MODULES = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE, re.DOTALL))
TABLES = (
    settings.METHODS,
    settings.TOWERS,
    registry.BUILDERS,
    towers.MEDIA_TOWERS,
    protocols._ADDED,
    IMPORTERS,
)


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """The page's modules in the current folder; what they add is gone afterwards."""
    before = [table.copy() for table in TABLES]
    monkeypatch.setattr(sys, "path", [*sys.path])
    # Pages take seconds, and are not what is asked here.
    monkeypatch.setattr(evaluate, "write_report", lambda *args, **kwargs: None)
    for name, text in MODULES.items():
        Path(f"{name}.py").write_text(text, encoding="utf-8")
    yield
    for table, old in zip(TABLES, before, strict=True):
        table.clear()  # type: ignore[attr-defined]
        (table.extend if isinstance(table, list) else table.update)(old)  # type: ignore[attr-defined]
    for name in MODULES:
        sys.modules.pop(name, None)


def commands(name):
    """The command lines of the page that import a module."""
    return [line.split()[1:] for line in PAGE.splitlines() if line.startswith(f"lowshot --import {name} ")]


def test_modules_are_about_thirty_lines():
    assert set(MODULES) == {"hardest", "small", "naming", "same_age", "flat"}
    assert max(len([line for line in text.splitlines() if line.strip()]) for text in MODULES.values()) <= 32


@pytest.mark.slow
def test_a_method(lowshot, sets):
    pretrain, finetune = commands("hardest")
    code, run, err = lowshot(*pretrain, *sets)
    assert code == 0, err
    assert read_config(Path(run.strip())).method.model_dump() == {"name": "hardest", "margin": 0.2}
    assert pd.read_csv(Path(run.strip()) / "metrics.csv")["hardest_cosine"].notna().all()
    code, _, err = lowshot(*[word.replace("0.1", "0.5") for word in finetune])
    assert code == 0, err
    code, _, err = lowshot(*pretrain, *sets, "--set", "method.margins=1")
    assert (code, "unknown key 'method.margins'; did you mean 'method.margin'?" in err) == (2, True)


@pytest.mark.slow
def test_towers(lowshot, sets, config):
    pretrain, evaluate = commands("small")
    code, run, err = lowshot(*pretrain, *sets)
    assert code == 0, err
    code, out, err = lowshot(*evaluate)
    assert code == 0, err
    assert "cmpc" in out
    assert lowshot("finetune", "--labels", 0.5, "--strategy", "head")[0] == 0
    # Without the module, the run says what is missing.
    settings.TOWERS.remove("small")
    code, _, err = lowshot("evaluate", "--model", run.strip() + "/model.safetensors", "--data", config.data)
    assert (code, "for your own towers, give --import MODULE" in err) == (2, True)


@pytest.mark.slow
def test_a_protocol(lowshot, sets, config):
    assert lowshot("pretrain", *sets)[0] == 0
    code, out, err = lowshot(*commands("naming")[0])
    assert code == 0, err
    assert "naming" in out and "accuracy" in out
    rows = read_results(Path(re.search(r"results: (.+)", out)[1]))
    rows = rows.set_index("method")
    assert rows["protocol"].unique().tolist() == ["naming"]
    # Six people of the test split: one in six by chance, and the true latents know them.
    assert rows.loc["chance", "value"] == pytest.approx(1 / 6)
    assert rows.loc["oracle", "value"] > 0.3
    assert rows.loc["cmpc", "ci_low"] <= rows.loc["cmpc", "value"] <= rows.loc["cmpc", "ci_high"]
    # With all others, and by the Python API.
    found = package.evaluate(settings={"evaluate.replicates": 100}).results
    assert set(found["protocol"]) == {"verification", "matching", "retrieval", "naming"}
    mine = found.query("protocol == 'naming' and method == 'cmpc'")["value"].item()
    assert mine == pytest.approx(rows.loc["cmpc", "value"])


@pytest.mark.slow
def test_a_protocol_takes_part_in_comparisons_and_reports(lowshot, sets, monkeypatch):
    monkeypatch.setattr(differences, "LEAST_REPLICATES", 100)
    request = ("compare", "--methods", "cmpc,cid", "--fractions", "0", "--adaptations", "probe", "--jobs", "1")
    code, _, err = lowshot("--import", "naming", "--import", "same_age", *request, "--seeds", "1", *sets)
    assert code == 0, err
    (folder,) = Path("runs").glob("0001-compare-*")
    mine = read_results(folder / "results.csv").query("protocol == 'naming'").set_index("method")["value"]
    assert set(mine.index) == {"cmpc", "cid", "chance", "oracle"}
    assert mine["chance"] == pytest.approx(1 / 6)
    # One with score tables is compared in pairs.
    compared = pd.read_csv(folder / "differences.csv").query("protocol == 'same-age'")
    assert compared[["stratum", "metric"]].to_numpy().tolist() == [["A", "auc"]]
    assert list(folder.glob("scores/*/same-age-unseen-unheard-A.csv"))
    # A report needs the tables alone, not the modules.
    protocols._ADDED.clear()
    code, _, err = lowshot("report", folder, "--format", "csv")
    assert code == 0, err
    table = pd.read_csv(folder / "tables" / "protocol-naming-U-unseen-unheard.csv").set_index("method")
    assert table.loc["cid", "accuracy"] == pytest.approx(mine["cid"])
    assert "naming U unseen-unheard" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_protocol_with_score_tables(lowshot, sets):
    evaluate, show = commands("same_age")
    assert lowshot("pretrain", *sets)[0] == 0
    code, out, err = lowshot(*evaluate)
    assert code == 0, err
    run = Path(re.search(r"results: (.+)", out)[1]).parent
    rows = read_results(run / "results.csv")
    assert set(rows["protocol"]) == {"same-age"} and set(rows["stratum"]) == {"A"}
    (scores,) = run.glob("scores/*cmpc*/same-age-unseen-unheard-A.csv")
    assert list(run.glob("curves/*cmpc*/same-age-unseen-unheard-A.csv"))
    # Its lists and its score tables are those of verification.
    assert lowshot("evaluate", "--scores", scores)[0] == 0
    code, out, err = lowshot(*show)
    assert (code, "default_strata:\n- A\n" in out) == (0, True), err


def test_the_protocol_of_the_page_names_people(lowshot):
    import_module("naming")
    faces = pd.DataFrame({"identity": ["a", "a", "b"], "video": ["1", "2", "3"]})
    voices = pd.DataFrame({"identity": ["a", "b", "b"], "video": ["1", "3", "4"]})
    scores = np.array([[0.9, 0.0, 0.4], [0.9, 0.1, 0.6], [0.5, 0.5, 0.5]])
    (figure,) = protocols.find("naming")._function(custom.Gallery(scores, voices, faces, 100, 0))  # type: ignore[attr-defined]
    # Means 0.45 against 0.4: right; 0.5 against 0.6: right; a tie of two.
    assert figure.value == pytest.approx(2.5 / 3)


def test_an_importer(lowshot, world):
    dataset = Dataset.open(world)
    Path("recordings").mkdir()
    for modality in ("voice", "face"):
        table = dataset.rows(modality)
        for row, (identity, video) in enumerate(zip(table["identity"], table["video"], strict=True)):
            source = dataset.path(modality, row)
            name = f"{identity.replace('_', '')}_{video.replace('_', '').replace('/', '')}_{row}{source.suffix}"
            shutil.copy(source, Path("recordings") / name)
    Path("recordings/odd.wav").touch()
    code, out, err = lowshot(*commands("flat")[0])
    assert code == 0, err
    videos = dataset.manifest["video"].nunique()
    lines = out.splitlines()
    assert (lines[-3:-1], lines[-1]) == (
        ["skipped: 1 of another name", "manifest.csv.skipped.csv lists the skipped files"],
        "manifest.csv",
    )
    assert sum(int(line.split()[1]) for line in lines if line.startswith(("train: ", "val: ", "test: "))) == videos
    assert "odd.wav" in Path("manifest.csv.skipped.csv").read_text()
    code, out, _ = lowshot("data", "describe", "manifest.csv")
    assert (code, "val: " in out, "test: " in out) == (0, True, True)
    # The same from Python.
    done = import_data("flat", folder="recordings", out="again.csv", held_out=0.25)
    assert done.manifest.read_bytes() == Path("manifest.csv").read_bytes()
    assert done.record()["skipped"] == {"of another name": 1}
    # The help and messages know its option.
    assert "--held-out" in lowshot("--import", "flat", "data", "import", "flat", "--help")[1]
    assert in_flags("`held_out=0.6`") == "--held-out 0.6"


def test_wrong_modules_are_one_line(lowshot, sets):
    code, _, err = lowshot("--import", "nosuch", "pretrain")
    assert (code, "--import nosuch: no such module here" in err) == (2, True)
    Path("broken.py").write_text("import nosuch_either\n")
    code, _, err = lowshot("--import", "broken", "pretrain")
    assert (code, "No module named 'nosuch_either'" in err) == (1, True)
    import_module("hardest")
    config = settings.METHODS["hardest"]
    for add, given in (
        (add_method, (config, registry.BUILDERS[config])),
        (add_tower, ("compact", towers.MEDIA_TOWERS["compact"])),
        (add_protocol, ("all", lambda gallery: [])),
        (add_importer, (IMPORTERS["csv"],)),
    ):
        with pytest.raises(RequestError, match="there is one of that name already; choose another"):
            add(*given)
