"""`lowshot report`."""

from pathlib import Path

import click

from lowshot.cli.options import json_option, say_outcome
from lowshot.cli.parsing import parse_names


@click.command("report")
@click.argument("directories", metavar="DIRECTORY...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "formats",
    default="png,svg",
    show_default=True,
    metavar="NAMES",
    help="Of the files beside the page: csv, md, latex (tables/), png, svg, pdf (plots/), separated by commas; or all.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where several are put on one page.")
@json_option
def command(directories: tuple[Path, ...], formats: str, out: Path | None, as_json: bool) -> None:
    """Make a page, plots and tables from results on disk.

    DIRECTORY holds a results.csv (of `demo`, `compare`, `evaluate` or `probe --within`), or is one. Of one, report.html
    lies in it. Several go on one page in --out, if they were measured on the same data and trials; methods of the same
    name with different figures carry the name of their directory.
    """
    from lowshot.workflows.report import report

    say_outcome(as_json, report(directories, formats=parse_names(formats), out=out), "report")
