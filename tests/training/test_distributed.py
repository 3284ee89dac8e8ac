"""Two processes are one process with the joint batch. torchrun starts them, on the CPU; this file is what they run."""

import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from lowshot.config import build_config
from lowshot.data.dataset import Dataset
from lowshot.data.pairs import PairBatches, videos_of
from lowshot.data.readers.media import MediaReader
from lowshot.errors import LowshotError, RequestError, RunError
from lowshot.methods.cid import Cid
from lowshot.methods.cmpc import Cmpc
from lowshot.models.two_tower import TwoTower
from lowshot.runs import RUNS, is_finished, read_provenance
from lowshot.schema import CHECKPOINT, MODEL
from lowshot.training import distributed, loop
from lowshot.training.batch_norm import JointBatchNorm2d
from lowshot.training.checkpoint import load_checkpoint
from lowshot.training.distributed import ALONE, FailedElsewhere, processes
from lowshot.training.loop import Pretraining, pretrain
from lowshot.training.metrics_log import MetricsLog

pytestmark = pytest.mark.slow

SIZE = 2
METHODS = ("cid", "cmpc", "learned")
DTYPES = (torch.float32, torch.float64, torch.bfloat16)


class Learned(Cid):
    """Instance contrast whose temperature is trained."""

    def __init__(self, config, shape):
        self.scale = nn.Parameter(torch.tensor(2.0))

    def parameters(self):
        return [self.scale]

    def loss(self, index, voice, face):
        return F.cross_entropy(self.scale.exp() * voice @ face.T, torch.arange(len(index))), {}

    def state_dict(self):
        return {"scale": self.scale.detach()}

    def load_state_dict(self, state):
        self.scale.data.copy_(state["scale"])


def with_method(config, name):
    """Settings and a patch under which a run trains a method."""
    if name != "learned":
        return config.with_method(name), mock.patch.object(loop, "build_method", loop.build_method)
    return config.with_method("cid"), mock.patch.object(loop, "build_method", Learned)


class Double(TwoTower):
    """Towers in float64: what differs between one process and two is the sums' order, and here it shows little."""

    def encode_voice(self, log_mel):
        return self.map_voice(self.voice(log_mel.double()))

    def encode_face(self, images):
        return self.map_face(self.face(images.double()))


def train(config, reader, run, method, world=ALONE):
    """Train in float64, and keep each step's gradients, the last weights and what the method remembers."""
    config = build_config([config.model_dump(mode="json"), {"train": {"validate_every": 0}}])
    settings, patch = with_method(config, method)
    with patch:
        job = Pretraining(settings, reader, torch.device("cpu"), world)
    job.model.double().__class__ = Double
    gradients = []
    trained = [parameter for group in job.optimizer.param_groups for parameter in group["params"]]
    job.optimizer.register_step_pre_hook(lambda *_: gradients.append([each.grad.clone() for each in trained]))
    run.mkdir(parents=True, exist_ok=True)
    job.join()
    job.train(run)
    return {"gradients": gradients, "weights": job.model.state_dict(), "method": job.method.state_dict()}


def stopping(step, rank, world=ALONE):
    """Patch under which one process gets what Ctrl-C sends, after a step."""
    plain = Pretraining._train_step

    def step_then_stop(self, *args):
        plain(self, *args)
        if self.step == step and world.rank == rank:
            os.kill(os.getpid(), signal.SIGINT)

    return mock.patch.object(Pretraining, "_train_step", step_then_stop)


def normalise(norm, dtype, rank=None):
    """Two training steps of a batch normalisation, on a process's half of the batch or on all of it."""
    random = torch.Generator().manual_seed(7)
    outcome = []
    for offset in (0.0, 5.0):
        x, pull = (torch.randn(8, 3, 4, 5, generator=random, dtype=torch.float64) for _ in range(2))
        x = (x * torch.tensor([0.1, 1.0, 3.0])[:, None, None] + offset + torch.arange(8)[:, None, None, None]).to(dtype)
        x, pull = (each.contiguous(memory_format=torch.channels_last) for each in (x, pull))
        if rank is not None:
            x, pull = x.chunk(SIZE)[rank], pull.chunk(SIZE)[rank]
        x = x.detach().requires_grad_()
        norm.zero_grad()
        y = norm(x)
        (y * pull).sum().backward()
        outcome.append([y.detach(), x.grad, norm.weight.grad.clone(), norm.bias.grad.clone()])
    return {"steps": outcome, "state": norm.state_dict()}


