"""The model that a person holds: any item gives the vector that evaluation gives its file, and a wrong one is named."""

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import lowshot
from lowshot.data.dataset import Dataset
from lowshot.data.readers.features import FeatureReader
from lowshot.data.readers.media import MediaReader
from lowshot.errors import RequestError
from lowshot.evaluation.scorers import EmbeddingScorer
from lowshot.models import loaded as room
from lowshot.models.embedding import embed, embed_rows
from lowshot.models.loaded import LoadedModel, load_model, model_from_scratch
from lowshot.models.weights import save_model

BUNDLED = "pretrained:cmpc-compact"


@pytest.fixture(scope="module")
def model(config) -> LoadedModel:
    return model_from_scratch(config)


@pytest.fixture(scope="module")
def bundled() -> LoadedModel:
    return load_model(BUNDLED, device="cpu")


@pytest.fixture(scope="module")
def vector_model(vectors, vector_config) -> LoadedModel:
    return model_from_scratch(vector_config, FeatureReader(Dataset.open(vectors)).statistics)


@pytest.fixture
def clips(tmp_path):
    """Clips of several rates, lengths and channels, as files."""
    rng = np.random.default_rng(0)
    paths = []
    for name, rate, seconds, channels in (
        ("plain", 16_000, 0.7, 1),
        ("stereo", 44_100, 0.9, 2),
        ("telephone", 8_000, 0.6, 1),
        ("long", 22_050, 63.0, 1),
        ("short", 16_000, 0.05, 1),
    ):
        sound = 0.1 * rng.standard_normal((int(rate * seconds), channels))
        soundfile.write(tmp_path / f"{name}.wav", sound, rate, subtype="PCM_16")
        paths.append(tmp_path / f"{name}.wav")
    return paths


