"""The configuration of a run.

Unknown keys are errors. Every run directory holds the whole configuration. Order of authority: default < preset < file
< settings by key < named argument.
"""

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, SerializeAsAny, ValidationError, field_validator

from lowshot.errors import RequestError
from lowshot.files import parse_yaml
from lowshot.settings import (
    METHODS,
    AdaptConfig,
    AugmentConfig,
    CmpcConfig,
    EvaluateConfig,
    FaceConfig,
    MethodConfig,
    ModelConfig,
    Section,
    TrainConfig,
    VoiceConfig,
)

PRESETS = Path(__file__).parent / "presets"


class Config(Section):
    """All of a run's settings."""

    seed: int = Field(0, ge=0, lt=2**32)
    data: str = Field("synth:demo", description="A directory, a manifest, or synth:tiny|demo|bench.")
    labels: tuple[float, ...] = Field((0.01, 0.1), description="Labelled fractions that `demo` adapts with.")
    voice: VoiceConfig = VoiceConfig()
    face: FaceConfig = FaceConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    method: SerializeAsAny[MethodConfig] = CmpcConfig()
    adapt: AdaptConfig = AdaptConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    @field_validator("method", mode="before")
    @classmethod
    def _of_its_name(cls, method: object) -> object:
        """Check a method's settings by its name; `METHODS` may grow meanwhile."""
        if not isinstance(method, dict):
            return method
        return METHODS.get(method.get("name", ""), MethodConfig).model_validate(method)

    def sha(self, *sections: str) -> str:
        """Hash these settings, or the named sections: 16 hexadecimal digits."""
        settings = self.model_dump(mode="json", include=set(sections) or None)
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def with_method(self, name: str) -> "Config":
        """Return the same settings with another method.

        Args:
            name: one of `METHODS`. Changed settings carry over if the other method has a setting of that name; all
                others take their defaults.
        """
        if name == self.method.name:
            return self
        settings = self.model_dump(mode="json")
        plain = METHODS[self.method.name].model_validate({"name": self.method.name}).model_dump(mode="json")
        changed = {
            key: value
            for key, value in settings["method"].items()
            if key in METHODS[name].model_fields and value != plain[key]
        }
        return build_config([settings, {"method": {**changed, "name": name}}])

    def to_yaml(self) -> str:
        """Write these settings as YAML that `read_yaml` reads."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


SECTIONS = tuple(Config.model_fields)
"""Names of the sections and single settings of a configuration."""


def preset_names() -> list[str]:
    """List the presets that come with lowshot."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def read_preset(name: str) -> dict[str, Any]:
    """Read the settings of preset `name`.

    Raises:
        RequestError: there is no such preset.
    """
    if name not in preset_names():
        raise RequestError(f"`preset={name}`: no such preset; {nearest(name, preset_names())}")
    return read_yaml(PRESETS / f"{name}.yaml")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the settings in a YAML file.

    Raises:
        RequestError: the file is missing, is not YAML, or is not a mapping.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise RequestError(f"{path}: must hold settings as `key: value`")
    return content


def build_config(layers: Iterable[Mapping[str, Any]]) -> Config:
    """Merge settings, later over earlier, and check the outcome.

    Args:
        layers: nested mappings, weakest first. The last layer that names a method decides the method. Method settings
            of a layer that names another method are ignored; those of a layer that names none apply to any method.

    Raises:
        RequestError: an unknown key (the nearest known one is named) or a value out of range.
    """
    layers = list(layers)
    named = [name for layer in layers if (name := _method_named(layer)) is not None]
    name = named[-1] if named else "cmpc"
    if name not in METHODS:
        raise RequestError(
            f"method '{name}' is unknown; {nearest(name, METHODS)} (give `import_module=MODULE` first for your own)"
        )
    merged: dict[str, Any] = {"method": {"name": name}}
    for layer in layers:
        foreign = _method_named(layer) not in {None, name}
        merge(merged, {key: value for key, value in layer.items() if not (foreign and key == "method")})
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise RequestError(_explain(error, merged)) from error


def _method_named(layer: Mapping[str, Any]) -> str | None:
    method = layer.get("method")
    return str(method["name"]) if isinstance(method, Mapping) and "name" in method else None


def merge(base: dict[str, Any], layer: Mapping[str, Any]) -> None:
    """Merge nested settings into `base`, in place."""
    for key, value in layer.items():
        if not isinstance(value, Mapping):
            base[key] = value
            continue
        if not isinstance(base.get(key), dict):
            base[key] = {}
        merge(base[key], value)


def _explain(error: ValidationError, settings: Mapping[str, Any]) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key '{key}'; {nearest(key, known_keys(settings))}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}: {message[0].lower()}{message[1:]}, not {first['input']!r}" if key else message


def known_keys(settings: Mapping[str, Any]) -> list[str]:
    """List every key, given the method that `settings` names."""
    method = settings.get("method")
    name = method.get("name", "cmpc") if isinstance(method, Mapping) else "cmpc"
    return _keys_of(Config, METHODS[name])


def _keys_of(section: type[Section], method: type[Section]) -> list[str]:
    keys: list[str] = []
    for field, info in section.model_fields.items():
        kind = method if field == "method" else info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            keys += [f"{field}.{inner}" for inner in _keys_of(kind, method)]
        else:
            keys.append(field)
    return keys


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest a known name for an unknown one, for a message."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if not close:
        # The most common mistake is a right key in the wrong section.
        close = [key for key in names if key.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]][:1]
    return f"did you mean '{close[0]}'?" if close else f"known are {', '.join(names)}"