def fresh_norm(dtype):
    norm = nn.BatchNorm2d(3, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        norm.bias.copy_(torch.tensor([0.0, 1.0, -1.0]))
    return norm


def work(folder, manifest, settings):
    """What each of the two processes does; its outcome is saved under its rank."""
    config = build_config([settings])
    reader = MediaReader(Dataset.open(manifest), config.voice, config.face)
    with processes() as world:
        own = {"list": [torch.arange(3) + world.rank, None], "pair": (world.rank, torch.tensor([world.leads]))}
        found = {
            "from_first": world.from_first(own),
            "any": [world.any(flag) for flag in (world.rank == 1, False)],
            "copied": copied_gradients(world),
            "norm": {
                dtype: normalise(JointBatchNorm2d(fresh_norm(dtype), world), dtype, world.rank) for dtype in DTYPES
            },
        }
        # Small buckets, so that there are several.
        with mock.patch.object(distributed, "BUCKET", 5000):
            for method in METHODS:
                found[method] = train(config, reader, folder / method, method, world)
        with mock.patch.object(Cmpc, "_cluster", autospec=True, side_effect=Cmpc._cluster) as cluster:
            pretrain(config, reader, folder / "whole", world=world)
        found["clusterings"] = cluster.call_count
        found["errors"] = failures(settings, reader, folder, world)
        pretrain(config, reader, folder / "stopped", world=world)
        pretrain(config, reader, folder / "alone-first", world=world)
    torch.save(found, folder / f"{world.rank}.pt")


def copied_gradients(world):
    """What becomes of gradients that the processes computed differently; one parameter has none."""
    parameters = [nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(4))]
    for parameter in parameters[::2]:
        parameter.grad = torch.full_like(parameter, 1.0 + world.rank)
    world.copy_gradients(parameters)
    return [parameter.grad for parameter in parameters]


def failures(settings, reader, folder, world):
    """Let runs fail in one process or the other, and warning how they end in this one."""
    loss, batch = Cmpc.loss, PairBatches.batch

    def no_number(self, *args):
        total, figures = loss(self, *args)
        return (total * float("nan") if self.voice_clusters else total), figures

    def vanished(self, step):
        if step == 3:
            raise RequestError("face 7 has vanished")
        return batch(self, step)

    def full(*args):
        raise RunError("the disk is full")

    second = world.rank == 1
    cases = {
        "stopped": (stopping(5, 1, world), {}),
        "two-first": (stopping(5, 0, world), {}),
        "nan": (mock.patch.object(Cmpc, "loss", no_number if second else loss), {}),
        "vanished": (mock.patch.object(PairBatches, "batch", vanished if second else batch), {}),
        "full": (mock.patch.object(MetricsLog, "write", full), {}),
        "uneven": (nullcontext(), {"batch_size": 15}),
        "whole": (nullcontext(), {}),
    }
    ends = {}
    for name, (patch, changes) in cases.items():
        config = build_config([settings, {"train": {"checkpoint_seconds": 0, **changes}}])
        try:
            with patch:
                pretrain(config, reader, folder / name, world=world)
        except LowshotError as error:
            ends[name] = (type(error), str(error))
    return ends


if __name__ == "__main__":
    torch.set_num_threads(1)
    work(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))
    sys.exit()


def torchrun(*arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={SIZE}", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def exact(config):
    """Settings whose outcome can be compared closely."""
    return build_config([config.model_dump(mode="json"), {"train": {"precision": "float32", "epochs": 4}}])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("distributed")


@pytest.fixture(scope="module")
def both(exact, reader, folder):
    """What the two processes found."""
    with stopping(5, 0), pytest.raises(RunError):
        pretrain(exact, reader, folder / "alone-first")
    settings = json.dumps(exact.model_dump(mode="json"))
    torchrun(__file__, str(folder), str(reader.dataset.manifest_path), settings)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(SIZE)]


def losses(run):
    return torch.tensor(pd.read_csv(run / "metrics.csv")["loss"])


