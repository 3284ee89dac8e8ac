"""The preset of the paper's size: what it says, and that it trains."""

import pytest
import torch

from lowshot.cli.parsing import parse_set
from lowshot.config import build_config, read_preset
from lowshot.data.dataset import Dataset
from lowshot.data.readers.media import MediaReader
from lowshot.methods.base import RunShape
from lowshot.methods.registry import build_method
from lowshot.training.loop import Pretraining
from lowshot.training.schedule import learning_rate


@pytest.fixture(scope="module")
def paper():
    return build_config([read_preset("paper")])


def test_the_paper_preset_is_the_papers_model(paper):
    assert (paper.model.tower, paper.model.dim) == ("resnet34", 512)
    voice = paper.voice
    assert (voice.mel_bands, voice.window_ms, voice.hop_ms, voice.frames, paper.face.size) == (64, 100, 10, 500, 224)
    assert not any(paper.augment.model_dump().values())


def test_the_paper_preset_is_the_papers_schedule_on_voxceleb1(paper):
    videos, train = 18_057, paper.train
    steps_per_epoch = videos // train.batch_size
    steps = train.epochs * steps_per_epoch
    assert steps * train.batch_size == pytest.approx(3.2e6, rel=0.005)
    rates = [
        learning_rate(step, steps, train.learning_rate, train.final_learning_rate, train.warmup_share)
        for step in range(steps)
    ]
    assert max(rates) == rates[round(0.1 * steps)] == 5e-3
    assert rates[-1] == pytest.approx(1e-4)
    assert train.weight_decay == 1e-5
    shape = RunShape(videos, 512, train.batch_size, steps_per_epoch, train.epochs, 0, torch.device("meta"))
    method = build_method(paper.method, shape)
    assert method.granularities == [500, 1000, 1500]  # type: ignore[attr-defined]
    clusterings = [step / steps_per_epoch for step in range(steps) if method.clusters_at(step)]
    assert clusterings == list(range(16, 177, 2))


@pytest.mark.parametrize("method", ["cmpc", "cid"])
def test_the_paper_preset_takes_either_method(method):
    config = build_config([read_preset("paper"), {"method": {"name": method}}])
    assert (config.method.name, config.method.temperature) == (method, 0.03)  # type: ignore[attr-defined]
    assert build_config([config.model_dump(mode="json")]) == config


@pytest.mark.slow
def test_the_paper_preset_takes_a_step(world):
    layers = [read_preset("paper"), {"data": str(world)}, parse_set("train.batch_size=2"), parse_set("train.epochs=1")]
    config = build_config(layers)
    job = Pretraining(config, MediaReader(Dataset.open(world), config.voice, config.face), torch.device("cpu"))
    batch = job.batches.batch(0)
    assert batch.voice.shape == (2, 1, 64, 500)
    assert batch.face.shape == (2, 3, 224, 224)
    assert -1 <= batch.face.min() < 0 < batch.face.max() <= 1
    before = {name: value.clone() for name, value in job.model.named_parameters()}
    job.model.train()
    job.method.before_step(0)
    voice, face = job.model(batch.voice, batch.face)
    assert voice.shape == face.shape == (2, 512)
    loss, _ = job.method.loss(batch.index, voice, face)
    assert torch.isfinite(loss)
    loss.backward()
    job.optimizer.step()
    still = [name for name, value in job.model.named_parameters() if torch.equal(value, before[name])]
    assert not still
