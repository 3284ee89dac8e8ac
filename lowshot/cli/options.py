"""Options that several verbs share, and what they build."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lowshot.cli.wording import in_flags
from lowshot.config import Config, build_config, parse_set, preset_names, read_preset, read_yaml
from lowshot.progress import Terminal

if TYPE_CHECKING:
    from lowshot.data.dataset import Dataset

FEATURES_PRESET = "features"

F = TypeVar("F", bound=Callable[..., Any])


_TRUST = "lowshot.trust_paths"


def _keep_trust(context: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        context.meta[_TRUST] = True


# The value goes by the context to `open_dataset`, past commands that have no use for it.
trust_option = click.option(
    "--trust-paths",
    is_flag=True,
    expose_value=False,
    callback=_keep_trust,
    help="Let the manifest name files outside its folder, from now on, as long as it stays as it is.",
)


def config_options(command: F) -> F:
    """--preset, --config, --set, --data, --seed: the layers of a configuration."""
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
    """--preset, --config, --set: those layers of a configuration that hold any setting."""
    for option in (
        click.option(
            "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change one setting, as in train.epochs=20."
        ),
        click.option(
            "--config", "config_file", type=click.Path(path_type=Path), metavar="FILE", help="Settings in YAML."
        ),
        click.option("--preset", help=f"Settings that come with lowshot: {', '.join(preset_names())}."),
    ):
        command = option(command)
    return command


def adaptation_options(command: F) -> F:
    """--labels or --subset, --from, --subset-seed, --out, --json: what is labelled, what is adapted, where to."""
    for option in (
        click.option(
            "--out", type=click.Path(path_type=Path), metavar="RUN", help="Run directory.  [default: the next in runs/]"
        ),
        json_option,
        click.option(
            "--subset-seed", type=click.IntRange(min=0), default=0, show_default=True, help="Which identities."
        ),
        click.option(
            "--from",
            "source",
            metavar="RUN|WEIGHTS|pretrained:NAME|scratch",
            help="A run directory, a .safetensors file, a model that comes with lowshot, or scratch.  "
            "[default: the newest pretrained run]",
        ),
        click.option(
            "--subset",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            metavar="FILE",
            help="Label what this list names, instead of --labels: CSV with the column identity, and video for videos.",
        ),
        click.option(
            "--labels",
            type=float,
            default=0.1,
            show_default=True,
            help="Share of the training identities that is labelled.",
        ),
    ):
        command = option(command)
    return command


def json_option(command: F) -> F:
    """--json: say where the outcome lies in a form that scripts read."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print where the outcome lies, and what it is, as JSON."
    )(command)


def say_outcome(as_json: bool, where: Path, key: str = "run", **facts: object) -> None:
    """Print where an outcome lies: the path alone, or with facts as JSON, by the name `key`."""
    click.echo(json.dumps({key: str(where), **facts}) if as_json else str(where))


def model_option(command: F) -> F:
    """--model: which model is asked."""
    return click.option(
        "--model",
        metavar="RUN|WEIGHTS|pretrained:NAME",
        help="A run directory, a .safetensors file, or a model that comes with lowshot.  [default: the newest model]",
    )(command)


def resolve_config(
    preset: str | None,
    config_file: Path | None,
    sets: tuple[str, ...],
    flags: Mapping[str, Any],
    base: Config | None = None,
) -> Config:
    """Lay the settings over each other: base < preset < file < --set < flags.

    Args:
        preset, config_file, sets: as `config_options` gives them.
        flags: nested settings from named flags; those that are None were not given.
        base: what to start from; when not given, the defaults, and for data that are vectors the preset `features`.
    """
    from lowshot.data.features import holds_features

    layers: list[Mapping[str, Any]] = [base.model_dump(mode="json")] if base else []
    if preset:
        layers.append(read_preset(preset))
    if config_file:
        layers.append(read_yaml(config_file))
    layers += [parse_set(item) for item in sets]
    layers.append({key: value for key, value in flags.items() if value is not None})
    config = build_config(layers)
    if base is None and holds_features(config.data):
        # Below all that a person asked for: settings of media make no sense for vectors.
        config = build_config([read_preset(FEATURES_PRESET), *layers])
    if config.data.startswith("synth:"):
        return config
    # A run is adapted and evaluated later, perhaps from another folder.
    return config.model_copy(update={"data": Path(config.data).resolve().as_posix()})


def terminal() -> Terminal:
    """Show events on standard error until the verb ends; messages name flags."""
    shown = Terminal(in_flags)
    if (context := click.get_current_context(silent=True)) is not None:
        context.call_on_close(shown.close)
    return shown


def open_dataset(source: str, splits: Sequence[str] | None = None) -> "Dataset":
    """Open a dataset, with a progress bar while an embedded world is rendered.

    Args:
        source, splits: as of `lowshot.workflows.datasets.open_dataset`.
    """
    from lowshot.workflows.datasets import open_dataset as opened

    return opened(source, splits=splits, trust_paths=_trusting(), report=terminal())


def note_trust(source: str) -> None:
    """Trust the manifest of a dataset if --trust-paths was given."""
    from lowshot.workflows.datasets import trust_manifest

    if _trusting():
        trust_manifest(source)


def _trusting() -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_TRUST))
