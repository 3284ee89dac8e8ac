"""Pretrainings in processes of their own end in what they end in alone; a failure is told."""

import os
import signal
import time
from multiprocessing.context import SpawnProcess

import pytest
import torch
from safetensors.torch import load_file

from lowshot.config import build_config
from lowshot.errors import RunError
from lowshot.experiments import parallel_pretraining
from lowshot.experiments.parallel_pretraining import pretrain_all
from lowshot.runs import read_provenance
from lowshot.schema import MODEL
from lowshot.training.loop import pretrain

pytestmark = pytest.mark.slow


@pytest.fixture
def short(config):
    """Two epochs; at the second, CMPC has clusters."""
    return build_config(
        [config.model_dump(mode="json"), {"train": {"epochs": 2, "validate_every": 1}, "method": {"cluster_every": 1}}]
    )


@pytest.fixture
def one_thread():
    """Numbers of threads change the order of sums; processes beside each other have one each on two cores."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_side_by_side_equals_alone(short, reader, tmp_path, one_thread):
    single = build_config([short.model_dump(mode="json"), {"train": {"threads": 1}}])
    settings = [single.with_method(name) for name in ("cmpc", "cid")]
    events = []
    jobs = [(one, tmp_path / f"together-{one.method.name}", "never") for one in settings]
    pretrain_all(jobs, reader, report=events.append)
    # What happens in other processes is told in this one, each run on a line of its own.
    last = {event.text: (event.line, event.done == event.total) for event in events if event.kind == "steps"}
    assert last == {"pretrain cmpc": (0, True), "pretrain cid": (1, True)}
    for one in settings:
        alone = load_file(pretrain(one, reader, tmp_path / one.method.name) / MODEL)
        assert read_provenance(tmp_path / f"together-{one.method.name}")["threads"] == 1
        together = load_file(tmp_path / f"together-{one.method.name}" / MODEL)
        assert all(torch.equal(alone[name], together[name]) for name in alone)


def test_a_failure_in_one_names_it_and_those_beside_and_after_it_end_well(short, reader, tmp_path, forked):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("x")
    settings = {"taken": short, "fine": short.with_method("cid"), "later": short.with_method("barlow")}
    done = []
    with pytest.raises(RunError, match=r"taken failed \(.*files that are not a run's"):
        pretrain_all([(one, tmp_path / name, "never") for name, one in settings.items()], reader, 2, done.append)
    assert {run.name for run in done} == {"fine", "later"}
    assert all((run / MODEL).is_file() for run in done)


def test_a_run_that_is_left_alone_computes_as_beside_others(short, reader, tmp_path, monkeypatch):
    class Started(Exception):
        pass

    def start(config, manifest, threads, *others):
        raise Started(threads)

    monkeypatch.setattr(parallel_pretraining.os, "cpu_count", lambda: 6)
    monkeypatch.setattr(parallel_pretraining, "_start", start)
    with pytest.raises(Started, match="2"):
        pretrain_all([(short, tmp_path / "last", "never")], reader, 3)


def test_one_at_a_time_runs_here(short, reader, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(
        parallel_pretraining, "pretrain", lambda config, reader, run, resume, report: made.append((run, resume))
    )
    pretrain_all([(short, tmp_path / name, "never") for name in "ab"], reader, 1, lambda run: made.append(run.name))
    assert made == [(tmp_path / "a", "never"), "a", (tmp_path / "b", "never"), "b"]


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot hold signals")
def test_ctrl_c_while_the_runs_import_ends_without_a_traceback(short, reader, tmp_path, monkeypatch, capfd):
    start = SpawnProcess.start

    def and_ask(process):
        start(process)
        # Python is up and imports torch, which takes more than a second. Then what a terminal does: to both.
        time.sleep(0.7)
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(SpawnProcess, "start", and_ask)
    with pytest.raises(RunError, match="stopped"):
        pretrain_all([(short, tmp_path / "a", "never"), (short, tmp_path / "b", "never")], reader, 2)
    assert "Traceback" not in capfd.readouterr().err
    assert not (tmp_path / "b").exists()
