"""Towers and their weights on disk."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lowshot.config import build_config
from lowshot.errors import RequestError
from lowshot.models.two_tower import TwoTower, with_linear_heads
from lowshot.models.weights import read_model, save_model
from lowshot.settings import FaceConfig, ModelConfig, VoiceConfig

VOICE, FACE = VoiceConfig(frames=48), FaceConfig(size=32)


def inputs(count=3):
    return torch.randn(count, 1, 64, 48), torch.randn(count, 3, 32, 32)


@pytest.mark.parametrize("model", [ModelConfig(dim=16), ModelConfig(tower="resnet18", dim=512)])
def test_towers_give_unit_vectors_of_one_size(model):
    towers = TwoTower(model, VOICE, FACE).eval()
    for vectors in towers(*inputs()):
        assert vectors.shape == (3, model.dim)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))


def test_resnet34_is_torchvisions_without_its_head():
    import torchvision

    towers = TwoTower(ModelConfig(tower="resnet34", dim=512), VOICE, FACE)
    plain = torchvision.models.resnet34(weights=None)
    names = {name for name in plain.state_dict() if not name.startswith("fc.")}
    assert set(towers.voice.state_dict()) == set(towers.face.state_dict()) == names
    assert towers.voice.conv1.weight.shape == (64, 1, 7, 7)
    assert towers.face.conv1.weight.shape == (64, 3, 7, 7)


def test_the_compact_voice_tower_takes_any_length():
    towers = TwoTower(ModelConfig(dim=16), VOICE, FACE).eval()
    assert towers.encode_voice(torch.randn(2, 1, 64, 333)).shape == (2, 16)


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    a = TwoTower.from_config(build_config([{"seed": 5}]))
    state = torch.random.get_rng_state()
    b = TwoTower.from_config(build_config([{"seed": 5}]))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    c = TwoTower.from_config(build_config([{"seed": 6}]))
    assert not torch.equal(a.face.project.weight, c.face.project.weight)


def test_untrained_heads_change_nothing():
    towers = TwoTower(ModelConfig(dim=16), VOICE, FACE).eval()
    voices, faces = inputs()
    for before, after in zip(towers(voices, faces), with_linear_heads(towers)(voices, faces), strict=True):
        torch.testing.assert_close(before, after)


@pytest.mark.parametrize("heads", [False, True])
def test_weights_round_trip_bit_for_bit(tmp_path, heads):
    towers = TwoTower(ModelConfig(dim=16, linear_heads=heads), VOICE, FACE).eval()
    save_model(towers, tmp_path / "m.safetensors", method="cid")
    again, facts = read_model(tmp_path / "m.safetensors")
    assert facts == {"method": "cid"}
    assert not again.training
    voices, faces = inputs()
    for before, after in zip(towers(voices, faces), again(voices, faces), strict=True):
        assert torch.equal(before, after)


def test_equal_models_are_equal_bytes(tmp_path):
    facts = {f"fact{number}": "ö" * number for number in range(12)}
    model = TwoTower(ModelConfig(dim=16), VOICE, FACE)
    for name in ("a", "b"):
        save_model(model, tmp_path / f"{name}.safetensors", **facts)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert read_model(tmp_path / "a.safetensors")[1] == facts


def test_weights_written_before_there_were_front_ends_are_read(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(TwoTower(ModelConfig(dim=16), VOICE, FACE), path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    for modality in ("voice", "face"):
        section = json.loads(metadata[modality])
        assert section.pop("front_end") == "centred"
        metadata[modality] = json.dumps(section)
    save_file(load_file(path), path, metadata)
    model, _ = read_model(path)
    assert (model.voice_config, model.face_config) == (VOICE, FACE)


def test_reading_weights_draws_nothing(tmp_path):
    model = TwoTower(ModelConfig(tower="resnet18", dim=512, linear_heads=True), VOICE, FACE)
    save_model(model, tmp_path / "m.safetensors")
    state = torch.random.get_rng_state()
    again, _ = read_model(tmp_path / "m.safetensors")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert {value.device.type for value in again.state_dict().values()} == {"cpu"}
    assert {name for name, _ in again.named_buffers()} < again.state_dict().keys() == model.state_dict().keys()
    assert all(weight.requires_grad for weight in again.parameters())
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_damaged_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "m.safetensors"
    for content in (b"", b"garbage", b"\x80\x04pickle"):
        path.write_bytes(content)
        with pytest.raises(RequestError, match=r"m\.safetensors: cannot be read as safetensors"):
            read_model(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(RequestError, match="not a lowshot model"):
        read_model(path)
    with pytest.raises(RequestError, match="cannot be read"):
        read_model(tmp_path / "none.safetensors")


def test_a_missing_or_unexpected_tensor_is_named(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(TwoTower(ModelConfig(dim=16), VOICE, FACE), path)
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file({k: v for k, v in tensors.items() if k != "face.project.bias"}, path, metadata)
    with pytest.raises(RequestError, match=r"'face\.project\.bias' is missing"):
        read_model(path)
    save_file({**tensors, "odd": torch.zeros(1)}, path, metadata)
    with pytest.raises(RequestError, match="'odd' is unexpected"):
        read_model(path)
    save_file({**tensors, "face.project.bias": torch.zeros(3)}, path, metadata)
    with pytest.raises(RequestError, match=r"size mismatch for face\.project\.bias"):
        read_model(path)


def test_a_resnet_with_a_projection_size_is_refused():
    with pytest.raises(RequestError, match="its dim is 512"):
        build_config([{"model": {"tower": "resnet18", "dim": 128}}])