@pytest.fixture
def images(tmp_path):
    """Images of several modes, one of them on its side."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    colour.save(tmp_path / "turned.jpg", exif=exif)
    colour.convert("L").save(tmp_path / "grey.png")
    colour.convert("RGBA").save(tmp_path / "alpha.png")
    return [tmp_path / "turned.jpg", tmp_path / "grey.png", tmp_path / "alpha.png"]


def test_files_give_what_evaluation_gives_them(model, reader):
    data = reader.dataset
    found = embed(model.towers, reader, np.arange(len(data.voices)), np.arange(len(data.faces)))
    voices = [data.path("voice", row) for row in range(len(data.voices))]
    faces = [str(data.path("face", row)) for row in range(len(data.faces))]
    np.testing.assert_array_equal(model.encode_voice(voices), found.voice)
    np.testing.assert_array_equal(model.encode_face(iter(faces)), found.face)
    assert found.voice.dtype == np.float32 and model.dim == found.voice.shape[1]


def test_crops_and_mirror_images_are_those_of_the_settings(config, reader):
    settings = config.evaluate.model_copy(update={"mirror": True, "voice_crops": 1})
    model = model_from_scratch(config.model_copy(update={"evaluate": settings}))
    rows = np.arange(5)
    for modality, encode in (("voice", model.encode_voice), ("face", model.encode_face)):
        items = [reader.dataset.path(modality, row) for row in rows]
        np.testing.assert_array_equal(encode(items), embed_rows(model.towers, reader, modality, rows, settings))


@pytest.mark.parametrize("kind", ["float64", "float32", "int16", "int32"])
def test_samples_in_memory_are_as_good_as_the_file(model, clips, kind):
    pairs = [soundfile.read(path, dtype=kind) for path in clips]
    whole = model.encode_voice(clips)
    np.testing.assert_array_equal(model.encode_voice(pairs), whole)
    # Channels first and as a tensor, as torchaudio has them; and one pair alone.
    turned = [(torch.from_numpy(np.ascontiguousarray(np.atleast_2d(sound.T))), rate) for sound, rate in pairs]
    np.testing.assert_array_equal(model.encode_voice(turned), whole)
    np.testing.assert_array_equal(model.encode_voice(pairs[1]), model.encode_voice(clips[1]))


def test_arrays_take_their_rate_from_the_argument(model, clips):
    (sound, rate), whole = soundfile.read(clips[2], dtype="float32"), model.encode_voice(clips[2])
    assert whole.shape == (1, 16)
    for items in (sound, [sound], sound[None], torch.from_numpy(sound), torch.from_numpy(sound)[None], iter([sound])):
        np.testing.assert_array_equal(model.encode_voice(items, rate=rate), whole)
    assert np.abs(model.encode_voice(sound, rate=16_000) - whole).max() > 1e-3
    assert model.encode_voice(np.stack([sound, sound]), rate=rate).shape == (2, 16)


def test_images_in_memory_are_as_good_as_the_file(model, images):
    whole = model.encode_face(images)
    np.testing.assert_array_equal(model.encode_face([Image.open(path) for path in images]), whole)
    # A batch of another size may add up in another order, as in any evaluation.
    np.testing.assert_array_equal(model.encode_face(Image.open(images[0])), model.encode_face(images[0]))
    np.testing.assert_allclose(model.encode_face(images[0]), whole[:1], atol=1e-6)
    grey, alpha = (np.asarray(Image.open(path)) for path in images[1:])
    np.testing.assert_array_equal(model.encode_face([grey, alpha]), model.encode_face(images[1:]))
    np.testing.assert_array_equal(model.encode_face(grey[..., None]), model.encode_face(images[1]))
    colour = np.asarray(Image.open(images[2]).convert("RGB"))
    batch = model.encode_face(np.stack([colour, colour[::-1]]))
    tensors = torch.from_numpy(np.stack([colour, colour[::-1]])).permute(0, 3, 1, 2)
    np.testing.assert_array_equal(model.encode_face(tensors), batch)
    np.testing.assert_array_equal(model.encode_face(list(tensors)), batch)
    np.testing.assert_array_equal(model.encode_face(tensors[0]), model.encode_face(colour))


def test_vectors_are_items_of_models_of_vectors(vector_model, vectors):
    data = Dataset.open(vectors)
    rows = np.arange(len(data.voices))
    whole = embed_rows(vector_model.towers, FeatureReader(data), "voice", rows)
    given = np.array(data.features["voice"])
    for items in (given, list(given), torch.from_numpy(given), given.tolist(), iter(given), given.astype(np.float64)):
        np.testing.assert_array_equal(vector_model.encode_voice(items), whole)
    np.testing.assert_array_equal(vector_model.encode_voice(given[3].tolist()), vector_model.encode_voice(given[3]))
    found = vector_model.match(given[0], data.features["face"][:4], modality="voice")
    assert [each.index for each in found.ranking] == np.argsort(
        -vector_model.similarity(whole[0], vector_model.encode_face(data.features["face"][:4]))[0], kind="stable"
    ).tolist()


def test_no_items_give_no_rows(model, vector_model):
    for items in ([], iter(()), ()):
        assert model.encode_voice(items).shape == model.encode_face(items).shape == (0, 16)
    assert vector_model.encode_face(np.empty((0, 20), np.float32)).shape == (0, 16)


def test_an_iterator_is_read_as_it_is_needed_and_in_batches(model, reader, monkeypatch):
    monkeypatch.setattr(room, "BATCH", 4)
    rows, pulled, events, batches = np.arange(10), [], [], []

    def items():
        for row in rows:
            pulled.append(row)
            yield reader.dataset.path("face", row)

    encode = type(model.towers).encode_face
    monkeypatch.setattr(
        type(model.towers), "encode_face", lambda self, images: batches.append(len(images)) or encode(self, images)
    )
    found = model.encode_face(items(), progress=lambda event: events.append((event.done, event.total, len(pulled))))
    assert found.shape == (10, 16) and batches == [4, 4, 2]
    assert events == [(0, None, 0), (4, None, 4), (8, None, 8), (10, None, 10), (10, 10, 10)]
    events.clear()
    model.encode_face([reader.dataset.path("face", 0)], progress=lambda event: events.append((event.done, event.total)))
    assert events == [(0, 1), (1, 1)]


def test_progress_shows_on_request_alone(model, clips, capsys):
    model.encode_voice(clips)
    model.encode_voice(iter(clips), progress=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("items", "fault"),
    [
        ([0.5], "`items[0]`: is of type float, which is no voice; give a path, a pair (samples, rate)"),
        (None, "`items`: is None, which is no voice"),
        ({"a": 1}, "`items`: is of type dict, which is no voice"),
        (b"RIFF", "`items`: is of type bytes"),
        (["none.wav"], "none.wav: cannot be read as audio (no such file)"),
        ([np.ones(800)], "`items[0]`: samples without their rate; give the argument `rate`, or (samples, rate)"),
        (
            [(np.ones(800), 16_000), (np.ones(800), 0)],
            "`items[1]`: a sampling rate of 0; give a whole number of hertz",
        ),
        ((np.ones(800), 500), "`items`: a sampling rate of 500 Hz"),
        ((np.ones(800), 16_000.5), "`items`: a sampling rate of 16000.5"),
        ((np.empty(0), 16_000), "`items`: holds no samples"),
        ((np.full(800, np.nan), 16_000), "`items`: holds samples that are not finite"),
        ((np.ones(800, np.int64), 16_000), "`items`: samples of type int64; give floats in [-1, 1], int16 or int32"),
        ((np.ones((90, 80)), 16_000), "`items`: is an array of 90 x 80; its channels cannot be told from its samples"),
        ([(np.ones((2, 2, 9)), 16_000)], "`items[0]`: is of type tuple, which is no voice"),
    ],
)
def test_a_wrong_voice_is_one_line(model, items, fault):
    with pytest.raises(RequestError) as caught:
        model.encode_voice(items)
    assert fault in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("items", "fault"),
    [
        ([3], "`items[0]`: is of type int, which is no face; give a path, a PIL image, or an array of H x W x 3 bytes"),
        (["none.jpg"], "none.jpg: cannot be read as an image (no such file)"),
        (np.zeros((9, 9, 3)), "`items`: an image of type float64; give bytes (uint8) from 0 to 255"),
        ([np.zeros((9, 9, 5), np.uint8)], "`items[0]`: an image of 9 x 9 x 5; give H x W x 3 bytes"),
        (np.zeros((0, 9, 3), np.uint8), "`items`: an image without pixels"),
        (np.zeros(9, np.uint8), "`items`: is an array of uint8 of the shape [9], which is no face"),
        (Image.new("F", (9, 9)), "`items`: cannot be read as an image (its pixels are fractions"),
    ],
)
def test_a_wrong_face_is_one_line(model, items, fault):
    with pytest.raises(RequestError) as caught:
        model.encode_face(items)
    assert fault in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("items", "fault"),
    [
        ("a.wav", "`items`: is a path; the model takes vectors: give an array of 12 floating-point numbers"),
        (np.ones((2, 5)), "`items[0]`: has 5 columns; the model takes voice vectors of 12"),
        ([np.ones(12), np.zeros(12)], "`items[1]`: is all zeros"),
        (np.full(12, np.inf), "`items`: holds values that are not finite"),
        (np.ones(12, int), "`items`: is an array of int64 of the shape [12]"),
    ],
)
def test_a_wrong_vector_is_one_line(vector_model, items, fault):
    with pytest.raises(RequestError) as caught:
        vector_model.encode_voice(items)
    assert fault in str(caught.value) and "\n" not in str(caught.value)


def test_similarities_are_the_scores_of_evaluation(model, reader):
    found = embed(model.towers, reader, np.arange(6), np.arange(9))
    voice, face = found.voice[:6], found.face[:9]
    scores = EmbeddingScorer(voice, face).matrix(np.arange(6), np.arange(9))
    cosines = model.similarity(voice, torch.from_numpy(face))
    assert cosines.dtype == np.float32
    np.testing.assert_array_equal(cosines, np.minimum(scores, 1))
    np.testing.assert_allclose(model.similarity(3 * voice, face.astype(np.float64)), cosines, atol=1e-6)
    assert model.similarity(voice[0], face[0]).shape == (1, 1)
    assert model.similarity(voice, face[:0]).shape == (6, 0)
    assert model.similarity(np.zeros(16), face).tolist() == [[0.0] * 9]
    for wrong in (voice[:, :5], np.ones((1, 2, 16)), "x", voice.astype(bool)):
        with pytest.raises(RequestError, match=r"`voices`: .*; give vectors \[n, 16\]"):
            model.similarity(wrong, face)


def test_items_of_any_kind_are_matched(bundled, clips, images):
    samples = soundfile.read(clips[0])
    files = bundled.match(clips[0], images)
    mixed = bundled.match(samples, [images[0], Image.open(images[1]), np.asarray(Image.open(images[2]))])
    assert [(each.index, each.similarity, each.probability) for each in mixed.ranking] == [
        (each.index, each.similarity, each.probability) for each in files.ranking
    ]
    assert (mixed.probe, mixed.modality) == (None, "voice")
    assert {each.index: each.file for each in mixed.ranking} == {0: images[0], 1: None, 2: None}
    back = bundled.match(Image.open(images[0]), samples)
    likeness = next(each.similarity for each in files.ranking if each.index == 0)
    assert back.modality == "face" and back.ranking[0].similarity == pytest.approx(likeness, abs=1e-6)
    lines = str(mixed).splitlines()
    assert lines[0].split() == ["rank", "similarity", "probability", "face"] and lines[-1].startswith("warning: ")
    # A clip of less than a crop is named by its place.
    assert "`candidates[1]`: is shorter than the 1.3 s" in bundled.match(images[0], [samples, samples]).warnings[2]
    for probe, candidates, fault in (
        (samples, [samples], "`candidates[0]`: is no image; name faces after the voice"),
        (Image.open(images[0]), [images[1]], "grey.png: is an image too; name voices after the face"),
        ({}, images, "`probe`: is of type dict, which is neither a voice nor a face"),
    ):
        with pytest.raises(RequestError) as caught:
            bundled.match(probe, candidates)
        assert fault in str(caught.value)
    with pytest.raises(RequestError, match="`modality=ear`: name voice or face"):
        bundled.match(samples, images, modality="ear")


def test_the_card_says_what_is_known(bundled, model, config, tmp_path):
    card = bundled.card
    assert (card.method, card.adaptation, card.labels, card.data, card.synthetic) == (
        "cmpc", "none", "none", "synth:bench", True,
    )  # fmt: skip
    text = str(card)
    for words in ("synth:bench (invented people)", "588,544 weights", "Apache-2.0", "not for real voices and faces"):
        assert words in text
    save_model(
        model.towers, tmp_path / "m.safetensors", method="cid", adaptation="finetune", fraction="0.1", subset_seed="2"
    )
    bare = load_model(tmp_path / "m.safetensors").card
    assert (bare.labels, bare.data, bare.synthetic) == (
        "10 % of the training identities (subset seed 2)",
        "unknown",
        None,
    )
    assert "licence" not in str(bare)
    assert model.card.synthetic and model.card.data == config.data


def test_cards_of_models_of_vectors_name_their_columns(vector_model):
    assert (vector_model.card.voice, vector_model.card.face) == ("vectors of 12", "vectors of 20")
    assert not vector_model.card.synthetic


def test_a_model_moves_and_shows_itself(bundled):
    assert repr(bundled) == "LoadedModel('pretrained:cmpc-compact', compact towers, 128 dimensions, on cpu)"
    assert bundled.to("cpu") is bundled and bundled.device == torch.device("cpu")
    with pytest.raises(RequestError, match="`device=abacus`: no such device here; try cpu"):
        bundled.to("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(RequestError, match="`device=cuda`: no such device here"):
            lowshot.load(BUNDLED, device="cuda")


def test_training_mode_and_weights_are_left_as_they_were(config, clips):
    model = model_from_scratch(config)
    whole = model.encode_voice(clips)
    model.towers.train()
    np.testing.assert_array_equal(model.encode_voice(clips), whole)
    assert model.towers.training


def test_longer_clips_are_read_at_their_middle(config, clips, tmp_path):
    voice = config.voice.model_copy(update={"max_seconds": 0.5})
    model = model_from_scratch(config.model_copy(update={"voice": voice}))
    sound, rate = soundfile.read(clips[3])
    whole = MediaReader(Dataset.open(config.data), voice, config.face).decoder.voice(clips[3])
    found = model._decoder.voice(clips[3])
    np.testing.assert_array_equal(found[0], whole[0])
    np.testing.assert_array_equal(model.encode_voice((sound, rate)), model.encode_voice(clips[3]))
    beside = sound.copy()
    beside[: len(sound) // 3] = 0
    np.testing.assert_array_equal(model.encode_voice((beside, rate)), model.encode_voice(clips[3]))
