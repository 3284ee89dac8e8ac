"""Describe, convert, calibrate and export models."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lowshot.progress import Report, quiet, warning
from lowshot.workflows.datasets import open_dataset
from lowshot.workflows.settings import Settings, resolve_config

if TYPE_CHECKING:
    from lowshot.models.calibration import RunCalibration
    from lowshot.models.two_tower import TwoTower


def describe_model(model: str | Path) -> dict[str, object]:
    """Describe a model: its towers, inputs, size and hash.

    A bundled model also has its entry in the registry.

    Args:
        model: a run directory, a weights file or `pretrained:NAME`.

    Returns:
        Values by name, which JSON can hold. `facts` are the metadata that were written with the weights.

    Raises:
        RequestError: there is no such model.
    """
    from lowshot.models.loaded import load_model

    found = load_model(model)
    towers = found.towers
    parameters = {
        part: sum(weight.numel() for weight in getattr(towers, part).parameters())
        for part in ("voice", "face", "voice_head", "face_head")
    }
    return {
        "name": found.name,
        "tower": towers.model_config.tower,
        "dim": towers.model_config.dim,
        "linear_heads": towers.model_config.linear_heads,
        **_inputs(towers),
        "voice_parameters": parameters["voice"],
        "face_parameters": parameters["face"],
        "parameters": sum(parameters.values()),
        "weights_sha": found.sha,
        **_registered(str(model)),
        "facts": dict(found.metadata),
    }


def _inputs(towers: "TwoTower") -> dict[str, object]:
    """Return the input shape of either modality, and the front ends."""
    if towers.widths is not None:
        return {"voice_input": [towers.widths["voice"]], "face_input": [towers.widths["face"]]}
    voice, face = towers.voice_config, towers.face_config
    return {
        "voice_input": [1, voice.mel_bands, voice.frames],
        "window_ms": voice.window_ms,
        "hop_ms": voice.hop_ms,
        "voice_front_end": voice.front_end,
        "face_input": [3, face.size, face.size],
        "face_front_end": face.front_end,
    }


def _registered(source: str) -> dict[str, object]:
    """Return the registry's entry of a bundled model; empty for others."""
    from lowshot.models.pretrained import PREFIX, find_entry, pretrained_folder

    if not source.startswith(PREFIX):
        return {}
    entry = find_entry(source)
    return {
        "summary": entry.summary,
        "file": str(entry.path),
        "sha256": entry.sha256,
        "licence": entry.licence,
        "data": entry.data.name,
        "made_by": entry.commands[0],
        "card": str(pretrained_folder() / entry.card),
    }


def convert_model(file: str | Path, *, out: str | Path | None = None, report: Report = quiet) -> Path:
    """Convert a checkpoint of the CMPC authors into a lowshot model.

    Nothing in the file is executed.

    Args:
        file: the checkpoint.
        out: the directory to make; the next one in `runs/` if None.
        report: takes a warning about comparisons with the paper.

    Returns:
        The directory.

    Raises:
        RequestError: the file is not such a checkpoint, or `out` holds something else.
    """
    from lowshot.models.convert import convert_checkpoint

    made = convert_checkpoint(Path(file), None if out is None else Path(out))
    warning(
        report,
        "the model gets spectrograms and faces as in the released code, but lowshot crops and measures differently; "
        "see docs/fidelity.md before you compare figures with the paper's",
    )
    return made


@dataclass(frozen=True)
class Calibrated:
    """A map from cosines to probabilities.

    Attributes:
        calibration: the map, and what it was fitted on.
        file: where a run directory keeps it; None for other models.
    """

    calibration: "RunCalibration"
    file: Path | None


def calibrate_model(
    model: str | Path,
    *,
    data: str | Path | None = None,
    settings: Settings | None = None,
    trust_paths: bool = False,
    report: Report = quiet,
) -> Calibrated:
    """Fit the map from a model's cosines to probabilities.

    The people of the validation split decide it. A run directory keeps it as calibration.json, which `match` reads.

    Args:
        model: a run directory, a weights file or `pretrained:NAME`.
        data: the dataset whose validation split is used; the one of the model's run if None.
        settings: see `resolve_config`.
        trust_paths: let the manifest name files outside its folder, now and later, as long as it does not change.
        report: takes progress events.

    Raises:
        RequestError: as `load_model` and `calibrate`.
    """
    from lowshot.evaluation.calibration import calibrate
    from lowshot.models.calibration import keep_calibration
    from lowshot.models.loaded import load_model

    found = load_model(model)
    config = resolve_config(settings=settings, named={"data": data}, base=found.config)
    dataset = open_dataset(config.data, splits=("val",), trust_paths=trust_paths, report=report)
    fitted = calibrate(found, dataset, config.evaluate, report)
    is_run = found.path is not None and found.path.is_dir()
    return Calibrated(fitted, keep_calibration(found.path, fitted) if is_run and found.path else None)


def export_model(
    model: str | Path, *, out: str | Path, fmt: Literal["torchscript", "onnx"] = "torchscript"
) -> dict[str, float]:
    """Write a model's towers as TorchScript or ONNX.

    Programs without lowshot can run them; model.json describes inputs and outputs.

    Args:
        model: a run directory, a weights file or `pretrained:NAME`, of voice and face files.
        out: the directory to make.
        fmt: the format.

    Returns:
        The largest difference from the original's unit vectors, by modality.

    Raises:
        RequestError: `out` holds something, a package is missing, or the model takes vectors.
        RunError: an exported tower gives other vectors than the original; nothing was written.
    """
    from lowshot.models.export import export_model as export
    from lowshot.models.loaded import load_model

    found = load_model(model)
    return export(found.towers, fmt, Path(out), name=found.name, weights_sha=found.sha, facts=found.metadata)
