"""Files ranked by similarity: the same cosines as of a dataset, and plain words about what they are worth."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.calibration import calibrate
from lowshot.models.calibration import keep_calibration
from lowshot.models.embedding import embed
from lowshot.models.loaded import load_model, model_from_scratch
from lowshot.models.weights import save_model
from lowshot.settings import EvaluateConfig


@pytest.fixture
def files(world):
    """A voice and five faces of the micro world, and their row numbers."""
    dataset = Dataset.open(world)
    faces = [3, 0, 7, 11, 20]
    return dataset.path("voice", 2), [dataset.path("face", row) for row in faces], faces


def test_similarities_are_the_cosines_of_embeddings(config, reader, files):
    voice, faces, rows = files
    model = model_from_scratch(config)
    vectors = embed(model.towers, reader, np.array([2]), np.array(rows))
    cosines = vectors.face[rows] @ vectors.voice[2]
    found = model.match(voice, faces)
    assert (found.modality, found.probe) == ("voice", voice)
    assert [each.file for each in found.ranking] == [faces[place] for place in np.argsort(-cosines)]
    assert [each.similarity for each in found.ranking] == pytest.approx(sorted(cosines, reverse=True), abs=1e-5)
    assert [each.rank for each in found.ranking] == [1, 2, 3, 4, 5]
    # The other way round it is the same pair.
    back = model.match(faces[0], [voice])
    assert back.modality == "face"
    assert back.ranking[0].similarity == pytest.approx(float(cosines[0]), abs=1e-5)


def test_media_are_looked_at_as_for_the_calibration(config, reader, files, world, tmp_path):
    voice, faces, rows = files
    run = tmp_path / "run"
    save_model(model_from_scratch(config).towers, run / "model.safetensors", method="cid")
    model = load_model(run)
    twice = EvaluateConfig(mirror=True, voice_crops=1)
    keep_calibration(run, calibrate(model, Dataset.open(world), twice))
    vectors = embed(model.towers, reader, np.array([2]), np.array(rows), twice)
    cosines = vectors.face[rows] @ vectors.voice[2]
    found = model.match(voice, faces)
    assert [each.similarity for each in found.ranking] == pytest.approx(sorted(cosines, reverse=True), abs=1e-5)
    once = [each.similarity for each in model_from_scratch(config).match(voice, faces).ranking]
    assert once != pytest.approx(sorted(cosines, reverse=True), abs=1e-5)


def test_equal_files_share_a_rank(config, files, tmp_path):
    voice, faces, _ = files
    shutil.copy(faces[0], tmp_path / "again.jpg")
    found = model_from_scratch(config).match(voice, [faces[0], tmp_path / "again.jpg"])
    assert [each.rank for each in found.ranking] == [1, 1]
    assert [each.file for each in found.ranking] == [faces[0], tmp_path / "again.jpg"]


def test_a_bundled_model_gives_probabilities_and_says_what_it_is_not_made_for(files):
    voice, faces, _ = files
    model = load_model("pretrained:cid-compact")
    found = model.match(voice, faces)
    for each in found.ranking:
        log_odds = 27.112 * each.similarity - 12.4333
        assert each.probability == pytest.approx(1 / (1 + np.exp(-log_odds)))
    assert "was trained on invented people (synth:bench): it is not made for real voices and faces" in found.warnings[0]
    assert "if half of all pairs were" in found.warnings[-1]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("synth:tiny", "was trained on invented people (synth:tiny)"),
        ("world", "was trained on invented people"),
        ("archive", "may err in other ways"),
        (None, "does not say what it was trained on"),
    ],
)
def test_what_a_model_learned_from_is_said(config, files, world, data, words):
    voice, faces, _ = files
    told = config.model_copy(update={"data": str(world) if data == "world" else data})
    model = replace(model_from_scratch(config), config=told if data else None)
    found = model.match(voice, faces[:1])
    assert words in found.warnings[0]
    assert found.ranking[0].probability is None
    assert "no probabilities: " in found.warnings[-1]


def test_a_voice_shorter_than_a_crop_is_named(config, files, tmp_path):
    _, faces, _ = files
    soundfile.write(tmp_path / "short.wav", np.sin(np.arange(3200) / 9), 16_000)
    found = model_from_scratch(config).match(faces[0], [tmp_path / "short.wav", files[0]])
    assert [warning for warning in found.warnings if "is shorter than the 0.5 s" in warning] == [found.warnings[1]]
    assert "short.wav" in found.warnings[1]


def test_wrong_files_are_one_line(config, files, tmp_path):
    voice, faces, _ = files
    (tmp_path / "text.jpg").write_text("no image")
    model = model_from_scratch(config)
    for probe, candidates, fault in (
        (voice, [faces[0], voice], f"{voice}: is no image; name faces after the voice {voice}"),
        (faces[0], [faces[1]], f"{faces[1]}: is an image too; name voices after the face {faces[0]}"),
        (voice, [tmp_path / "text.jpg"], "text.jpg: is no image"),
        (voice, [tmp_path / "none.jpg"], "none.jpg: no such file"),
        (voice, [tmp_path], "is a folder; name the files in it"),
        (tmp_path / "text.jpg", faces, "text.jpg: cannot be read as audio"),
        (voice, [], "`candidates` is empty"),
    ):
        with pytest.raises(RequestError) as caught:
            model.match(probe, candidates)
        assert fault in str(caught.value)


def test_a_model_of_vectors_is_refused(config, files):
    voice, faces, _ = files
    model = model_from_scratch(config)
    model.towers.model_config = model.towers.model_config.model_copy(update={"tower": "mlp"})
    with pytest.raises(RequestError, match="scratch: takes vectors, not voice and face files"):
        model.match(voice, faces)
