"""From a cosine to a probability: a model's map, fitted on people that it did not learn from."""

from pathlib import Path

from pydantic import ValidationError

from lowshot.data.dataset import Dataset
from lowshot.data.readers.media import MediaReader
from lowshot.data.trained import refuse_trained
from lowshot.errors import RequestError
from lowshot.evaluation.run import check_trial_files
from lowshot.evaluation.scorers import EmbeddingScorer
from lowshot.evaluation.trial_set import build_trial_set
from lowshot.files import write_text
from lowshot.metrics.calibration import fit_calibration
from lowshot.models.device import default_device
from lowshot.models.embedding import USUAL, embed_rows, embedding_bar
from lowshot.models.loaded import LoadedModel
from lowshot.models.pretrained import PREFIX, FittedMap, find_entry
from lowshot.models.towers import MEDIA_TOWERS
from lowshot.schema import CALIBRATION
from lowshot.settings import EvaluateConfig

"""Name of the file in a run directory."""


class RunCalibration(FittedMap):
    """A map, whose it is, and what it was fitted on: what a run directory keeps of it."""

    weights_sha: str
    data: str
    data_sha: str
    voice_crops: int
    mirror: bool

    def looks(self, settings: EvaluateConfig) -> EvaluateConfig:
        """The settings with each medium looked at as it was for the map, which holds for such cosines alone."""
        return settings.model_copy(update={"voice_crops": self.voice_crops, "mirror": self.mirror})


def calibrate(start: LoadedModel, dataset: Dataset, settings: EvaluateConfig = USUAL) -> RunCalibration:
    """Fit the map from cosines to log-likelihood ratios on the verification trials of the validation identities.

    The trials are those of stratum U, whose impostors share nothing in particular with the speaker.

    Args:
        start: the model.
        dataset: its validation split is looked at.
        settings: how often each medium is looked at, and the seed of the trials.

    Raises:
        RequestError: there is no validation split with enough known identities, the model learned from it or takes
            vectors, or a file is missing.
    """
    if start.towers.model_config.tower not in MEDIA_TOWERS:
        raise RequestError(f"{start.name}: takes vectors; probabilities are for `lowshot match`, which takes files")
    if start.trained is not None:
        refuse_trained(start.trained, start.name, dataset, "val", same_data=False)
    trials = build_trial_set(
        dataset, protocols=("verification",), split="val", strata=("U",), seed=settings.seed, replicates=100
    )
    check_trial_files(trials)
    listed = trials.verification[0]
    reader = MediaReader(dataset, start.towers.voice_config, start.towers.face_config)
    model = start.towers.to(default_device())
    with embedding_bar(len(trials.voices) + len(trials.faces)) as bar:
        voice = embed_rows(model, reader, "voice", trials.voices, settings, bar.update)
        face = embed_rows(model, reader, "face", trials.faces, settings, bar.update)
    cosines = EmbeddingScorer(voice, face, trials.voices, trials.faces).pairs(listed.voice, listed.face)
    found = fit_calibration(cosines, listed.label)
    return RunCalibration(
        scale=found.scale,
        offset=found.offset,
        identities=int(dataset.voices["identity"].iloc[listed.voice].nunique()),
        trials=len(listed),
        weights_sha=start.sha,
        data=dataset.name,
        data_sha=dataset.sha,
        voice_crops=settings.voice_crops,
        mirror=settings.mirror,
    )


def keep_calibration(run: Path, found: RunCalibration) -> Path:
    """Write a map beside the weights that it belongs to; gives the file."""
    write_text(run / CALIBRATION, found.model_dump_json(indent=2) + "\n")
    return run / CALIBRATION


def find_calibration(start: LoadedModel) -> FittedMap | None:
    """The map of a model: of one that comes with lowshot, or of a run that was calibrated; None where there is none.

    Raises:
        RequestError: the run's file is damaged, or belongs to other weights.
    """
    if start.name.startswith(PREFIX):
        return find_entry(start.name).calibration
    path = start.path / CALIBRATION if start.path else None
    if path is None or not path.is_file():
        return None
    again = f"make it anew with `lowshot models calibrate {start.path}`"
    try:
        found = RunCalibration.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: is no calibration of this version; {again}") from error
    if found.weights_sha != start.sha:
        raise RequestError(f"{path}: belongs to other weights; {again}")
    return found
