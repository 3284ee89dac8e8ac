"""The models that come with lowshot: the registry is true, its files are whole, and nothing else passes for them."""

import math
import shutil

import pytest
import yaml
from safetensors import safe_open

from lowshot.errors import RequestError
from lowshot.models import pretrained
from lowshot.models.loaded import load_model
from lowshot.models.pretrained import FittedMap, checked_weights, find_entry, pretrained_folder, read_registry

NAMES = ("cid-compact", "cmpc-compact")


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the folder, to be damaged."""
    folder = tmp_path / "pretrained"
    shutil.copytree(pretrained_folder(), folder)
    monkeypatch.setattr(pretrained, "pretrained_folder", lambda: folder)
    return folder


def test_every_model_is_what_the_registry_says():
    registry = read_registry()
    assert tuple(registry) == NAMES
    for name, entry in registry.items():
        model = load_model(f"pretrained:{name}")
        assert model.name == f"pretrained:{name}"
        assert model.metadata["method"] == model.config.method.name == entry.recipe.method
        assert model.metadata["train_seed"] == str(model.config.seed) == str(entry.recipe.seed)
        assert (model.config.data, model.metadata["data_sha"]) == (entry.data.name, entry.data.sha)
        expected = model.config.model_copy(update={"model": model.towers.model_config})
        assert (expected, model.config.voice, model.config.face) == (
            model.config,
            model.towers.voice_config,
            model.towers.face_config,
        )
        weights = sum(value.numel() for value in model.towers.parameters())
        assert f"{weights:,} weights, {model.towers.model_config.dim} dimensions" in entry.architecture


def test_the_files_are_small_and_say_nothing_of_a_machine():
    assert sum(entry.path.stat().st_size for entry in read_registry().values()) < 8_000_000
    for entry in read_registry().values():
        with safe_open(entry.path, framework="numpy") as file:
            assert not [value for value in file.metadata().values() if "/" in value or "\\" in value]


def test_a_card_stands_beside_every_model_and_has_its_figures():
    for name, entry in read_registry().items():
        card = (pretrained_folder() / entry.card).read_text(encoding="utf-8")
        assert card.startswith(f"# Model card: {name}\n")
        for command in entry.commands[:2]:
            assert f"{command}\n" in card
        for figure in entry.figures:
            value, low, high = (f"{100 * number:.1f}" for number in (figure.value, figure.ci_low, figure.ci_high))
            assert f"| {value} [{low}, {high}] |" in card
            assert figure.ci_low < figure.value < figure.ci_high


def test_other_bytes_are_refused(copied):
    entry = find_entry("pretrained:cmpc-compact")
    content = bytearray(entry.path.read_bytes())
    content[-1] ^= 1
    entry.path.write_bytes(content)
    with pytest.raises(RequestError, match=r"cmpc-compact\.safetensors: is not the registered file"):
        load_model("pretrained:cmpc-compact")
    entry.path.unlink()
    with pytest.raises(RequestError, match=r"cmpc-compact\.safetensors: cannot be read"):
        checked_weights(entry)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(RequestError) as caught:
        load_model("pretrained:cmpc")
    assert str(caught.value) == (
        "pretrained:cmpc: no such model; there are pretrained:cid-compact, pretrained:cmpc-compact"
    )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda models: models["cid-compact"].pop("licence"), "models.cid-compact.licence: Field required"),
        (lambda models: models["cid-compact"].update(sha256="abc"), "models.cid-compact.sha256: "),
        (lambda models: models["cid-compact"].update(author="me"), "models.cid-compact.author: Extra inputs"),
    ],
)
def test_a_damaged_registry_is_one_line(copied, change, fault):
    path = copied / "registry.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(content["models"])
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(RequestError) as caught:
        read_registry()
    assert fault in str(caught.value) and "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(RequestError, match="the list of bundled models is missing"):
        read_registry()


def test_a_fitted_map_gives_probabilities():
    fitted = FittedMap(scale=20.0, offset=-8.0, identities=60, trials=960)
    assert fitted.probability(0.4) == 0.5
    for cosine in (-1.0, 0.3, 0.5, 1.0):
        assert fitted.probability(cosine) == pytest.approx(1 / (1 + math.exp(-(20 * cosine - 8))))
