"""Conversion of the released CMPC checkpoints to models of this project."""

import hashlib
import re
import warnings
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any

import torch

from lowshot.config import Config, build_config, read_preset
from lowshot.errors import RequestError
from lowshot.models.two_tower import TwoTower
from lowshot.models.weights import blank_model, save_model
from lowshot.runs import open_run, write_provenance
from lowshot.schema import MODEL

KIND = "convert"
# A counter that batch normalisation with a fixed momentum writes and never reads.
COUNTER = ".num_batches_tracked"
SHOWN = 3


def convert_checkpoint(source: Path, out: Path | None = None) -> Path:
    """Convert a released checkpoint to the directory of a model.

    Args:
        source: the checkpoint, as `read_released` takes it.
        out: the directory to make; by default the next one in `runs/`.

    Returns:
        The directory, with the weights and provenance.json.

    Raises:
        RequestError: the file is no such checkpoint, or the directory holds something else; nothing was written.
    """
    model = read_released(source)
    with source.open("rb") as file:
        sha = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    name = re.sub(r"(\.pth|\.pt|\.tar)+$", "", source.name) or source.name
    run = open_run(out, KIND, name)
    # A checkpoint does not name its training data; the data of the settings are not its own.
    record = {"data": None, "source": source.name, "source_sha": sha}
    config = released_config()
    write_provenance(run, KIND, config, "", **record, finished=False)
    # Tables identify checkpoints by their method; the prefix keeps a file from being called `scratch` or `chance`.
    save_model(
        model,
        run / MODEL,
        method=f"converted-{name}",
        init=source.name,
        adaptation="none",
        fraction="0",
        source_sha=sha,
    )
    write_provenance(run, KIND, config, "", **record, finished=True)
    return run


def released_config() -> Config:
    """The preset `paper` with the released front ends.

    It has the towers and input sizes of the released checkpoints.
    """
    front_end = {"front_end": "released"}
    return build_config([read_preset("paper"), {"voice": front_end, "face": front_end}])


def read_released(path: Path) -> TwoTower:
    """Read the towers of a released checkpoint.

    No code in the file is executed.

    Args:
        path: a file of `torch.save` that holds a dictionary. Its entry `model` gives float32 tensors for the names
            `voice_subnet.*` and `face_subnet.*`, followed by the names of torchvision's ResNet-34 without `fc`. `conv1`
            takes 1 and 3 channels. `num_batches_tracked` may be missing. Other entries are skipped.

    Returns:
        The towers of `released_config`, in evaluation mode on the CPU. Their outputs equal those of torchvision's
        ResNet-34 with these weights and its head removed, bit for bit.

    Raises:
        RequestError: the file is no such checkpoint, or reading it would execute code; the message names the wrong
            tensor.

    Deviation:
        Names with the prefix `module.` of torch's DataParallel are refused, because the released code neither writes
        nor reads them.
    """
    found = _model_entry(path, _load(path))
    config = released_config()
    model = blank_model(config.model, config.voice, config.face)
    towers = {"voice_subnet.": model.voice, "face_subnet.": model.face}
    expected = {prefix + name: value for prefix, tower in towers.items() for name, value in tower.state_dict().items()}
    counters = {name: torch.zeros_like(value) for name, value in expected.items() if name.endswith(COUNTER)}
    _check_names(path, needed=expected.keys() - counters.keys(), known=expected.keys(), found=found.keys())
    for name, value in found.items():
        _check_tensor(path, name, value, expected[name])
    found = counters | found
    for prefix, tower in towers.items():
        tower.load_state_dict({name: found[prefix + name] for name in tower.state_dict()})
    return model.eval()


def _load(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            # torch warns of odd files before it fails on them; the error is enough.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:
        # A damaged file can raise any error, because its lengths, names and indices are arbitrary.
        if asked := re.search(r"GLOBAL (\S+)", str(error)):
            raise RequestError(
                f"{path}: cannot be converted: reading it would execute '{asked[1]}'; save it as tensors "
                "and plain values alone"
            ) from error
        raise RequestError(
            f"{path}: cannot be read as a PyTorch checkpoint; it is damaged or of another format"
        ) from error


def _model_entry(path: Path, content: object) -> dict[str, Any]:
    if not isinstance(content, Mapping) or not isinstance(content.get("model"), Mapping):
        held = f"a dictionary of {_some(map(str, content))}" if isinstance(content, Mapping) else "no dictionary"
        raise RequestError(f"{path}: not a released CMPC checkpoint: no entry 'model' with tensors by name, but {held}")
    return {str(name): value for name, value in content["model"].items()}


def _check_names(path: Path, needed: Set[str], known: Set[str], found: Set[str]) -> None:
    faults = [
        f"{_some(sorted(names))} {'is' if len(names) == 1 else 'are'} {fault}"
        for names, fault in ((needed - found, "missing"), (found - known, "unexpected"))
        if names
    ]
    if faults:
        raise RequestError(f"{path}: not the towers of a released CMPC checkpoint: {'; '.join(faults)}")


def _check_tensor(path: Path, name: str, value: object, expected: torch.Tensor) -> None:
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        raise RequestError(f"{path}: '{name}' is not a plain tensor")
    if value.shape != expected.shape:
        raise RequestError(f"{path}: '{name}' has the shape {list(value.shape)}, not {list(expected.shape)}")
    if value.dtype != expected.dtype:
        # Conversion from another type would change the outputs of the checkpoint.
        raise RequestError(f"{path}: '{name}' has the type {_short(value.dtype)}, not {_short(expected.dtype)}")
    if not torch.isfinite(value).all():
        raise RequestError(f"{path}: '{name}' holds values that are not finite")


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _some(names: Iterable[str]) -> str:
    """The first few names, and the number of further ones."""
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + more