def same(a, b):
    """Whether two nested states are equal bit for bit."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def same_files(a, b):
    return same(load_file(a / MODEL), load_file(b / MODEL)) and (
        (a / "metrics.csv").read_bytes() == (b / "metrics.csv").read_bytes()
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_step_has_the_loss_and_the_gradients_of_one_process_with_the_joint_batch(
    both, exact, reader, folder, method
):
    theirs = train(exact, reader, folder / f"{method}-alone", method)
    ours = both[0][method]
    assert len(ours["gradients"]) == len(theirs["gradients"]) == 8
    torch.testing.assert_close(losses(folder / method), losses(folder / f"{method}-alone"), rtol=1e-10, atol=0)
    for step, (left, right) in enumerate(zip(ours["gradients"], theirs["gradients"], strict=True)):
        for a, b in zip(left, right, strict=True):
            assert (a - b).norm() <= 1e-8 * b.norm(), f"step {step}"
    torch.testing.assert_close(ours["weights"], dict(theirs["weights"]), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(ours["method"], theirs["method"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_all_processes_end_in_the_same_state_bit_for_bit(both, method):
    assert same(both[0][method], both[1][method])
    if method == "cmpc":
        assert both[0][method]["method"]["voice_bank"]["written"].all()
        assert both[0][method]["method"]["voice_clusters"] is not None


def test_the_clusters_are_made_once(both):
    # Two modalities in epochs 1 and 3.
    assert [found["clusterings"] for found in both] == [4, 0]


def test_in_float32_too_the_first_loss_is_that_of_one_process(both, exact, reader, folder):
    alone = pretrain(exact, reader, folder / "alone")
    torch.testing.assert_close(losses(folder / "whole")[0], losses(alone)[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(losses(folder / "whole"), losses(alone), rtol=1e-3, atol=0)


def test_a_signal_to_one_process_stops_all_and_the_resumed_run_is_the_uninterrupted_one(both, folder):
    assert same_files(folder / "stopped", folder / "whole")


def test_a_run_goes_on_with_another_number_of_processes(both, exact, reader, folder):
    assert load_checkpoint(folder / "two-first" / CHECKPOINT)["step"] == 5
    pretrain(exact, reader, folder / "two-first")
    for name, count in (("two-first", 1), ("alone-first", SIZE)):
        assert read_provenance(folder / name)["processes"] == count
        torch.testing.assert_close(losses(folder / name), losses(folder / "whole"), rtol=1e-3, atol=0)


def test_what_fails_in_one_process_stops_all_and_one_of_them_says_why(both, folder):
    expected = {
        "stopped": (0, RunError, "stopped at step 5 of 8 and saved"),
        "two-first": (0, RunError, "stopped at step 5 of 8 and saved"),
        "nan": (1, RunError, "is nan; the last checkpoint is intact"),
        "vanished": (1, RequestError, "face 7 has vanished"),
        "full": (0, RunError, "the disk is full"),
        "uneven": (0, RequestError, "a batch of 15 videos cannot be shared evenly among 2 processes"),
        "whole": (0, RequestError, "holds a finished run"),
    }
    assert both[0]["errors"].keys() == both[1]["errors"].keys() == expected.keys()
    for name, (rank, kind, text) in expected.items():
        speaks, silent = both[rank]["errors"][name], both[1 - rank]["errors"][name]
        assert speaks[0] is kind, name
        assert text in speaks[1], name
        assert silent[0] is FailedElsewhere, name
    for name, step in (("nan", 2), ("vanished", 3)):
        assert load_checkpoint(folder / name / CHECKPOINT)["step"] == step
        assert not (folder / name / MODEL).exists()
    assert not (folder / "uneven").exists()


@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_norm_is_that_of_the_joint_batch(both, dtype):
    theirs = normalise(fresh_norm(dtype), dtype)
    halves = [both[rank]["norm"][dtype] for rank in range(SIZE)]
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2}[dtype]
    close = {"rtol": tolerance, "atol": tolerance}
    for whole, *parts in zip(theirs["steps"], *(half["steps"] for half in halves), strict=True):
        (y, dx, dw, db), ((y0, dx0, dw0, db0), (y1, dx1, dw1, db1)) = whole, parts
        torch.testing.assert_close(torch.cat([y0, y1]), y, **close)
        torch.testing.assert_close(torch.cat([dx0, dx1]), dx, **close)
        torch.testing.assert_close(dw0 + dw1, dw, **close)
        torch.testing.assert_close(db0 + db1, db, **close)
    assert same(halves[0]["state"], halves[1]["state"])
    torch.testing.assert_close(halves[0]["state"], theirs["state"], **close)


def test_all_processes_learn_what_the_first_one_holds_and_what_any_one_says(both):
    held = {"list": [torch.arange(3), None], "pair": (0, torch.tensor([True]))}
    for found in both:
        assert same(found["from_first"], held)
        assert found["any"] == [True, False]
        assert same(found["copied"], [torch.ones(2, 3), None, torch.ones(4)])


def test_the_parts_of_a_batch_are_the_batch_of_one_process(exact, reader):
    arguments = (videos_of(reader.dataset, "train"), reader, 16, 3, exact.voice, exact.face, exact.augment)
    whole = PairBatches(*arguments).batch(3)
    parts = [PairBatches(*arguments, rank, 4).batch(3) for rank in range(4)]
    for name in ("index", "voice", "face"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))


def test_a_lost_connection_is_told_from_other_faults(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    for name, value in (("is_torchelastic_launched", True), ("get_rank", 0), ("get_world_size", 2)):
        monkeypatch.setattr(distributed.dist, name, lambda value=value: value)
    monkeypatch.setattr(distributed.dist, "init_process_group", lambda *_, **__: None)
    with pytest.raises(RunError, match="connection to another process of this run was lost"), processes():
        raise RuntimeError("[gloo/transport/tcp/pair.cc:545] Read error: Connection reset by peer")
    with pytest.raises(RuntimeError, match="out of memory"), processes():
        raise RuntimeError("out of memory")


def test_one_call_of_torchrun_makes_one_run(exact):
    Path("settings.yaml").write_text(exact.to_yaml())
    printed = torchrun("-m", "lowshot", "pretrain", "--config", "settings.yaml", "--set", "train.epochs=2")
    runs = list(RUNS.iterdir())
    assert printed.split() == [str(run) for run in runs] == [str(RUNS / "0001-pretrain-cmpc")]
    assert is_finished(runs[0])
    assert read_provenance(runs[0])["processes"] == SIZE
