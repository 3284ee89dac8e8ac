"""The command line as a person types it: in process, on the micro world."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from lowshot import cli
from lowshot.reporting import plots
from lowshot.runs import read_config


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


def error_line(err):
    """The one line of an error; progress stands above it."""
    line = err.strip().splitlines()[-1]
    assert line.startswith("lowshot: ")
    assert "Traceback" not in err
    return line


@pytest.mark.slow
@pytest.mark.pictures
def test_the_three_bare_commands_work_one_after_the_other(lowshot, sets):
    code, out, _ = lowshot("pretrain", *sets)
    assert (code, out.strip()) == (0, "runs/0001-pretrain-cmpc")
    code, out, _ = lowshot("finetune", "--labels", 0.3)
    assert (code, out.strip()) == (0, "runs/0002-finetune-cmpc-0.3")
    code, out, _ = lowshot("evaluate", "--protocol", "matching", "--set", "evaluate.replicates=100")
    assert code == 0
    assert "chance" in out
    folder = next(Path("runs").glob("0003-*"))
    results = pd.read_csv(folder / "results.csv")
    assert set(results["protocol"]) == {"matching"}
    assert set(results["method"]) == {"cmpc", "chance", "oracle"}
    ours = results[results["method"] == "cmpc"]
    assert set(ours["adaptation"]) == {"finetune"}
    assert set(ours["fraction"]) == {0.3}
    assert (folder / "report.html").is_file()
    assert list((folder / "plots").glob("*.png"))


def test_an_old_name_of_a_setting_is_read_with_one_line_on_standard_error(lowshot):
    code, _, err = lowshot("pretrain", "--set", "method.recalibration=mates", "--data", "none")
    assert (code, err.count("warning:")) == (2, 1)
    assert err.startswith("lowshot: warning: recalibration=mates is now called recalibration=cluster-neighbours;")


@pytest.mark.slow
def test_probe_from_scratch_and_evaluate_as_json(lowshot, sets):
    assert lowshot("probe", "--labels", 0.5, "--from", "scratch", *sets)[0] == 0
    code, out, _ = lowshot("evaluate", "--protocol", "verification", "--json", "--set", "evaluate.replicates=100")
    rows = json.loads(out)
    assert code == 0
    assert {row["method"] for row in rows} == {"scratch", "chance", "oracle"}


@pytest.mark.slow
def test_what_embed_writes_evaluate_reads_with_the_same_figures(lowshot, sets, tmp_path):
    lowshot("pretrain", "--method", "cid", *sets)
    assert lowshot("embed", "--out", tmp_path / "vectors")[0] == 0
    common = ("--set", "evaluate.replicates=100", "--json")
    direct = json.loads(lowshot("evaluate", *common)[1])
    foreign = json.loads(lowshot("evaluate", "--embeddings", tmp_path / "vectors", *common)[1])
    values = [[row["value"] for row in rows if row["method"] == "cid"] for rows in (direct, foreign)]
    assert values[0] == pytest.approx(values[1])
    assert len(values[0]) > 20
    budgets = [{(row["adaptation"], row["fraction"], row["init"]) for row in rows} for rows in (direct, foreign)]
    assert budgets[0] == budgets[1]


@pytest.mark.slow
def test_crops_and_mirrors_are_asked_for_by_setting(lowshot, sets, tmp_path):
    lowshot("pretrain", "--method", "cid", *sets)
    looks = ("--set", "evaluate.mirror=true", "--set", "evaluate.voice_crops=1")
    common = ("--set", "evaluate.replicates=100", "--protocol", "verification", "--json")
    assert lowshot("embed", "--out", tmp_path / "vectors", *looks)[0] == 0
    with safe_open(tmp_path / "vectors" / "features.safetensors", framework="numpy") as file:
        assert (file.metadata()["mirror"], file.metadata()["voice_crops"]) == ("True", "1")
    foreign = json.loads(lowshot("evaluate", "--embeddings", tmp_path / "vectors", *common)[1])
    plain, looked = (json.loads(lowshot("evaluate", *common, *more)[1]) for more in ((), looks))
    values = [[row["value"] for row in rows if row["method"] == "cid"] for rows in (foreign, looked, plain)]
    assert values[0] == pytest.approx(values[1])
    assert values[0] != pytest.approx(values[2])


@pytest.mark.slow
def test_of_anyones_vectors_no_label_budget_is_claimed(lowshot, sets, tmp_path):
    lowshot("pretrain", "--method", "cid", *sets)
    lowshot("embed", "--out", tmp_path / "vectors")
    file = tmp_path / "vectors" / "features.safetensors"
    save_file(load_file(file), file)
    _, out, _ = lowshot("evaluate", "--embeddings", tmp_path / "vectors", "--set", "evaluate.replicates=100", "--json")
    ours = [row for row in json.loads(out) if row["method"] == "embeddings"]
    assert {(row["adaptation"], row["fraction"], row["init"]) for row in ours} == {("", None, "external")}


@pytest.mark.slow
@pytest.mark.pictures
@pytest.mark.parametrize("named", ["run", "weights"])
def test_the_roc_picture_finds_the_scores_of_the_model(lowshot, sets, tmp_path, named, monkeypatch):
    lowshot("probe", "--labels", 0.5, "--from", "scratch", *sets, "--out", tmp_path / "mine-0.5")
    lowshot("probe", "--labels", 0.3, "--from", "scratch", *sets, "--out", tmp_path / "mine-0.3")
    shutil.copy(tmp_path / "mine-0.5" / "model.safetensors", tmp_path / "a b-0.5.safetensors")
    model, name = {"run": ("mine-0.5", "mine-0.5"), "weights": ("a b-0.5.safetensors", "a_b-0.5")}[named]
    options = ("--data", Path(read_config(tmp_path / "mine-0.3").data), "--set", "evaluate.replicates=100")
    assert lowshot("evaluate", "--model", tmp_path / model, "--protocol", "verification", *options)[0] == 0
    out = Path("runs") / f"0001-evaluate-{name}"
    assert (out / "plots" / "roc.png").is_file()
    results = pd.read_csv(out / "results.csv")
    assert set(results.loc[results["method"] == "scratch", "run_id"]) == {name}
    assert {path.name for path in (out / "scores").iterdir()} == {name, "oracle"}
    monkeypatch.setattr(plots, "draw", lambda material: [])
    lowshot("evaluate", "--model", tmp_path / "mine-0.3", "--protocol", "verification", *options)
    assert Path("runs/0002-evaluate-mine-0.3").is_dir()


@pytest.mark.slow
def test_a_finished_run_is_refused_before_anything_is_done(lowshot, sets, tmp_path):
    request = ("probe", "--labels", 0.5, "--from", "scratch", *sets, "--out", tmp_path / "probe")
    evaluation = (
        "evaluate",
        "--set",
        "evaluate.replicates=100",
        "--model",
        tmp_path / "probe",
        "--out",
        tmp_path / "e",
    )
    for again in (request, evaluation):
        assert lowshot(*again)[0] == 0
        before = {path: path.stat().st_mtime_ns for path in again[-1].glob("*")}
        code, _, err = lowshot(*again)
        assert code == 2
        # Nothing was announced that then does not come.
        (line,) = err.splitlines()
        assert "holds a finished run; name another directory" in line
        assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.slow
def test_an_evaluation_that_was_killed_can_be_made_again(lowshot, sets, tmp_path, monkeypatch):
    from lowshot.evaluation import run

    lowshot("pretrain", *sets)
    request = ("evaluate", "--out", tmp_path / "out", "--set", "evaluate.replicates=100")
    with monkeypatch.context() as patch:
        patch.setattr(run, "write_evaluation", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        assert lowshot(*request)[0] == 130
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["finished"] is False
    assert lowshot(*request)[0] == 0
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["finished"] is True


@pytest.mark.slow
def test_a_model_is_adapted_once(lowshot, sets):
    lowshot("pretrain", *sets)
    code, out, err = lowshot("finetune", "--labels", 0.25)
    assert code == 0
    assert "finetune of 0001-pretrain-cmpc with 3 of 10 identities (30 %) labelled" in err
    code, _, err = lowshot("probe", "--labels", 0.5, "--from", out.strip())
    assert code == 2
    assert "name the pretrained run it started from (0001-pretrain-cmpc)" in error_line(err)


@pytest.mark.slow
def test_the_strategy_is_a_flag_that_outranks_the_setting(lowshot, sets):
    request = ("finetune", "--labels", 0.3, "--from", "scratch", *sets, "--set", "adapt.strategy=lp-ft")
    code, out, err = lowshot(*request, "--strategy", "head")
    assert (code, out.strip()) == (0, "runs/0001-finetune-scratch-0.3-head")
    assert "finetune-head of scratch with 3 of 10 identities (30 %) labelled" in err
    assert read_config(Path(out.strip())).adapt.strategy == "head"
    code, out, err = lowshot(*request)
    assert (code, out.strip()) == (0, "runs/0002-finetune-scratch-0.3-lp-ft")
    assert "probe: " in err
    code, out, _ = lowshot("evaluate", "--protocol", "matching", "--set", "evaluate.replicates=100", "--json")
    assert code == 0
    assert "finetune-lp-ft" in {row["adaptation"] for row in json.loads(out)}
    code, _, err = lowshot(*request, "--strategy", "some")
    assert code == 2
    assert "--strategy" in error_line(err)
    assert lowshot("probe", "--strategy", "head")[0] == 2


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (OSError(28, "No space left on device", "runs/x"), "runs/x: No space left on device"),
        (RuntimeError("CUDA out of memory.\nTried to allocate"), "RuntimeError: CUDA out of memory. Tried to allocate"),
    ],
)
def test_an_error_of_the_system_or_a_library_is_one_line_with_exit_code_1(lowshot, monkeypatch, error, fault):
    def broken(*args, **options):
        raise error

    monkeypatch.setattr("lowshot.workflows.data.open_dataset", broken)
    code, out, err = lowshot("data", "describe", "x")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert fault in error_line(err)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("pretran",), "no such verb 'pretran'; did you mean 'pretrain'"),
        (("pretrain", "--set", "train.epoch=3"), "unknown key 'train.epoch'; did you mean 'train.epochs'"),
        (("pretrain", "--method", "cmcp"), "method 'cmcp' is unknown; did you mean 'cmpc'"),
        (("pretrain", "--preset", "dmeo"), "no such preset; did you mean 'demo'"),
        (("pretrain", "--data", "nowhere"), "nowhere: no such dataset"),
        (("pretrain", "--config", "none.yaml"), "none.yaml: cannot be read"),
        (("pretrain", "--sed", "3"), "--sed"),
        (("finetune", "--from", "nowhere"), "nowhere: no such run or weights file"),
        (("finetune",), "no finished pretrain run"),
        (("evaluate",), "no finished pretrain or finetune or probe run"),
        (("evaluate", "--protocol", "guessing"), "guessing"),
        (("protocols", "show", "guessing"), "guessing"),
        (("report", "nowhere"), "nowhere"),
        (("pretrain", "vectors"), "extra argument (vectors); name data by --data"),
        (("evaluate", "my run"), "extra argument (my run); name data by --data or a model by --model"),
        (("finetune", "a", "b"), "extra arguments (a b); name data by --data or a model by --from"),
        (("finetune", "--model", "run"), "No such option '--model'; did you mean '--from'?"),
        (("embed", "--out", "x", "--from", "run"), "No such option '--from'; did you mean '--model'?"),
        (("pretrain", "--epochs", "5"), "No such option '--epochs'; did you mean '--set train.epochs=VALUE'?"),
        (("compare", "--batch-size=5"), "'--set train.batch_size=VALUE' or '--set adapt.batch_size=VALUE'?"),
        (("report", "--epochs", "5"), "No such option '--epochs'."),
        (("finetune", "--steps", "5"), "No such option '--steps'; did you mean '--set adapt.steps=VALUE'?"),
        (("probe", "--steps", "5"), "did you mean '--set adapt.probe_steps=VALUE'?"),
        (("pretrain", "--batch-size", "5"), "did you mean '--set train.batch_size=VALUE'?"),
        (("finetune", "--labels", "10%"), "'10%' is not a valid float; did you mean '--labels 0.1'?"),
        (("probe", "--labels", "0.5 %"), "did you mean '--labels 0.005'?"),
        (("probe", "--labels", "1..0%"), "'1..0%' is not a valid float."),
        (
            ("models", "show", "cmpc-compact"),
            "cmpc-compact: no such run or weights file; did you mean pretrained:cmpc-",
        ),
    ],
)
def test_a_wrong_request_is_one_line_with_exit_code_2(lowshot, tmp_path, arguments, fault):
    code, out, err = lowshot(*arguments)
    assert code == 2
    assert out == ""
    assert fault in error_line(err)
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("labels", ["0", "2", "-1", "0.01"])
@pytest.mark.parametrize("verb", ["finetune", "probe"])
def test_labels_that_make_no_sense_are_refused(lowshot, sets, verb, labels):
    code, _, err = lowshot(verb, "--labels", labels, "--from", "scratch", *sets)
    assert code == 2
    assert "--labels" in error_line(err)
    assert not list(Path.cwd().iterdir())


def broken(world, folder, change):
    """A copy of the micro world with another manifest."""
    shutil.copytree(world, folder)
    manifest = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    change(manifest).to_csv(folder / "manifest.csv", index=False)
    return folder


def test_a_missing_file_stops_before_anything_is_written(lowshot, sets, world, tmp_path):
    folder = broken(world, tmp_path / "data", lambda m: m)
    train = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False).query("split == 'train'")
    (folder / train["path"].iloc[0]).unlink()
    code, _, err = lowshot("pretrain", *sets, "--data", folder)
    assert code == 2
    assert train["path"].iloc[0] in error_line(err)
    assert not list(Path.cwd().iterdir())


@pytest.mark.slow
def test_an_unreadable_file_is_named(lowshot, sets, world, tmp_path):
    folder = broken(world, tmp_path / "data", lambda m: m)
    train = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False).query("split == 'train'")
    (folder / train["path"].iloc[0]).write_bytes(b"no medium")
    code, _, err = lowshot("pretrain", *sets, "--data", folder)
    assert code == 2
    assert train["path"].iloc[0] in error_line(err)
    code, out, err = lowshot("data", "check", folder)
    assert code == 2
    assert train["path"].iloc[0] in out
    assert "1 fault prevents a run (1 unreadable)" in error_line(err)


@pytest.mark.slow
def test_an_empty_test_split_and_one_modality_are_refused(lowshot, sets, world, tmp_path):
    lowshot("pretrain", *sets)
    without_test = broken(world, tmp_path / "a", lambda m: m[m["split"] != "test"])
    code, _, err = lowshot("evaluate", "--data", without_test)
    assert code == 2
    assert "test" in error_line(err)
    voices_only = broken(world, tmp_path / "b", lambda m: m[m["modality"] == "voice"])
    code, _, err = lowshot("pretrain", *sets, "--data", voices_only)
    assert code == 2
    assert "no row with modality 'face'" in error_line(err)
    assert sorted(path.name for path in Path("runs").iterdir()) == ["0001-pretrain-cmpc"]


def test_help_is_quick_and_imports_no_torch():
    code = """
