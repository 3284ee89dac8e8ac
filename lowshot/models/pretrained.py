"""The registry of bundled models, `pretrained:NAME`; it needs no torch."""

import hashlib
import math
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from lowshot.config import Config, build_config, read_preset
from lowshot.errors import RequestError
from lowshot.files import bundled_folder, parse_yaml
from lowshot.schema import MODEL_REGISTRY
from lowshot.settings import Section

PREFIX = "pretrained:"


class Recipe(Section):
    """Settings of the training, for `lowshot pretrain`."""

    preset: str
    method: str
    seed: int = Field(ge=0)


class Trained(Section):
    """Training data: the dataset, its hash, and whether the people are invented."""

    name: str
    sha: str
    synthetic: bool


class FittedMap(Section):
    """A map from cosines to natural log-likelihood ratios, with its data."""

    scale: float = Field(ge=0)
    offset: float
    identities: int = Field(ge=2)
    trials: int = Field(ge=2)

    def probability(self, cosine: float) -> float:
        """Probability of one person, if half of all pairs are of one."""
        return 0.5 + 0.5 * math.tanh((self.scale * cosine + self.offset) / 2)


class Measured(Section):
    """A test figure on the model's data, with a 95 % interval.

    All values are fractions.
    """

    protocol: str
    direction: str = ""
    metric: str
    gallery_size: int | None = None
    value: float
    ci_low: float
    ci_high: float
    chance: float


class Entry(Section):
    """One model of registry.yaml."""

    summary: str
    file: str
    card: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence: str
    intended_use: str
    architecture: str
    data: Trained
    version: str
    recipe: Recipe
    commands: tuple[str, ...] = Field(min_length=1)
    calibration: FittedMap
    figures: tuple[Measured, ...] = Field(min_length=1)

    @property
    def path(self) -> Path:
        """The weights file."""
        return pretrained_folder() / self.file

    def config(self) -> Config:
        """Settings of its training, data included."""
        recipe = self.recipe
        return build_config([read_preset(recipe.preset), {"method": {"name": recipe.method}, "seed": recipe.seed}])


class _Registry(Section):
    models: dict[str, Entry]


def pretrained_folder() -> Path:
    """The folder of the models, inside the package or beside it.

    It is beside the package in a checkout.
    """
    return bundled_folder("pretrained")


def read_registry() -> dict[str, Entry]:
    """All models that come with lowshot, by name.

    Raises:
        RequestError: the registry is missing or damaged.
    """
    path = pretrained_folder() / MODEL_REGISTRY
    try:
        return _Registry.model_validate(parse_yaml(path.read_text(encoding="utf-8"))).models
    except OSError as error:
        raise RequestError(f"{path}: the list of bundled models is missing; reinstall lowshot") from error
    except yaml.YAMLError as error:
        raise RequestError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise RequestError(f"{path}, {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def find_entry(source: str) -> Entry:
    """Find the entry of a model that comes with lowshot.

    Args:
        source: `pretrained:NAME`.

    Raises:
        RequestError: there is no such model; names the known ones.
    """
    name, known = source.removeprefix(PREFIX), read_registry()
    if name not in known:
        raise RequestError(f"{source}: no such model; there are {', '.join(PREFIX + each for each in sorted(known))}")
    return known[name]


def checked_weights(entry: Entry) -> Path:
    """Check a model's weights file against the registry, and return it.

    Raises:
        RequestError: it is missing, or holds other bytes.
    """
    try:
        with entry.path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RequestError(f"{entry.path}: cannot be read ({error.strerror}); reinstall lowshot") from error
    if found != entry.sha256:
        raise RequestError(
            f"{entry.path}: is not the registered file (sha256 {found[:16]}..., "
            f"not {entry.sha256[:16]}...); reinstall lowshot, or name the file itself if you changed it"
        )
    return entry.path
