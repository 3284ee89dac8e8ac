"""Export of each tower to TorchScript or ONNX, checked against the original."""

import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from lowshot.data.voice import SAMPLE_RATE
from lowshot.errors import RequestError, RunError
from lowshot.files import check_new_folder
from lowshot.models.towers import MEDIA_TOWERS
from lowshot.models.two_tower import TwoTower
from lowshot.schema import EXPORT

Format = Literal["torchscript", "onnx"]
Run = Callable[[torch.Tensor], torch.Tensor]

SUFFIX: dict[Format, str] = {"torchscript": ".pt", "onnx": ".onnx"}
# Largest difference between entries of unit vectors: float32 sums in another order reach it, and no rank changes.
TOLERANCE = 1e-5
_ONNX_NEEDS = ("onnx", "onnxscript", "onnxruntime")
_OPSET = 18


class UnitTower(nn.Module):
    """One tower and its head: inputs to unit vectors."""

    def __init__(self, tower: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.tower = tower
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As `TwoTower.encode_voice` and `encode_face`."""
        return functional.normalize(self.head(functional.normalize(self.tower(x), dim=1)), dim=1)


def export_model(model: TwoTower, kind: Format, out: Path, **described: object) -> dict[str, float]:
    """Write both towers as TorchScript or ONNX, with model.json.

    model.json describes inputs and outputs.

    Args:
        model: the towers.
        kind: the format.
        out: the directory to make.
        described: more entries of model.json.

    Returns:
        The largest difference between entries of the exported and the original unit vectors, by modality.

    Raises:
        RequestError: `out` is not empty, a package is missing, or the model takes vectors.
        RunError: an exported tower gives other vectors than the original; nothing was written.
    """
    check_new_folder(out)
    if model.model_config.tower not in MEDIA_TOWERS:
        raise RequestError("a model of vectors cannot be exported; name a model of voice and face files")
    if kind == "onnx" and (missing := [name for name in _ONNX_NEEDS if find_spec(name) is None]):
        raise RequestError(f"`fmt=onnx`: needs {' and '.join(missing)}; pip install 'lowshot[onnx]'")
    out.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        building.chmod(0o755)
        differences = {
            modality: _export(model, modality, kind, building / f"{modality}{SUFFIX[kind]}")
            for modality in ("voice", "face")
        }
        description = {**_description(model, kind), "largest_difference": differences, **described}
        (building / EXPORT).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8", newline="\n")
        if out.is_dir():
            out.rmdir()
        building.rename(out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return differences


def _export(model: TwoTower, modality: str, kind: Format, path: Path) -> float:
    tower = UnitTower(getattr(model, modality), getattr(model, f"{modality}_head")).cpu().eval()
    write = _write_torchscript if kind == "torchscript" else _write_onnx
    with warnings.catch_warnings():
        # torch warns of formats that it will drop, and of its own code.
        warnings.simplefilter("ignore")
        run = write(tower, _example(model, modality, 2), path)
    original = {"voice": model.encode_voice, "face": model.encode_face}[modality]
    difference = 0.0
    # Other numbers of samples than the example's, and longer voices, must work too.
    for count, more in ((1, 0), (3, 37)):
        inputs = _example(model, modality, count, more)
        with torch.inference_mode():
            difference = max(difference, float((run(inputs) - original(inputs)).abs().max()))
    if not difference <= TOLERANCE:
        raise RunError(
            f"the {modality} tower as {kind} gives vectors that differ by {difference:.2g}; nothing was written"
        )
    return difference


def _example(model: TwoTower, modality: str, count: int, more: int = 0) -> torch.Tensor:
    """Random inputs; voices have `more` frames than a crop."""
    voice, face = model.voice_config, model.face_config
    generator = torch.Generator().manual_seed(0)
    if modality == "voice":
        return torch.randn(count, 1, voice.mel_bands, voice.frames + more, generator=generator)
    return torch.rand(count, 3, face.size, face.size, generator=generator) * 2 - 1


def _write_torchscript(tower: UnitTower, example: torch.Tensor, path: Path) -> Run:
    with torch.inference_mode():
        torch.jit.trace(tower, example, check_trace=False).save(str(path))
    return torch.jit.load(str(path))


def _write_onnx(tower: UnitTower, example: torch.Tensor, path: Path) -> Run:
    import onnxruntime

    free: dict[int, Any] = {0: torch.export.Dim("batch")}
    if example.shape[1] == 1:
        free[3] = torch.export.Dim("frames", min=example.shape[3] // 4)
    program = torch.onnx.export(
        tower,
        (example,),
        dynamo=True,
        dynamic_shapes=(free,),
        input_names=["input"],
        output_names=["embedding"],
        opset_version=_OPSET,
        verbose=False,
    )
    if program is None:
        raise RunError("torch could not turn the tower into ONNX")
    program.save(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda inputs: torch.from_numpy(session.run(None, {"input": inputs.numpy()})[0])


def _description(model: TwoTower, kind: Format) -> dict[str, object]:
    voice, face = model.voice_config, model.face_config
    return {
        "format": kind,
        "voice": {
            "file": f"voice{SUFFIX[kind]}",
            "input": ["batch", 1, voice.mel_bands, "frames"],
            "meaning": "log-mel spectrograms as lowshot.data.voice.LogMel makes them with these settings",
            "sample_rate": SAMPLE_RATE,
            "settings": voice.model_dump(mode="json"),
        },
        "face": {
            "file": f"face{SUFFIX[kind]}",
            "input": ["batch", 3, face.size, face.size],
            "meaning": "RGB from -1 to 1, cut as lowshot.data.augment.centre_crop does",
            "settings": face.model_dump(mode="json"),
        },
        "output": ["batch", model.model_config.dim],
        "similarity": "the dot product of a voice's and a face's output, which are unit vectors",
    }
