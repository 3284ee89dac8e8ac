"""From words of the command line to values."""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lowshot.config import merge
from lowshot.errors import RequestError

if TYPE_CHECKING:
    from lowshot.experiments.cells import Variant


def parse_set(item: str) -> dict[str, Any]:
    """Turn `a.b=c` into nested settings; the value is read as YAML.

    Raises:
        RequestError: there is no `=`, or an empty key.
    """
    key, equals, value = item.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        raise RequestError(f"--set {item}: write section.key=value, as in --set train.epochs=20")
    try:
        settings: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RequestError(f"--set {item}: the value is not YAML") from error
    # YAML 1.1 reads 1e-3 as text; a person who types it means the number.
    if isinstance(settings, str):
        with suppress(ValueError):
            settings = float(settings)
    for part in reversed(parts):
        settings = {part: settings}
    return dict(settings)


def parse_sets(items: Iterable[str]) -> dict[str, Any]:
    """Turn several `a.b=c` into nested settings, later ones over earlier ones."""
    found: dict[str, Any] = {}
    for item in items:
        merge(found, parse_set(item))
    return found


def parse_methods(text: str) -> "list[Variant]":
    """The methods that --methods names.

    Args:
        text: names separated by commas; settings that a variant changes follow its name, as in
            `cmpc:method.temperature=0.05:train.epochs=30`.

    Raises:
        RequestError: a change without a value.
    """
    from lowshot.experiments.cells import Variant

    variants = []
    # Lists are values too: a comma in brackets separates nothing.
    for item in re.split(r",(?![^\[]*\])", text):
        name, *changes = item.strip().split(":")
        values, written = {}, {}
        for change in changes:
            key, _, value = change.partition("=")
            if not value or "." not in key:
                raise RequestError(f"--methods {item}: '{change}' is no change; write NAME:SECTION.KEY=VALUE")
            (section,) = parse_set(change).values()
            for _ in key.split(".")[1:]:
                (section,) = section.values()
            values[key], written[key] = section, value
        variants.append(Variant(name, values, written))
    return variants


def parse_fractions(text: str) -> list[float]:
    """The labelled shares that --fractions names.

    Raises:
        RequestError: one is no number.
    """
    fractions = []
    for item in text.split(","):
        try:
            fractions.append(float(item))
        except ValueError as error:
            raise RequestError(
                f"--fractions {text}: '{item}' is not a share of the identities, 0 to 1; as in 0,0.01,0.1"
            ) from error
    return fractions


def parse_names(text: str) -> list[str]:
    """Names separated by commas."""
    return [item.strip() for item in text.split(",")]


def unless_default(name: str, value: Any) -> Any:
    """The value of an option that a person gave; None if it is the default."""
    import click
    from click.core import ParameterSource

    default = click.get_current_context().get_parameter_source(name) is ParameterSource.DEFAULT
    return None if default else value


def as_path(value: str | None) -> Path | None:
    """A path, if one was given."""
    return None if value is None else Path(value)
