"""`lowshot data import`: a verb for each importer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lowshot.cli.options import terminal
from lowshot.importers.importer import Importer, Option
from lowshot.importers.registry import IMPORTERS


class ImporterGroup(click.Group):
    """A group with a verb for each importer, also of other modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(IMPORTERS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _command(IMPORTERS[cmd_name]) if cmd_name in IMPORTERS else None


@click.group("import", cls=ImporterGroup)
def command() -> None:
    """Write a manifest of media files on disk."""


def _command(importer: Importer) -> click.Command:
    def run(out: Path, as_json: bool, **options: Any) -> None:
        from lowshot.workflows.data import import_data

        done = import_data(importer.name, out=out, report=terminal(), **options)
        click.echo(json.dumps(done.record()) if as_json else "\n".join(done.lines()))

    parameters = [_parameter(option) for option in importer.options]
    parameters += [
        click.Option(
            ["--out"], type=click.Path(path_type=Path), required=True, metavar="MANIFEST", help="CSV file to write."
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print what was imported as JSON."),
    ]
    return click.Command(
        importer.name,
        callback=run,
        params=parameters,
        help="\n\n".join(part for part in (importer.summary, importer.details) if part),
        short_help=importer.summary,
    )


def _parameter(option: Option) -> click.Parameter:
    """Make the click parameter of an option."""
    if option.positional:
        return click.Argument([option.name], type=_type(option), metavar=option.metavar or None)
    flag = f"--{option.name.replace('_', '-')}"
    absent = f"  [default: {option.absent}]" if option.absent else ""
    shown: dict[str, Any] = {
        "default": option.default,
        "show_default": option.default is not None and option.default is not False,
        "required": option.required,
        "help": f"{option.help}{absent}",
        "metavar": option.metavar or None,
    }
    if option.type is bool:
        names = f"{flag}/--no-{flag[2:]}" if option.default is None else flag
        return click.Option([names, option.name], is_flag=True, **shown)
    if option.type is dict:
        return click.Option([flag, option.name], multiple=True, callback=_words(option), **(shown | {"default": ()}))
    return click.Option([flag, option.name], type=_type(option), **shown)


def _type(option: Option) -> Any:
    if option.choices:
        return click.Choice(option.choices)
    if option.type is Path:
        return click.Path(path_type=Path)
    if option.type in (int, float):
        limits: dict[str, Any] = {"min": option.least, "max": option.most, "max_open": False}
        if option.below is not None:
            limits |= {"max": option.below, "max_open": True}
        return (click.IntRange if option.type is int else click.FloatRange)(**limits)
    return option.type


def _words(option: Option) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], dict[str, str]]:
    """Read pairs of words such as `path=file`; the last `=` separates them."""

    def read(context: click.Context, parameter: click.Parameter, items: tuple[str, ...]) -> dict[str, str]:
        words = {}
        for item in items:
            key, equals, value = item.rpartition("=")
            if not equals:
                raise click.UsageError(f"{parameter.opts[0]} {item}: give {option.metavar or 'WORD=WORD'}")
            words[key] = value
        return words

    return read
