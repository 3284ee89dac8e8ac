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
    help="Formats of tables/ and plots/, separated by commas: csv, md, latex, png, svg, pdf; or all.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of the page.  [default: DIRECTORY; for several, the next in runs/]",
)
@json_option
def command(directories: tuple[Path, ...], formats: str, out: Path | None, as_json: bool) -> None:
    """Make a page, plots and tables from results on disk.

    DIRECTORY holds a results.csv of `demo`, `compare`, `evaluate` or `probe --within`, or is that file. The page is
    report.html in that directory. Several directories share one page if they were measured on the same data and trials.
    If methods of one name have different figures, the page adds the name of their directory.
    """
    from lowshot.workflows.report import report

    say_outcome(as_json, report(directories, formats=parse_names(formats), out=out), "report")
