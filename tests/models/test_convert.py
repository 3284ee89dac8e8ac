"""Released checkpoints: what is taken over, to the bit, and what is refused, by name."""

import json
import os
import shutil
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torchaudio
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from lowshot.data.dataset import Dataset
from lowshot.data.readers.media import MediaReader
from lowshot.errors import RequestError
from lowshot.models.convert import convert_checkpoint, read_released
from lowshot.models.embedding import embed
from lowshot.models.loaded import load_model
from lowshot.models.weights import read_model


def plain_tower(channels, seed):
    """A torchvision ResNet-34 without its head; weights, and what batch normalisation has seen, at random."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tower = torchvision.models.resnet34(weights=None)
        tower.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        tower.fc = nn.Identity()
        for layer in tower.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.data.uniform_(0.5, 1.5)
                layer.bias.data.normal_(std=0.1)
                layer.running_mean.normal_(std=0.1)
                layer.running_var.uniform_(0.5, 1.5)
                layer.num_batches_tracked.fill_(25_000)
        return tower.eval()


@pytest.fixture(scope="module")
def plain():
    return {"voice": plain_tower(1, seed=1), "face": plain_tower(3, seed=2)}


def released(plain):
    return OrderedDict(
        (f"{modality}_subnet.{name}", value)
        for modality, tower in plain.items()
        for name, value in tower.state_dict().items()
    )


@pytest.fixture(scope="module")
def checkpoint(plain, tmp_path_factory):
    """A checkpoint as the released training writes it; removed in the end, for it is large."""
    folder = tmp_path_factory.mktemp("released")
    state = {
        "epoch": 3_199_872,
        "model": released(plain),
        "optimizer": torch.optim.Adam([torch.zeros(3, requires_grad=True)]).state_dict(),
        "train_criterion": OrderedDict(),
    }
    torch.save(state, folder / "checkpoint_CMPC.pth.tar")
    yield folder / "checkpoint_CMPC.pth.tar"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def hollow(plain):
    """The tensors of a checkpoint by name, all zero: each takes four bytes of a file."""
    return {name: value.new_zeros(()).expand(value.shape) for name, value in released(plain).items()}


def written(folder, model):
    path = folder / "some.pth.tar"
    torch.save({"epoch": 1, "model": model}, path)
    return path


def inputs():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, 1, 64, 500, generator=generator), torch.rand(2, 3, 224, 224, generator=generator) * 2 - 1


@pytest.mark.slow
def test_converted_towers_equal_plain_resnets_bit_for_bit(checkpoint, plain):
    run = convert_checkpoint(checkpoint)
    model, facts = read_model(run / "model.safetensors")
    voices, faces = inputs()
    with torch.inference_mode():
        expected = plain["voice"](voices), plain["face"](faces)
        assert torch.equal(model.voice(voices), expected[0])
        assert torch.equal(model.face(faces), expected[1])
        assert expected[0].shape == expected[1].shape == (2, 512)
        embedded = model(voices, faces)
    for vectors, raw in zip(embedded, expected, strict=True):
        torch.testing.assert_close(vectors, nn.functional.normalize(raw, dim=1))
    assert (model.model_config.tower, model.model_config.dim, model.model_config.linear_heads) == (
        "resnet34",
        512,
        False,
    )
    voice = model.voice_config
    assert (voice.mel_bands, voice.window_ms, voice.hop_ms, voice.frames, model.face_config.size) == (
        64,
        100,
        10,
        500,
        224,
    )
    assert (voice.front_end, model.face_config.front_end) == ("released", "released")
    assert (facts["method"], facts["init"], facts["adaptation"]) == (
        "converted-checkpoint_CMPC",
        "checkpoint_CMPC.pth.tar",
        "none",
    )
    assert run == Path("runs/0001-convert-checkpoint_CMPC")
    record = json.loads((run / "provenance.json").read_text())
    assert (record["kind"], record["source"], record["finished"]) == ("convert", "checkpoint_CMPC.pth.tar", True)
    assert record["source_sha"] == facts["source_sha"]
    assert record["data"] is None
    for source in (run, run / "model.safetensors"):
        assert load_model(source).sha == load_model(run).sha
    (run / "model.safetensors").unlink()


def test_a_converted_model_sees_voices_and_faces_as_the_released_code_makes_them(checkpoint, plain, world):
    model = read_released(checkpoint)
    dataset = Dataset.open(world)
    found = embed(model, MediaReader(dataset, model.voice_config, model.face_config), np.array([1]), np.array([2]))

    samples, rate = soundfile.read(dataset.path("voice", 1), dtype="float32")
    mel = torchaudio.transforms.MelSpectrogram(
        rate, 1600, hop_length=160, n_mels=64, norm="slaney", mel_scale="slaney", pad_mode="reflect"
    )
    decibels = torchaudio.transforms.AmplitudeToDB("power", top_db=80)(mel(torch.from_numpy(samples)))
    each_end = (500 - decibels.shape[1] + 1) // 2
    padded = nn.functional.pad(decibels, (each_end, each_end))
    crops = torch.stack([padded[None, :, start : start + 500] for start in range(padded.shape[1] - 500 + 1)])
    with Image.open(dataset.path("face", 2)) as image:
        squeezed = np.asarray(image.convert("RGB").resize((224, 224)), dtype=np.float32)
    pixels = torch.from_numpy((squeezed - 127.5) / 127.5).permute(2, 0, 1)[None]
    with torch.inference_mode():
        voices, faces = plain["voice"](crops), plain["face"](pixels)
    expected = nn.functional.normalize(nn.functional.normalize(voices, dim=1).sum(dim=0), dim=0)
    np.testing.assert_allclose(found.voice[1], expected, atol=1e-4)
    np.testing.assert_allclose(found.face[2], nn.functional.normalize(faces, dim=1)[0], atol=1e-4)


def test_the_old_file_format_and_other_endings_are_read(tmp_path, hollow):
    path = tmp_path / "old.pth"
    torch.save({"model": hollow}, path, _use_new_zipfile_serialization=False)
    assert read_released(path).voice.conv1.weight.count_nonzero() == 0


def test_counters_of_batch_normalisation_may_be_missing_all_or_some(tmp_path, hollow):
    counters = [name for name in hollow if name.endswith("num_batches_tracked")]
    assert len(counters) == 72
    for skipped in (set(counters), set(counters[:5])):
        kept = {name: value for name, value in hollow.items() if name not in skipped}
        kept |= {name: torch.tensor(7) for name in kept if name.endswith("num_batches_tracked")}
        model = read_released(written(tmp_path, kept))
        tracked = {int(value) for name, value in model.state_dict().items() if name.endswith("num_batches_tracked")}
        assert tracked == ({0} if len(skipped) == 72 else {0, 7})
        assert not model.training


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            lambda model: model.pop("face_subnet.layer2.0.downsample.0.weight"),
            "'face_subnet.layer2.0.downsample.0.weight' is missing",
        ),
        (
            lambda model: model.update({"voice_subnet.fc.weight": torch.zeros(1)}),
            "'voice_subnet.fc.weight' is unexpected",
        ),
        (
            lambda model: [model.pop(name) for name in list(model) if name.startswith("voice_subnet.bn1.")],
            "'voice_subnet.bn1.running_mean', 'voice_subnet.bn1.running_var' and 1 more are missing",
        ),
        (
            lambda model: model.update({"module.voice_subnet.conv1.weight": model.pop("voice_subnet.conv1.weight")}),
            "'voice_subnet.conv1.weight' is missing; 'module.voice_subnet.conv1.weight' is unexpected",
        ),
        (
            lambda model: model.update({"voice_subnet.conv1.weight": torch.zeros(64, 3, 7, 7)}),
            "'voice_subnet.conv1.weight' has the shape [64, 3, 7, 7], not [64, 1, 7, 7]",
        ),
        (
            lambda model: model.update({"face_subnet.bn1.bias": torch.zeros(64, dtype=torch.float16)}),
            "'face_subnet.bn1.bias' has the type float16, not float32",
        ),
        (
            lambda model: model.update({"face_subnet.bn1.bias": torch.full((64,), torch.nan)}),
            "'face_subnet.bn1.bias' holds values that are not finite",
        ),
        (lambda model: model.update({"face_subnet.bn1.bias": [0.0] * 64}), "'face_subnet.bn1.bias' is not a plain"),
        (
            lambda model: model.update({"face_subnet.bn1.bias": torch.zeros(64).to_sparse()}),
            "'face_subnet.bn1.bias' is not a plain tensor",
        ),
        (
            lambda model: model.update({"face_subnet.bn1.bias": torch.zeros(64, device="meta")}),
            "'face_subnet.bn1.bias' is not a plain tensor",
        ),
    ],
    ids=["missing", "unexpected", "several", "module", "shape", "type", "nan", "list", "sparse", "meta"],
)
def test_a_tensor_at_fault_is_named(tmp_path, hollow, change, fault):
    model = dict(hollow)
    change(model)
    check_refused(written(tmp_path, model), fault)


class Hostile:
    """Pickled, it is a call that whoever unpickles it makes."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("function", "argument", "name"), [(os.mkdir, "trap", "mkdir"), (eval, "open('trap', 'w')", "eval")]
)
def test_nothing_in_the_file_is_executed(tmp_path, hollow, function, argument, name, zipped):
    state = {"epoch": Hostile(function, argument), "model": hollow}
    torch.save(state, tmp_path / "x.pth.tar", _use_new_zipfile_serialization=zipped)
    check_refused(tmp_path / "x.pth.tar", f"{name}'; save it as tensors and plain values alone")
    # The trap works: it is the reader that does not step into it.
    torch.load(tmp_path / "x.pth.tar", weights_only=False)
    assert Path("trap").exists()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ([1, 2], "no entry 'model' with tensors by name, but no dictionary"),
        ({"state_dict": {}, "epoch": 1}, "but a dictionary of 'state_dict', 'epoch'"),
        ({"model": 3}, "no entry 'model' with tensors"),
        (
            {"model": {}},
            "'face_subnet.bn1.bias', 'face_subnet.bn1.running_mean', 'face_subnet.bn1.running_var' and 357",
        ),
        (nn.Linear(2, 2), "would execute 'torch.nn.modules.linear.Linear'"),
    ],
)
def test_another_checkpoint_is_refused(tmp_path, content, fault):
    torch.save(content, tmp_path / "x.pt")
    check_refused(tmp_path / "x.pt", fault)


@pytest.mark.parametrize("kind", ["empty", "text", "safetensors", "cut", "scribbled", "missing", "folder"])
def test_what_is_no_checkpoint_is_refused(tmp_path, hollow, kind):
    path = tmp_path / "x.pth.tar"
    whole = written(tmp_path, hollow).read_bytes()
    content = {"empty": b"", "text": b"no checkpoint", "cut": whole[:-5000], "scribbled": b"\xff" * 900 + whole[900:]}
    if kind in content:
        path.write_bytes(content[kind])
    elif kind == "safetensors":
        save_file({"x": torch.zeros(3)}, path)
    elif kind == "folder":
        path.mkdir()
    faults = {"missing": "No such file", "folder": "Is a directory"}
    check_refused(path, faults.get(kind, "cannot be read as a PyTorch checkpoint"))


def check_refused(path, fault):
    """One line that names the file and the fault; no warning beside it; nothing on disk."""
    with warnings.catch_warnings(record=True) as warned, pytest.raises(RequestError) as refused:
        warnings.simplefilter("always")
        convert_checkpoint(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert fault in message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 300
    assert not warned
    assert not list(Path.cwd().iterdir())
