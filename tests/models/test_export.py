"""Exported towers, run without lowshot's own code: the same vectors, for any number of samples and any length."""

import json

import numpy as np
import pytest
import torch

from lowshot.errors import RequestError, RunError
from lowshot.models import export
from lowshot.models.export import export_model
from lowshot.models.two_tower import TwoTower, with_linear_heads


def towers(config, tower="compact", dim=16, heads=False):
    """Towers in evaluation mode whose batch normalisation is not the identity."""
    model = TwoTower.from_config(
        config.model_copy(update={"model": config.model.model_copy(update={"tower": tower, "dim": dim})})
    )
    with torch.no_grad():
        model.train()(torch.randn(4, 1, 64, 48), torch.rand(4, 3, 32, 32))
    if heads:
        model = with_linear_heads(model)
        torch.nn.init.normal_(model.voice_head.weight)
    return model.eval()


def inputs(count):
    random = np.random.default_rng(count)
    voice = random.normal(size=(count, 1, 64, 48 + count)).astype(np.float32)
    return {"voice": voice, "face": random.uniform(-1, 1, size=(count, 3, 32, 32)).astype(np.float32)}


def vectors(model, given):
    with torch.inference_mode():
        encoded = {"voice": model.encode_voice, "face": model.encode_face}
        return {key: encoded[key](torch.from_numpy(value)).numpy() for key, value in given.items()}


@pytest.mark.parametrize(
    ("tower", "dim", "heads"), [("compact", 16, False), ("compact", 16, True), ("resnet18", 512, False)]
)
def test_torchscript_gives_the_same_vectors(config, tmp_path, tower, dim, heads):
    model = towers(config, tower, dim, heads)
    differences = export_model(model, "torchscript", tmp_path / "out", name="mine")
    assert max(differences.values()) <= 1e-5
    for count in (1, 5):
        given = inputs(count)
        expected = vectors(model, given)
        for modality in ("voice", "face"):
            loaded = torch.jit.load(tmp_path / "out" / f"{modality}.pt")
            got = loaded(torch.from_numpy(given[modality])).detach().numpy()
            np.testing.assert_allclose(got, expected[modality], atol=1e-5)
    # ResNets are large.
    for file in (tmp_path / "out").iterdir():
        file.unlink()


def test_onnx_gives_the_same_vectors(config, tmp_path):
    for needed in ("onnx", "onnxscript"):
        pytest.importorskip(needed)
    onnxruntime = pytest.importorskip("onnxruntime")
    model = towers(config, heads=True)
    export_model(model, "onnx", tmp_path / "out")
    given = inputs(5)
    expected = vectors(model, given)
    for modality in ("voice", "face"):
        session = onnxruntime.InferenceSession(tmp_path / "out" / f"{modality}.onnx")
        (got,) = session.run(None, {"input": given[modality]})
        np.testing.assert_allclose(got, expected[modality], atol=1e-5)


def test_what_goes_in_is_written_beside(config, tmp_path):
    export_model(towers(config), "torchscript", tmp_path / "out", name="mine")
    said = json.loads((tmp_path / "out" / "model.json").read_text())
    assert (said["voice"]["input"], said["face"]["input"]) == (["batch", 1, 64, "frames"], ["batch", 3, 32, 32])
    assert (said["output"], said["name"], said["voice"]["file"]) == (["batch", 16], "mine", "voice.pt")
    assert said["voice"]["settings"]["frames"] == 48


def test_other_outputs_leave_nothing_behind(config, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", lambda path: lambda x: torch.zeros(len(x), 16))
    with pytest.raises(RunError, match="the voice tower as torchscript gives vectors that differ by"):
        export_model(towers(config), "torchscript", tmp_path / "out")
    assert not [path for path in tmp_path.iterdir() if path.name != "cwd"]


def test_wrong_requests_are_one_line(config, tmp_path, monkeypatch):
    model = towers(config)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(RequestError, match="exists; name an empty directory"):
        export_model(model, "torchscript", tmp_path / "full")
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"needs onnx and onnxscript and onnxruntime; pip install 'lowshot\[onnx\]'"):
        export_model(model, "onnx", tmp_path / "out")
    model.model_config = model.model_config.model_copy(update={"tower": "mlp"})
    with pytest.raises(RequestError, match="a model of vectors cannot be exported"):
        export_model(model, "torchscript", tmp_path / "out")
