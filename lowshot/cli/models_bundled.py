"""`lowshot models list` and `lowshot models calibrate`."""

import json
from pathlib import Path
from typing import Any

import click

from lowshot.cli.options import open_dataset, set_option, terminal


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print all that the registry says, as JSON.")
def list_models(as_json: bool) -> None:
    """List the models that come with lowshot: what `--model` and `--from` take as pretrained:NAME."""
    from lowshot.models.pretrained import PREFIX, pretrained_folder, read_registry

    known = read_registry()
    if as_json:
        found = {PREFIX + name: {**entry.model_dump(), "path": str(entry.path)} for name, entry in known.items()}
        click.echo(json.dumps(found))
        return
    width = max(len(PREFIX + name) for name in known)
    for name, entry in known.items():
        auc = next(figure for figure in entry.figures if figure.metric == "auc")
        click.echo(
            f"{PREFIX + name:{width}}  {entry.architecture}; learned from {entry.data.name}; "
            f"AUC {auc.value:.3f} [{auc.ci_low:.3f}, {auc.ci_high:.3f}] on its test split; {entry.licence}"
        )
    click.echo(f"\ncards: {pretrained_folder()}")


@click.command("calibrate")
@click.argument("source", metavar="RUN|WEIGHTS|pretrained:NAME")
@click.option("--data", help="The dataset whose validation split is used.  [default: the one of the model's run]")
@set_option("As in evaluate.mirror=true.")
@click.option("--json", "as_json", is_flag=True, help="Print the map as JSON.")
def calibrate_model(source: str, data: str | None, settings: dict[str, Any], as_json: bool) -> None:
    """Fit the map from a model's cosines to probabilities, on people of the validation split.

    A run directory keeps it, as calibration.json: `lowshot match` reads it there.
    """
    from lowshot.evaluation.calibration import calibrate
    from lowshot.models.calibration import keep_calibration
    from lowshot.models.loaded import load_model
    from lowshot.workflows.settings import resolve_config

    loaded = load_model(source)
    config = resolve_config(settings=settings, named={"data": data}, base=loaded.config)
    found = calibrate(loaded, open_dataset(config.data, ("val",)), config.evaluate, terminal())
    kept: Path | None = None
    if loaded.path is not None and loaded.path.is_dir():
        kept = keep_calibration(loaded.path, found)
    if as_json:
        click.echo(json.dumps({**found.model_dump(), "file": str(kept) if kept else None}))
        return
    click.echo(
        f"log odds = {found.scale:.4f} x cosine {found.offset:+.4f}, from {found.trials:,} trials of "
        f"{found.identities} people of {found.data}"
    )
    if kept:
        click.echo(str(kept))
