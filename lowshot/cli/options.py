"""Options that several verbs share, and what they build."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lowshot.cli.parsing import parse_sets
from lowshot.cli.wording import in_flags
from lowshot.config import preset_names
from lowshot.progress import Terminal
from lowshot.schema import MODEL

if TYPE_CHECKING:
    from lowshot.data.dataset import Dataset
    from lowshot.workflows.adapt import Adapted

F = TypeVar("F", bound=Callable[..., Any])


trust_option = click.option(
    "--trust-paths",
    is_flag=True,
    help="Let the manifest name files outside its folder. This holds for later commands, until the manifest changes.",
)


def set_option(text: str) -> Callable[[F], F]:
    """Make the option --set; the command gets nested settings as `settings`.

    Args:
        text: help.
    """

    def parsed(context: click.Context, _: click.Parameter, items: tuple[str, ...]) -> dict[str, Any]:
        return parse_sets(items)

    return click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", callback=parsed, help=text)


def config_options(command: F) -> F:
    """Add --preset, --config, --set, --data and --seed, the layers of a configuration."""
    for option in (
        click.option("--seed", type=int, help="Seed of weights, order and augmentation.  [default: 0]"),
        click.option(
            "--data",
            help="A directory, a manifest, or synth:tiny|demo|bench.  [default: the adapted run's, or the preset's]",
        ),
        trust_option,
        settings_options,
    ):
        command = option(command)
    return command


def settings_options(command: F) -> F:
    """Add --preset, --config and --set, which can hold any setting."""
    for option in (
        set_option("Change one setting, such as train.epochs=20."),
        click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings in YAML."),
        click.option("--preset", help=f"Settings that come with lowshot: {', '.join(preset_names())}."),
    ):
        command = option(command)
    return command


def adaptation_options(command: F) -> F:
    """Add the options of adaptation: labels, model, outcome."""
    for option in (
        click.option(
            "--out", type=click.Path(path_type=Path), metavar="RUN", help="Run directory.  [default: the next in runs/]"
        ),
        json_option,
        click.option("--subset-seed", type=click.IntRange(min=0), help="Seed of the labelled subset.  [default: 0]"),
        click.option(
            "--from",
            "model",
            metavar="RUN|WEIGHTS|pretrained:NAME|scratch",
            help="A run directory, a .safetensors file, a model that comes with lowshot, or scratch.  "
            "[default: the newest pretrained run]",
        ),
        click.option(
            "--subset",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            metavar="FILE",
            help="List of labelled identities or videos, instead of --labels: CSV with the columns identity, video.",
        ),
        click.option("--labels", type=float, help="Labelled fraction of the training identities.  [default: 0.1]"),
    ):
        command = option(command)
    return command


def json_option(command: F) -> F:
    """Add --json, which prints the outcome in a form that scripts read."""
    return click.option("--json", "as_json", is_flag=True, help="Print the outcome and its path as JSON.")(command)


def say_outcome(as_json: bool, where: Path, key: str = "run", **facts: object) -> None:
    """Print the path of an outcome.

    Args:
        as_json: print JSON, with the facts.
        where: the path.
        key: its name in the JSON.
        facts: what else the JSON says.
    """
    click.echo(json.dumps({key: str(where), **facts}) if as_json else str(where))


def say_adapted(as_json: bool, adapted: "Adapted") -> None:
    """Print the path of an adapted model and how it was chosen."""
    click.echo(str(adapted.selected), err=True)
    run = adapted.directory
    say_outcome(as_json, run, weights=str(run / MODEL), selected=asdict(adapted.selected))


def model_option(command: F) -> F:
    """Add --model."""
    return click.option(
        "--model",
        metavar="RUN|WEIGHTS|pretrained:NAME",
        help="A run directory, a .safetensors file, or a model that comes with lowshot.  [default: the newest model]",
    )(command)


def terminal() -> Terminal:
    """Return a callback that shows events on standard error, with flags' names."""
    shown = Terminal(in_flags)
    if (context := click.get_current_context(silent=True)) is not None:
        context.call_on_close(shown.close)
    return shown


def open_dataset(source: str, splits: Sequence[str] | None = None, *, trust_paths: bool = False) -> "Dataset":
    """Open a dataset, with a progress bar for an embedded world.

    Args:
        source, splits, trust_paths: as of `lowshot.workflows.datasets.open_dataset`.
    """
    from lowshot.workflows.datasets import open_dataset as opened

    return opened(source, splits=splits, trust_paths=trust_paths, report=terminal())
