"""The tower of vectors: standardisation in its weights, dropout without a global generator, files that stand alone."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lowshot.adapt.strategies import freeze_the_rest, with_a_head
from lowshot.config import build_config
from lowshot.data.features import ColumnStatistics
from lowshot.errors import RequestError
from lowshot.models.two_tower import TwoTower, with_linear_heads
from lowshot.models.vector_tower import CountedDropout, VectorTower, join_dropouts
from lowshot.models.weights import read_model, save_model
from lowshot.settings import MlpConfig

STATISTICS = {
    "voice": ColumnStatistics(np.array([5, -2, 1], np.float32), np.array([2, 0, 4], np.float32)),
    "face": ColumnStatistics(np.arange(6, dtype=np.float32), np.ones(6, np.float32)),
}


@pytest.fixture
def settings():
    return build_config([{"model": {"tower": "mlp", "dim": 8, "mlp": {"width": 16, "layers": 2, "dropout": 0.5}}}])


@pytest.fixture
def towers(settings):
    return TwoTower.from_config(settings, STATISTICS).eval()


def test_inputs_are_standardised_and_columns_constant_in_training_are_left_out(towers):
    plain = VectorTower(3, 8, MlpConfig(width=16, layers=2, dropout=0.5)).eval()
    names = {"mean", "scale"}
    weights = {name: value for name, value in towers.voice.state_dict().items() if name not in names}
    plain.load_state_dict(weights, strict=False)
    x = torch.randn(5, 3)
    by_hand = torch.stack([(x[:, 0] - 5) / 2, torch.zeros(5), (x[:, 2] - 1) / 4], dim=1)
    torch.testing.assert_close(towers.voice(x), plain(by_hand))
    other = x.clone()
    other[:, 1] = 1e9
    assert torch.equal(towers.voice(other), towers.voice(x))


def test_embeddings_are_unit_vectors_and_depend_on_their_own_row_alone(towers):
    x = torch.randn(7, 6)
    embedded = towers.encode_face(x)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(7))
    torch.testing.assert_close(towers.encode_face(x[3:4]), embedded[3:4])


@pytest.mark.parametrize(("layers", "linear_maps"), [(0, 1), (1, 2), (3, 4)])
def test_depth_and_width(layers, linear_maps):
    tower = VectorTower(5, 4, MlpConfig(layers=layers, width=9))
    shapes = [tuple(module.weight.shape) for module in tower.modules() if isinstance(module, torch.nn.Linear)]
    assert shapes == [(9, 5), *[(9, 9)] * (linear_maps - 2), (4, 9)] if layers else [(4, 5)]
    assert tower(torch.randn(2, 5)).shape == (2, 4)


def test_the_seed_decides_the_first_weights(settings, towers):
    again = TwoTower.from_config(settings, STATISTICS)
    other = TwoTower.from_config(settings.model_copy(update={"seed": 1}), STATISTICS)
    weights = towers.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in again.state_dict().items())
    assert not torch.equal(other.face.project.weight, towers.face.project.weight)


@pytest.mark.parametrize("heads", [False, True])
def test_a_file_of_weights_stands_alone(towers, tmp_path, heads):
    model = with_linear_heads(towers) if heads else towers
    model.voice.trunk[0][3].count.fill_(7)
    save_model(model, tmp_path / "m.safetensors", method="cmpc")
    loaded, facts = read_model(tmp_path / "m.safetensors")
    assert facts == {"method": "cmpc"}
    assert loaded.widths == {"voice": 3, "face": 6}
    saved = model.state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in loaded.state_dict().items())
    assert torch.equal(loaded.voice.mean, torch.tensor([5.0, -2.0, 1.0]))
    x = torch.randn(4, 3)
    assert torch.equal(loaded.encode_voice(x), model.encode_voice(x))


@pytest.mark.parametrize("widths", [None, "3", "[]", json.dumps({"voice": 3}), json.dumps({"voice": "x", "face": 6})])
def test_damaged_widths_are_refused(towers, tmp_path, widths):
    path = tmp_path / "m.safetensors"
    save_model(towers, path)
    with safe_open(path, framework="pt") as file:
        metadata = {key: value for key, value in file.metadata().items() if key != "widths"}
    save_file(load_file(path), path, {**metadata, **({} if widths is None else {"widths": widths})})
    with pytest.raises(RequestError, match="does not know the model in its metadata"):
        read_model(path)


@pytest.mark.parametrize(
    ("strategy", "trained"),
    [
        ("full", {"trunk.0.0", "trunk.0.1", "trunk.1.0", "trunk.1.1", "project"}),
        ("head", {"project"}),
        ("last-stage", {"trunk.1.0", "trunk.1.1", "project"}),
    ],
)
def test_strategies_reach_what_they_name(towers, strategy, trained):
    assert with_a_head(towers, strategy) is towers
    freeze_the_rest(towers, strategy)
    found = {name for name, weight in towers.named_parameters() if weight.requires_grad}
    parts = {f"{modality}.{part}" for modality in ("voice", "face") for part in trained}
    assert found == {f"{part}.{kind}" for part in parts for kind in ("weight", "bias")}


def test_dropout_depends_on_its_key_and_count_and_on_nothing_else():
    torch.manual_seed(0)
    dropout = CountedDropout(0.25)
    x = torch.ones(400, 30)
    first, second = dropout(x), dropout(x)
    assert not torch.equal(first, second)
    assert (first == 0).float().mean() == pytest.approx(0.25, abs=0.02)
    assert first.max() == pytest.approx(4 / 3)
    torch.manual_seed(1)
    resumed = CountedDropout(0.25)
    assert not torch.equal(resumed(x), first)
    resumed.load_state_dict(dropout.state_dict())
    resumed.count.fill_(1)
    torch.rand(10)
    assert torch.equal(resumed(x), second)
    count = int(resumed.count)
    assert torch.equal(resumed.eval()(x), x)
    assert int(resumed.count) == count


def test_processes_take_their_rows_of_one_mask():
    torch.manual_seed(0)
    whole = CountedDropout(0.5)
    x = torch.ones(8, 5)
    parts = []
    for rank in range(2):
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Sequential(CountedDropout(0.5)))
        join_dropouts(module, rank, 2)
        parts.append(module(x[:4]))
    assert torch.equal(torch.cat(parts), whole(x))
