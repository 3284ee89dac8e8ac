"""Fit the map from cosines to probabilities on unseen people."""

from lowshot.data.dataset import Dataset
from lowshot.data.readers.media import MediaReader
from lowshot.data.trained import refuse_trained
from lowshot.errors import RequestError
from lowshot.evaluation.protocols.verification import VerificationTrials
from lowshot.evaluation.run import check_trial_files
from lowshot.evaluation.scorers import EmbeddingScorer
from lowshot.evaluation.trial_set import build_trial_set
from lowshot.metrics.calibration import fit_calibration
from lowshot.models.calibration import RunCalibration
from lowshot.models.device import default_device
from lowshot.models.embedding import USUAL, embed_rows
from lowshot.models.loaded import LoadedModel
from lowshot.progress import Report, counter, quiet
from lowshot.settings import EvaluateConfig


def calibrate(
    model: LoadedModel, dataset: Dataset, settings: EvaluateConfig = USUAL, report: Report = quiet
) -> RunCalibration:
    """Fit the map from cosines to log-likelihood ratios on validation identities.

    The trials are verification trials of stratum U: impostors need not share anything with the speaker.

    Args:
        model: of voice and face files.
        dataset: its validation split is used.
        settings: how many crops and mirror images are embedded, and the seed of the trials.
        report: takes progress events.

    Raises:
        RequestError: there is no validation split with enough known identities, the model was trained on it or takes
            vectors, or a file is missing.
    """
    if model.takes_vectors:
        raise RequestError(f"{model.name}: takes vectors; probabilities are for `lowshot match`, which takes files")
    if model.trained is not None:
        refuse_trained(model.trained, model.name, dataset, "val", same_data=False)
    trials = build_trial_set(
        dataset, protocols=("verification",), split="val", strata=("U",), seed=settings.seed, replicates=100
    )
    check_trial_files(trials)
    (listed,) = trials.of(VerificationTrials)
    reader = MediaReader(dataset, model.towers.voice_config, model.towers.face_config)
    towers = model.towers.to(default_device())
    advance = counter(report, "embed", len(trials.voices) + len(trials.faces), "file", brief=True)
    voice = embed_rows(towers, reader, "voice", trials.voices, settings, advance)
    face = embed_rows(towers, reader, "face", trials.faces, settings, advance)
    cosines = EmbeddingScorer(voice, face, trials.voices, trials.faces).pairs(listed.voice, listed.face)
    found = fit_calibration(cosines, listed.label)
    return RunCalibration(
        scale=found.scale,
        offset=found.offset,
        identities=int(dataset.voices["identity"].iloc[listed.voice].nunique()),
        trials=len(listed),
        weights_sha=model.sha,
        data=dataset.name,
        data_sha=dataset.sha,
        voice_crops=settings.voice_crops,
        mirror=settings.mirror,
    )
