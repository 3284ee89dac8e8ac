"""Resolve what a person asks for into a configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from pydantic import BaseModel

from lowshot.config import SECTIONS, Config, build_config, merge, nearest, read_preset, read_yaml
from lowshot.errors import RequestError

Settings = Mapping[str, Any]
"""Settings by section, `{"train": {"epochs": 5}}`, or by dotted key, `{"train.epochs": 5}`."""
FEATURES_PRESET = "features"


class Sections(TypedDict, total=False):
    """Sections of docs/settings.md as named arguments."""

    voice: Settings
    face: Settings
    augment: Settings
    train: Settings
    adapt: Settings
    evaluate: Settings


class AllSections(Sections, total=False):
    """The same, with the section `model`, for verbs that take no model."""

    model: Settings


def resolve_config(
    *,
    preset: str | None = None,
    config: str | Path | Settings | None = None,
    settings: Settings | None = None,
    named: Settings | None = None,
    base: Config | None = None,
) -> Config:
    """Merge settings into a configuration.

    Order of authority: base < preset < config < settings < named arguments.

    Args:
        preset: name of settings that come with lowshot.
        config: a YAML file, or settings.
        settings: more settings.
        named: settings from named arguments. Those that are None were not given.
        base: what to start from; the defaults if None, with the preset `features` if the data are vectors.

    Raises:
        RequestError: a setting is unknown or out of range, or a file cannot be read.
    """
    from lowshot.data.features import holds_features

    layers: list[Mapping[str, Any]] = [base.model_dump(mode="json")] if base else []
    if preset:
        layers.append(read_preset(preset))
    if config is not None:
        layers.append(read_yaml(Path(config)) if isinstance(config, str | Path) else nested(config, "config"))
    if settings is not None:
        layers.append(nested(settings, "settings"))
    if named:
        layers.append(_named(named))
    found = build_config(layers)
    if base is None and holds_features(found.data):
        # Vectors need this preset; whatever a person asked for still overrides it.
        found = build_config([read_preset(FEATURES_PRESET), *layers])
    if found.data.startswith("synth:"):
        return found
    # A run is adapted and evaluated later, perhaps from another folder.
    return found.model_copy(update={"data": Path(found.data).resolve().as_posix()})


def nested(settings: object, name: str) -> dict[str, Any]:
    """Turn settings into nested settings of plain values.

    Args:
        settings: as `Settings` describes them, or a section of a `Config`.
        name: of the argument, for messages.

    Raises:
        RequestError: they have no keys, or a value is not a number, text, list or dict.
    """
    if isinstance(settings, BaseModel):
        settings = settings.model_dump(mode="json")
    if not isinstance(settings, Mapping):
        raise RequestError(f"`{name}={settings!r}`: give a dict by key, as in {{'train.epochs': 20}}")
    found: dict[str, Any] = {}
    for key, value in settings.items():
        layer: Any = nested(value, name) if isinstance(value, Mapping | BaseModel) else _plain(value, name)
        for part in reversed(str(key).split(".")):
            layer = {part: layer}
        merge(found, layer)
    return found


def _named(named: Settings) -> dict[str, Any]:
    layer: dict[str, Any] = {}
    for name, value in named.items():
        if name not in SECTIONS:
            raise RequestError(f"no argument `{name}`; {nearest(name, SECTIONS)}")
        if value is None:
            continue
        if name == "data":
            merge(layer, {name: str(value)})
        elif name == "method" and isinstance(value, str):
            merge(layer, {name: {"name": value}})
        elif name in ("seed", "labels"):
            merge(layer, {name: _plain(value, name)})
        else:
            merge(layer, {name: nested(value, name)})
    return layer


def _plain(value: object, name: str) -> Any:
    """Turn a value of numpy, torch or another library into plain Python."""
    # First, because some numpy numbers are also Python numbers.
    if hasattr(value, "tolist"):
        return value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item, name) for item in value]
    raise RequestError(f"`{name}`: {value!r} is not a number, text, list or dict")
