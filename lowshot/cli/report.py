"""`lowshot report`."""

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from filecmp import cmp
from pathlib import Path

import click

from lowshot.cli.options import json_option, say_outcome


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
    from lowshot.reporting.page import parse_formats, write_report
    from lowshot.runs import new_run, read_provenance

    wanted = parse_formats(formats)
    folders = list(dict.fromkeys(path.parent if path.name == "results.csv" else path for path in directories))
    several = len(folders) > 1
    if out is not None and (several or out.resolve() != folders[0].resolve()):
        _refuse_run(out)
    commands, titles = [], []
    for folder in folders:
        provenance = read_provenance(folder)
        command = provenance.get("command")
        commands += [shlex.join(map(str, command))] if isinstance(command, list) else []
        titles.append(str(provenance.get("title") or folder.resolve().name))
    if several:
        # Whatever cannot go on one page is refused before there is a directory for it.
        from lowshot.reporting.sources import gather

        gather(folders)
        title = f"{len(folders)} runs: {', '.join(folder.resolve().name for folder in folders[:3])}"
        title += " and others" if len(folders) > 3 else ""
        where = out or new_run("report", folders[0].resolve().name)
    else:
        title, where = titles[0], out or folders[0]
    page = write_report(where, title=title, curves=_curves(folders), commands=commands, formats=wanted, sources=folders)
    say_outcome(as_json, page, "report")


def _refuse_run(out: Path) -> None:
    """Refuse a directory whose page, plots and tables are those of other results."""
    from lowshot.errors import RequestError
    from lowshot.runs import read_provenance
    from lowshot.schema import RESULTS

    kind = read_provenance(out).get("kind")
    if kind or (out / RESULTS).exists():
        what = f"a run of `{kind}`" if kind else "results"
        raise RequestError(f"--out {out}: holds {what}, whose page would be replaced; name another directory")


def _curves(folders: Sequence[Path]) -> dict[str, Path]:
    """Logs of the pretrainings in all directories; those of one name carry that of their directory."""
    from lowshot.experiments.curves import pretraining_curves
    from lowshot.reporting.tables import check, read_csv

    logs: list[tuple[str, str, Path]] = []
    for folder in folders:
        path = folder / "results.csv"
        if path.is_file():
            known = pretraining_curves(folder, check(read_csv(path), path))
            # Evaluations of a model and of what was adapted from it keep copies of one log.
            logs += [
                (name, folder.resolve().name, log)
                for name, log in known.items()
                if not any(name == other and cmp(log, taken, shallow=False) for other, _, taken in logs)
            ]
    times = Counter(name for name, _, _ in logs)
    return {_own(name, folder) if times[name] > 1 else name: log for name, folder, log in logs}


def _own(name: str, folder: str) -> str:
    """The name of a run with that of its directory before its seed, as methods carry it."""
    return re.sub(r"(-seed\d+)$", lambda seed: f" ({folder}){seed[0]}", name)
