"""Turn words of the command line into values."""

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
        RequestError: `=` is missing, or the key is empty.
    """
    key, equals, value = item.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        raise RequestError(f"--set {item}: write SECTION.KEY=VALUE, such as --set train.epochs=20")
    try:
        settings: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RequestError(f"--set {item}: the value is not YAML") from error
    # YAML 1.1 reads 1e-3 as text, but a person means the number.
    if isinstance(settings, str):
        with suppress(ValueError):
            settings = float(settings)
    for part in reversed(parts):
        settings = {part: settings}
    return dict(settings)


def parse_sets(items: Iterable[str]) -> dict[str, Any]:
    """Turn several `a.b=c` into nested settings; later ones win."""
    found: dict[str, Any] = {}
    for item in items:
        merge(found, parse_set(item))
    return found


def parse_methods(text: str) -> "list[Variant]":
    """Parse the value of --methods.

    Args:
        text: names separated by commas. A variant's settings follow its name, as in
            `cmpc:method.temperature=0.05:train.epochs=30`.

    Raises:
        RequestError: a setting has no value.
    """
    from lowshot.experiments.cells import Variant

    variants = []
    # A value may be a list: a comma in brackets does not separate methods.
    for item in re.split(r",(?![^\[]*\])", text):
        name, *changes = item.strip().split(":")
        values, written = {}, {}
        for change in changes:
            key, _, value = change.partition("=")
            if not value or "." not in key:
                raise RequestError(f"--methods {item}: '{change}' is not a setting; write NAME:SECTION.KEY=VALUE")
            (section,) = parse_set(change).values()
            for _ in key.split(".")[1:]:
                (section,) = section.values()
            values[key], written[key] = section, value
        variants.append(Variant(name, values, written))
    return variants


def parse_fractions(text: str) -> list[float]:
    """Parse the value of --fractions.

    Raises:
        RequestError: an item is not a number.
    """
    fractions = []
    for item in text.split(","):
        try:
            fractions.append(float(item))
        except ValueError as error:
            raise RequestError(
                f"--fractions {text}: '{item}' is not a number; write fractions in [0, 1], such as 0,0.01,0.1"
            ) from error
    return fractions


def parse_names(text: str) -> list[str]:
    """Split names at commas."""
    return [item.strip() for item in text.split(",")]


def unless_default(name: str, value: Any) -> Any:
    """Return an option's value if a person gave it, else None."""
    import click
    from click.core import ParameterSource

    default = click.get_current_context().get_parameter_source(name) is ParameterSource.DEFAULT
    return None if default else value


def as_path(value: str | None) -> Path | None:
    """Turn text into a path; None stays None."""
    return None if value is None else Path(value)
