"""Resume: a run that was stopped ends in exactly what an uninterrupted one ends in."""

import os
import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file

from lowshot.config import build_config
from lowshot.errors import RequestError, RunError
from lowshot.runs import RUNS, is_locked, lock_run, read_provenance, start_run
from lowshot.schema import CHECKPOINT, MODEL
from lowshot.training.checkpoint import load_checkpoint, save_checkpoint
from lowshot.training.loop import Pretraining, pretrain

pytestmark = pytest.mark.slow


def same_weights(a, b):
    left, right = load_file(a / MODEL), load_file(b / MODEL)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def stop_after(step, monkeypatch):
    """Send the process what Ctrl-C sends, after a step."""
    plain = Pretraining._train_step

    def stopping(self, *args):
        plain(self, *args)
        if self.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Pretraining, "_train_step", stopping)


@pytest.fixture(scope="module")
def wholes(config, reader, tmp_path_factory):
    """An uninterrupted run of each method. Do not change them: copy them."""
    out = tmp_path_factory.mktemp("wholes")
    return {method: pretrain(config.with_method(method), reader, out / method) for method in ("cid", "cmpc")}


@pytest.mark.parametrize("method", ["cid", "cmpc"])
@pytest.mark.parametrize("stop", [1, 5, 9])
def test_row_10_resumed_equals_uninterrupted_bit_for_bit(wholes, config, reader, tmp_path, monkeypatch, method, stop):
    config, whole = config.with_method(method), wholes[method]
    with monkeypatch.context() as patch:
        stop_after(stop, patch)
        with pytest.raises(RunError, match=f"stopped at step {stop} of"):
            pretrain(config, reader, tmp_path / "stopped")
    assert not (tmp_path / "stopped" / MODEL).exists()
    assert load_checkpoint(tmp_path / "stopped" / CHECKPOINT)["step"] == stop
    events = []
    resumed = pretrain(config, reader, tmp_path / "stopped", report=events.append)
    assert f"goes on from step {stop} of" in events[0].text
    assert [event.done for event in events[1:]] == [*range(stop, events[-1].total + 1)]
    assert same_weights(whole, resumed)
    assert (whole / "metrics.csv").read_bytes() == (resumed / "metrics.csv").read_bytes()
    ours, theirs = (load_checkpoint(run / CHECKPOINT) for run in (whole, resumed))
    for half in ("voice_bank", "face_bank") if method == "cmpc" else ():
        assert torch.equal(ours["method"][half]["vectors"], theirs["method"][half]["vectors"])


def test_rows_logged_after_the_checkpoint_are_cut_off(wholes, config, reader, tmp_path, monkeypatch):
    """As after a kill: the log is ahead of the checkpoint."""
    whole = wholes["cmpc"]
    with monkeypatch.context() as patch:
        stop_after(4, patch)
        with pytest.raises(RunError):
            pretrain(config, reader, tmp_path / "killed")
    with (tmp_path / "killed" / "metrics.csv").open("a") as file:
        file.write("4,9,9,half a ro")
    pretrain(config, reader, tmp_path / "killed")
    assert (whole / "metrics.csv").read_bytes() == (tmp_path / "killed" / "metrics.csv").read_bytes()


