"""A model's map to probabilities: fitted on validation identities, kept beside its weights, and theirs alone."""

import json
import shutil

import numpy as np
import pytest

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.calibration import calibrate
from lowshot.evaluation.protocols.verification import VerificationTrials
from lowshot.evaluation.trial_set import build_trial_set
from lowshot.metrics.calibration import fit_calibration
from lowshot.models.calibration import keep_calibration
from lowshot.models.embedding import embed
from lowshot.models.loaded import load_model, model_from_scratch
from lowshot.models.weights import save_model
from lowshot.schema import CALIBRATION


@pytest.fixture
def run(config, tmp_path):
    """A run directory with fresh weights."""
    save_model(model_from_scratch(config).towers, tmp_path / "run" / "model.safetensors", method="cid")
    return tmp_path / "run"


def test_it_is_the_logistic_regression_of_the_validation_trials(run, reader, world):
    dataset = Dataset.open(world)
    model = load_model(run)
    found = calibrate(model, dataset)
    (trials,) = build_trial_set(dataset, protocols=("verification",), split="val", strata=("U",)).of(VerificationTrials)
    assert set(dataset.voices["split"].iloc[trials.voice]) == {"val"}
    vectors = embed(model.towers, reader, trials.voice, trials.face)
    cosines = (vectors.voice[trials.voice].astype(np.float64) * vectors.face[trials.face]).sum(axis=1)
    assert (found.scale, found.offset) == pytest.approx(tuple(fit_calibration(cosines, trials.label)), rel=1e-3)
    assert (found.identities, found.trials, found.data_sha) == (4, len(trials), dataset.sha)


def test_a_run_keeps_it_and_no_other_weights_take_it(run, config, world, tmp_path):
    model = load_model(run)
    assert model.calibration is None
    found = calibrate(model, Dataset.open(world))
    assert keep_calibration(run, found) == run / CALIBRATION
    assert model.calibration == found
    assert load_model(run / "model.safetensors").calibration is None

    other = model_from_scratch(config.model_copy(update={"seed": 1})).towers
    shutil.copytree(run, tmp_path / "other")
    save_model(other, tmp_path / "other" / "model.safetensors", method="cid")
    with pytest.raises(RequestError, match="belongs to other weights; fit it again with `lowshot models calibrate"):
        _ = load_model(tmp_path / "other").calibration
    (run / CALIBRATION).write_text(json.dumps({"scale": -1}))
    with pytest.raises(RequestError, match="is no calibration of this version"):
        _ = model.calibration


def test_a_bundled_model_brings_its_own():
    found = load_model("pretrained:cmpc-compact").calibration
    assert found.probability(0.9) > 0.99
    assert found.probability(0.0) < 0.01
