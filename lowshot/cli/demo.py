"""`lowshot demo`."""

from pathlib import Path
from typing import Any

import click

from lowshot.cli.options import config_options, json_option, say_outcome, terminal
from lowshot.schema import REPORT, RESULTS


@click.command("demo")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Number of training seeds.")
@config_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Run directory.  [default: a stopped one, or the next]",
)
@json_option
def command(as_json: bool, **request: Any) -> None:
    """Run the whole job on embedded data and write a report.

    It pretrains CMPC and instance-wise contrast without labels. It adapts both, and fresh weights, with a few labelled
    identities by probes and fine-tuning. It measures all models on unseen identities. If you stop the command, run it
    again: it continues.
    """
    from lowshot.reporting.tables import headline, to_text
    from lowshot.workflows.demo import demo

    found = demo(**request, report=terminal())
    directory = found.directory
    if as_json:
        say_outcome(
            True,
            directory,
            results=str(directory / RESULTS),
            report=str(directory / REPORT),
            warnings=found.warnings,
        )
        return
    click.echo(to_text(headline(found.results)))
    for warning in found.warnings:
        click.echo(f"warning: {warning}")
    click.echo()
    click.echo(f"report: {directory / REPORT}")
