"""The calibration of a model, cosine to probability, in its run directory."""

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from lowshot.errors import RequestError
from lowshot.files import write_text
from lowshot.models.pretrained import FittedMap
from lowshot.schema import CALIBRATION
from lowshot.settings import EvaluateConfig


class RunCalibration(FittedMap):
    """A calibration map with the hash of its weights and its data."""

    weights_sha: str
    data: str
    data_sha: str
    voice_crops: int
    mirror: bool

    def apply(self, settings: EvaluateConfig) -> EvaluateConfig:
        """Copy settings, with the crops and mirror images of the fit.

        The map is valid only for cosines of the same crops and mirror images.
        """
        return settings.model_copy(update={"voice_crops": self.voice_crops, "mirror": self.mirror})


def keep_calibration(run: Path, found: RunCalibration) -> Path:
    """Write a map beside its weights; return the file."""
    write_text(run / CALIBRATION, found.model_dump_json(indent=2) + "\n")
    return run / CALIBRATION


def read_calibration(run: Path, weights_sha: Callable[[], str]) -> RunCalibration | None:
    """Read the map of a run directory.

    Args:
        run: the directory.
        weights_sha: returns the hash of the model's weights; called only if there is a map.

    Returns:
        None if there is no map.

    Raises:
        RequestError: the file is damaged, or belongs to other weights.
    """
    path = run / CALIBRATION
    if not path.is_file():
        return None
    again = f"fit it again with `lowshot models calibrate {run}`"
    try:
        found = RunCalibration.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: is no calibration of this version; {again}") from error
    if found.weights_sha != weights_sha():
        raise RequestError(f"{path}: belongs to other weights; {again}")
    return found
