"""`lowshot probe`."""

from typing import Any

import click

from lowshot.cli.options import adaptation_options, config_options, say_adapted, terminal
from lowshot.schema import MODALITIES, RESULTS


@click.command("probe")
@click.option(
    "--target",
    "targets",
    type=click.Choice(["identity", "gender", "age", "nationality"]),
    multiple=True,
    help="What --within classifies; may be repeated.  [default: all that the data allow]",
)
@click.option(
    "--within",
    type=click.Choice(["voice", "face", "both"]),
    help="Classify people by the frozen embeddings of this modality, instead of adapting the model.",
)
@adaptation_options
@config_options
def command(within: str | None, targets: tuple[str, ...], as_json: bool, **request: Any) -> None:
    """Adapt a model with few labelled identities: one linear map per tower.

    The towers stay frozen. The validation identities choose the learning rate and the stopping step. The test
    identities choose nothing.

    --within adapts nothing. It trains classifiers on the frozen embeddings of one modality: identity among the labelled
    people; gender, age group and nationality on the test split. It prints figures beside chance and writes results.csv.
    """
    from lowshot.cli.listing import listing
    from lowshot.workflows.adapt import probe, probe_within

    if within is None:
        if targets:
            raise click.UsageError("--target belongs to --within voice, face or both")
        say_adapted(as_json, probe(**request, report=terminal()))
        return
    modalities = MODALITIES if within == "both" else (within,)
    found = probe_within(modalities, targets=targets, **request, report=terminal())
    if as_json:
        click.echo(found.results.to_json(orient="records"))
        return
    click.echo(listing(found.results))
    click.echo(f"\nresults: {found.directory / RESULTS}")