import sys
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from lowshot import cli
sys.argv = ["lowshot", "--help"]
try:
    cli.main()
finally:
    print("torch" in sys.modules, "pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("False False")
    for verb in cli.VERBS:
        assert verb in done.stdout


@pytest.mark.parametrize("verb", list(cli.VERBS))
def test_every_verb_explains_itself(lowshot, verb):
    code, out, _ = lowshot(verb, "--help")
    assert code == 0
    assert len(out.splitlines()) > 4


def test_protocols_are_listed_shown_and_built(lowshot, world, tmp_path):
    assert [line.split()[0] for line in lowshot("protocols", "list")[1].splitlines()] == [
        "verification",
        "matching",
        "retrieval",
        "enrolment",
        "synth-bench",
        "synth-demo",
    ]
    for name in ("verification", "matching", "retrieval"):
        assert lowshot("protocols", "show", name)[1]
    code, out, _ = lowshot("protocols", "build", "--data", world, "--out", tmp_path / "lists")
    assert code == 0
    assert len(out.split()) >= 4
    code, out, _ = lowshot("protocols", "subsets", "--data", world, "--labels", 0.2)
    assert (code, len(out.split())) == (0, 2)


def test_data_is_described_and_the_machine_looked_at(lowshot, world):
    code, out, _ = lowshot("data", "describe", world)
    assert code == 0
    assert "test: 18 videos of 6 identities, 18 voices, 36 faces" in out
    described = json.loads(lowshot("data", "describe", world, "--json")[1])
    assert described["splits"]["test"] == {"videos": 18, "identities": 6, "voices": 18, "faces": 36}
    code, out, _ = lowshot("doctor")
    assert (code, out.strip().splitlines()[-1]) == (0, "nothing here would stop a run")
    found = json.loads(lowshot("doctor", "--json")[1])
    assert (found["faults"], set(found["extras"])) == ([], {"codec", "video", "onnx"})
    assert found["models"] == ["pretrained:cid-compact", "pretrained:cmpc-compact"]


def test_a_fault_is_listed_and_fails(lowshot, monkeypatch):
    from lowshot.workflows import doctor

    monkeypatch.setattr(doctor, "NEEDED", ("torch", "no-such-package"))
    code, out, err = lowshot("doctor")
    assert (code, "no-such-package is not installed: pip install no-such-package" in out) == (1, True)
    assert "1 fault would stop a run" in error_line(err)
    code, out, _ = lowshot("doctor", "--json")
    assert (code, len(json.loads(out)["faults"])) == (1, 1)


@pytest.mark.slow
def test_where_the_outcome_lies_is_said_as_json(lowshot, sets, tmp_path):
    run = json.loads(lowshot("pretrain", "--method", "cid", *sets, "--json")[1])
    assert (run["method"], Path(run["weights"]).parent) == ("cid", Path(run["run"]))
    adapted = json.loads(lowshot("probe", "--labels", 0.5, "--json")[1])
    assert Path(adapted["weights"]).is_file() and "learning_rate" in adapted["selected"]
    embedded = json.loads(lowshot("embed", "--out", tmp_path / "vectors", "--json")[1])
    assert Path(embedded["features"]).is_file()
