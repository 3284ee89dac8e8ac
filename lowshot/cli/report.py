"""`lowshot report`."""

import shlex
from pathlib import Path

import click

from lowshot.cli.options import json_option, say_outcome


@click.command("report")
@click.argument("directory", type=click.Path(path_type=Path))
@json_option
def command(directory: Path, as_json: bool) -> None:
    """Make plots/ and report.html anew from the results.csv in DIRECTORY (of `demo`, `compare` or `evaluate`)."""
    from lowshot.experiments.curves import pretraining_curves
    from lowshot.reporting.page import write_report
    from lowshot.reporting.tables import check, read_csv
    from lowshot.runs import read_provenance

    provenance = read_provenance(directory)
    commands = [shlex.join(provenance["command"])] if "command" in provenance else []
    results = directory / "results.csv"
    curves = pretraining_curves(directory, check(read_csv(results), results))
    title = provenance.get("title") or directory.resolve().name
    say_outcome(as_json, write_report(directory, title=title, curves=curves, commands=commands), "report")
