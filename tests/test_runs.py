"""Run directories: whose they are, whether they are finished, and who is writing to them."""

import subprocess
import sys

import pytest

from lowshot import runs
from lowshot.errors import RequestError
from lowshot.runs import (
    is_finished,
    is_locked,
    lock_run,
    new_run,
    newest_run,
    open_run,
    read_provenance,
    safe_name,
    start_run,
    unfinished_run,
    write_provenance,
)
from lowshot.schema import CONFIG, MODEL, PROVENANCE, REPORT


def finish(run, kind, config):
    start_run(run, kind, config, "0" * 16)
    (run / MODEL).touch()
    (run / REPORT).touch()
    write_provenance(run, kind, config, "0" * 16, finished=True)
    return run


def test_what_a_killed_process_leaves_behind_is_no_obstacle(tmp_path):
    (tmp_path / ".provenance.json.x1.part").touch()
    with lock_run(tmp_path):
        assert open_run(tmp_path, "pretrain", "cmpc") == tmp_path
    assert open_run(tmp_path, "pretrain", "cmpc") == tmp_path
    (tmp_path / "thesis.part").touch()
    with pytest.raises(RequestError, match="files that are not a run's"):
        open_run(tmp_path, "pretrain", "cmpc")


def test_whose_a_run_is_stands_there_before_anything_else(tmp_path, config, monkeypatch):
    plain = runs.write_text

    def killed(path, text):
        if path.name != PROVENANCE:
            raise KeyboardInterrupt
        plain(path, text)

    monkeypatch.setattr(runs, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        start_run(tmp_path, "probe", config, "0" * 16)
    assert (read_provenance(tmp_path)["kind"], read_provenance(tmp_path)["finished"]) == ("probe", False)
    assert not (tmp_path / CONFIG).exists()
    assert open_run(tmp_path, "probe", "cmpc") == tmp_path
    with pytest.raises(RequestError, match="holds a run of `probe`"):
        open_run(tmp_path, "finetune", "cmpc")


@pytest.mark.parametrize("kind", ["pretrain", "finetune", "probe", "evaluate"])
def test_a_finished_run_is_refused(tmp_path, config, kind):
    finish(tmp_path, kind, config)
    with pytest.raises(RequestError, match="holds a finished run; name another directory"):
        open_run(tmp_path, kind, "cmpc")


def test_a_model_of_a_run_that_is_being_made_anew_is_not_the_newest(config):
    old, new = (finish(new_run("pretrain", "cmpc"), "pretrain", config) for _ in range(2))
    assert newest_run(("pretrain",)) == new
    start_run(new, "pretrain", config, "0" * 16)
    assert (is_finished(old), is_finished(new)) == (True, False)
    assert newest_run(("pretrain",)) == old


def test_the_newest_unfinished_run_is_one_that_nobody_is_writing_to(config):
    made = [new_run("demo", "tiny") for _ in range(4)]
    for run in made[:3]:
        start_run(run, "demo", config, "0" * 16)
    finish(made[3], "demo", config)
    assert unfinished_run("demo", lambda run: run != made[2]) == made[1]
    with lock_run(made[2]):
        assert unfinished_run("demo", lambda run: True) == made[1]
    assert unfinished_run("demo", lambda run: True) == made[2]
    assert unfinished_run("pretrain", lambda run: True) is None


def test_a_lock_keeps_another_process_out_and_ends_with_its_process(tmp_path):
    code = f"""
from pathlib import Path
from lowshot.runs import lock_run
with lock_run(Path({str(tmp_path)!r})):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline().strip() == b"held"
        assert is_locked(tmp_path)
        with pytest.raises(RequestError, match="another process is writing to this run"), lock_run(tmp_path):
            pass
        other.kill()
        other.wait()
    assert not is_locked(tmp_path)


@pytest.mark.parametrize(
    ("text", "name"),
    [("0002-finetune-cmpc-0.01", "0002-finetune-cmpc-0.01"), ("../a b/c", "_a_b_c"), ("..", "unnamed"), ("é:1", "é_1")],
)
def test_any_text_becomes_one_name(tmp_path, text, name):
    assert safe_name(text) == name
    run = new_run("evaluate", text, tmp_path / "runs")
    assert run.name == f"0001-evaluate-{name}"
    assert run.parent == tmp_path / "runs"
