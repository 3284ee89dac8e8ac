"""Weights on disk: safetensors with the architecture in the metadata.

A weights file needs no run directory.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from lowshot.errors import RequestError
from lowshot.files import atomic_path, sort_metadata
from lowshot.models.two_tower import TwoTower
from lowshot.schema import MODALITIES
from lowshot.settings import TOWERS, FaceConfig, ModelConfig, VoiceConfig

FORMAT = "lowshot-two-tower-1"


def save_model(model: TwoTower, path: Path, **described: str) -> None:
    """Write a model, atomically.

    Args:
        model: its weights and architecture are written.
        path: ends in .safetensors.
        described: metadata of the model, as text: method, data hash and the like.
    """
    metadata = {
        "format": FORMAT,
        "model": model.model_config.model_dump_json(),
        "voice": model.voice_config.model_dump_json(),
        "face": model.face_config.model_dump_json(),
        **({} if model.widths is None else {"widths": json.dumps(dict(model.widths))}),
        **described,
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
        sort_metadata(temporary)


def blank_model(
    model: ModelConfig, voice: VoiceConfig, face: FaceConfig, widths: Mapping[str, int] | None = None
) -> TwoTower:
    """Towers with uninitialised weights, to read weights into.

    Drawing random weights first would take a second.

    Args:
        model, voice, face, widths: as of `TwoTower`.
    """
    with torch.device("meta"):
        towers = TwoTower(model, voice, face, widths)
    return towers.to_empty(device="cpu")


def read_model(path: Path) -> tuple[TwoTower, dict[str, str]]:
    """Read a model that `save_model` wrote.

    No code in the file is executed.

    Args:
        path: the .safetensors file.

    Returns:
        The towers in evaluation mode on the CPU, and the metadata written with them.

    Raises:
        RequestError: the file is missing or damaged, is of another format, or its tensors do not fit its architecture.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise RequestError(f"{path}: cannot be read as safetensors weights ({error})") from error
    if metadata.get("format") != FORMAT:
        raise RequestError(f"{path}: not a lowshot model; its metadata has no format '{FORMAT}'")
    try:
        model = blank_model(
            ModelConfig.model_validate_json(metadata["model"]),
            VoiceConfig.model_validate_json(metadata["voice"]),
            FaceConfig.model_validate_json(metadata["face"]),
            _widths(metadata),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(
            f"{path}: this version does not know the model in its metadata{_foreign(metadata)}"
        ) from error
    expected = set(model.state_dict())
    if odd := sorted(expected ^ set(tensors)):
        fault = "is missing" if odd[0] in expected else "is unexpected"
        raise RequestError(f"{path}: tensor '{odd[0]}' {fault} ({len(odd)} such)")
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise RequestError(f"{path}: {str(error).splitlines()[-1].strip()}") from error
    described = {k: v for k, v in metadata.items() if k not in {"format", "model", "voice", "face", "widths"}}
    return model.eval(), described


def _foreign(metadata: Mapping[str, str]) -> str:
    """Hint for towers of a module that is not imported."""
    try:
        tower = json.loads(metadata["model"])["tower"]
    except (KeyError, TypeError, ValueError):
        return ""
    return "" if tower in TOWERS else f": no towers '{tower}' (for your own towers, give `import_module=MODULE`)"


def _widths(metadata: Mapping[str, str]) -> dict[str, int] | None:
    """Widths of a model's input vectors, by modality; None for media."""
    if "widths" not in metadata:
        return None
    widths = json.loads(metadata["widths"])
    return {modality: int(widths[modality]) for modality in MODALITIES}