def test_the_same_command_finds_its_stopped_run(config, reader, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(3, patch)
        with pytest.raises(RunError, match="goes on from"):
            pretrain(config, reader)
    other = pretrain(config.model_copy(update={"seed": 1}), reader)
    resumed = pretrain(config, reader)
    assert (other.name, resumed.name) == ("0002-pretrain-cmpc", "0001-pretrain-cmpc")
    assert pretrain(config, reader).name == "0003-pretrain-cmpc"


def test_a_run_that_is_being_trained_is_left_to_its_process(config, reader, monkeypatch):
    plain, held = Pretraining._train_step, []

    def looking(self, batch, run, log):
        held.append(is_locked(run))
        plain(self, batch, run, log)

    with monkeypatch.context() as patch:
        stop_after(3, patch)
        with pytest.raises(RunError):
            pretrain(config, reader)
    stopped = RUNS / "0001-pretrain-cmpc"
    before = (stopped / CHECKPOINT).read_bytes()
    with lock_run(stopped):
        for request in ({"out": stopped}, {"resume": str(stopped)}):
            with pytest.raises(RequestError, match="0001-pretrain-cmpc: another process is writing to this run"):
                pretrain(config, reader, **request)
        assert pretrain(config, reader).name == "0002-pretrain-cmpc"
    assert (stopped / CHECKPOINT).read_bytes() == before
    with monkeypatch.context() as patch:
        patch.setattr(Pretraining, "_train_step", looking)
        assert pretrain(config, reader).name == stopped.name
    assert held
    assert all(held)
    assert not is_locked(stopped)


def test_killed_between_its_weights_and_its_provenance_a_run_is_finished_when_called_again(
    wholes, config, reader, tmp_path
):
    copy = wholes["cmpc"]
    run = shutil.copytree(copy, tmp_path / "run")
    start_run(run, "pretrain", config, reader.dataset.sha)
    assert pretrain(config, reader, run) == run
    assert same_weights(run, copy)
    assert (run / "metrics.csv").read_bytes() == (copy / "metrics.csv").read_bytes()
    assert read_provenance(run)["finished"]


def test_another_seed_or_setting_is_refused_by_name(config, reader, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(3, patch)
        with pytest.raises(RunError):
            pretrain(config, reader, tmp_path / "run")
    before = (tmp_path / "run" / CHECKPOINT).read_bytes()
    changed = build_config([config.model_dump(mode="json"), {"train": {"learning_rate": 0.5}}])
    with pytest.raises(RequestError, match=r"train\.learning_rate differs"):
        pretrain(changed, reader, tmp_path / "run")
    with pytest.raises(RequestError, match="holds a run that was stopped"):
        pretrain(config, reader, tmp_path / "run", resume="never")
    assert (tmp_path / "run" / CHECKPOINT).read_bytes() == before


def test_other_data_are_refused(config, reader, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(3, patch)
        with pytest.raises(RunError):
            pretrain(config, reader, tmp_path / "run")
    state = load_checkpoint(tmp_path / "run" / CHECKPOINT)
    save_checkpoint(tmp_path / "run" / CHECKPOINT, state | {"data_sha": "0" * 16})
    with pytest.raises(RequestError, match="trained on other data"):
        pretrain(config, reader, tmp_path / "run")


def test_a_finished_run_is_not_overwritten(wholes, config, reader):
    run = wholes["cmpc"]
    before = (run / MODEL).read_bytes()
    with pytest.raises(RequestError, match="holds a finished run"):
        pretrain(config, reader, run)
    assert (run / MODEL).read_bytes() == before


def test_a_foreign_folder_is_not_written_to(config, reader, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("x")
    with pytest.raises(RequestError, match="files that are not a run's"):
        pretrain(config, reader, tmp_path / "precious")
    with pytest.raises(RequestError, match="no checkpoint there"):
        pretrain(config, reader, resume=str(tmp_path / "precious"))
    assert [path.name for path in (tmp_path / "precious").iterdir()] == ["thesis.txt"]


def test_a_checkpoint_that_would_execute_code_is_refused(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (os.system, ("touch pwned",))

    path = tmp_path / "checkpoint.pt"
    torch.save({"step": Evil()}, path)
    with pytest.raises(RequestError, match=r"checkpoint\.pt: not a readable checkpoint"):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(RequestError, match="not a readable checkpoint"):
        load_checkpoint(path)
    path.write_bytes(b"")
    with pytest.raises(RequestError, match="not a readable checkpoint"):
        load_checkpoint(path)
    assert not (tmp_path / "pwned").exists()


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(config, reader, tmp_path, monkeypatch):
    from lowshot.methods.cmpc import Cmpc

    plain = Cmpc.loss

    def broken(self, index, voice, face):
        total, logs = plain(self, index, voice, face)
        return (total * float("nan") if self.voice_bank.written.all() else total), logs

    config = build_config([config.model_dump(mode="json"), {"train": {"checkpoint_seconds": 0}}])
    with monkeypatch.context() as patch:
        patch.setattr(Cmpc, "loss", broken)
        with pytest.raises(RunError, match=r"the loss at step .* is nan"):
            pretrain(config, reader, tmp_path / "run")
    assert load_checkpoint(tmp_path / "run" / CHECKPOINT)["step"] > 0
    assert not read_provenance(tmp_path / "run")["finished"]
