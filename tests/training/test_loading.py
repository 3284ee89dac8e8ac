"""Batches made by other processes: the same ones, with the same errors."""

import multiprocessing
import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from lowshot.config import build_config
from lowshot.data.dataset import Dataset
from lowshot.data.packing.writing import pack_dataset
from lowshot.data.pairs import PairBatches, videos_of
from lowshot.data.readers.media import MediaReader
from lowshot.errors import RequestError, RunError
from lowshot.schema import MODEL
from lowshot.settings import TrainConfig
from lowshot.training.loading import batches_ahead
from lowshot.training.loop import Pretraining, pretrain

STEPS = range(2, 9)
FORK = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")


def with_workers(workers, start="auto"):
    return TrainConfig(workers=workers, worker_start=start)


def batches_of(reader, config):
    return PairBatches(videos_of(reader.dataset, "train"), reader, 16, 3, config.voice, config.face, config.augment)


def made(reader, config, train):
    with batches_ahead(batches_of(reader, config), STEPS, train) as coming:
        return list(coming)


def same(ours, theirs):
    parts = ("index", "voice", "face")
    return len(ours) == len(theirs) and all(
        torch.equal(mine := getattr(one, part), yours := getattr(other, part)) and mine.stride() == yours.stride()
        for one, other in zip(ours, theirs, strict=True)
        for part in parts
    )


@pytest.fixture(scope="module")
def pack(world, config, tmp_path_factory):
    out = tmp_path_factory.mktemp("packed") / "pack"
    pack_dataset(Dataset.open(world), out, config.voice, config.face, jobs=1)
    return MediaReader(Dataset.open(out), config.voice, config.face)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "start"),
    [(0, "auto"), pytest.param(1, "fork", marks=FORK), pytest.param(4, "fork", marks=FORK), (2, "spawn")],
)
def test_batches_are_the_same_from_files_and_pack_with_any_workers(reader, pack, config, workers, start):
    expected = [batches_of(reader, config).batch(step) for step in STEPS]
    assert same(made(pack, config, with_workers(workers, start)), expected)
    # Started anew, each process takes seconds: the files are left to the quicker ways.
    if start != "spawn":
        assert same(made(reader, config, with_workers(workers, start)), expected)


@pytest.mark.slow
@FORK
def test_a_file_that_cannot_be_read_is_the_same_error_with_workers(reader, config, monkeypatch):
    def vanished(self, step):
        if step == 5:
            raise RequestError("face 7 has vanished")
        return plain(self, step)

    plain = PairBatches.batch
    monkeypatch.setattr(PairBatches, "batch", vanished)
    for workers in (0, 2):
        count = 0
        with (
            pytest.raises(RequestError, match=r"^face 7 has vanished$"),
            batches_ahead(batches_of(reader, config), STEPS, with_workers(workers, "fork")) as coming,
        ):
            for _ in coming:
                count += 1
        assert count == 3
    assert not multiprocessing.active_children()


@FORK
def test_a_worker_that_dies_ends_the_run_with_one_line(reader, config, monkeypatch):
    monkeypatch.setattr(PairBatches, "batch", lambda self, step: os._exit(9))
    with pytest.raises(RunError, match=r"a process that makes batches died.*train\.workers"):
        made(reader, config, with_workers(2, "fork"))


@pytest.mark.slow
@FORK
def test_ctrl_c_reaches_all_processes_and_the_run_goes_on_from_a_pack(config, reader, pack, tmp_path, monkeypatch):
    whole = pretrain(config, reader, tmp_path / "whole")
    config = build_config([config.model_dump(mode="json"), {"train": {"workers": 2, "worker_start": "fork"}}])
    plain = Pretraining._train_step

    def interrupted(self, *args):
        plain(self, *args)
        if self.step == 4:
            # As the terminal does, and as a batch system does.
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGINT)
                os.kill(child.pid, signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Pretraining, "_train_step", interrupted)
        with pytest.raises(RunError, match=r"stopped at step 4 of .* and saved"):
            pretrain(config, reader, tmp_path / "stopped")
    assert not multiprocessing.active_children()
    # With workers or without, from files or from the pack: begun on the one, a run goes on with the other.
    resumed = pretrain(config, pack, tmp_path / "stopped")
    ours, theirs = load_file(whole / MODEL), load_file(resumed / MODEL)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_way_to_start_that_the_system_lacks_is_refused(reader, config, monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    with pytest.raises(RequestError, match="worker_start=fork: this operating system supports spawn"):
        made(reader, config, with_workers(1, "fork"))
