"""Make a page, plots and tables from results on disk."""

import re
from collections import Counter
from collections.abc import Sequence
from filecmp import cmp
from pathlib import Path

from lowshot.errors import RequestError
from lowshot.runs import command_line, new_run, read_provenance
from lowshot.schema import RESULTS

FORMATS = ("png", "svg")


def report(directories: Sequence[Path], *, formats: Sequence[str] = FORMATS, out: Path | None = None) -> Path:
    """Write report.html, and the files beside it.

    Args:
        directories: each holds a results.csv, or is one. Several go on one page, if they were measured on the same
            data and trials.
        formats: of the files beside the page: csv, md, latex, png, svg, pdf, or all.
        out: directory of the page. If None, a single directory itself; for several, the next run in `runs/`.

    Returns:
        Path of report.html.

    Raises:
        RequestError: results are missing, malformed, or of different data or trials; or `out` holds a run.
    """
    from lowshot.reporting.page import check_formats, write_report

    if not directories:
        raise RequestError("no directory of results; name at least one")
    wanted = check_formats(formats)
    folders = list(dict.fromkeys(path.parent if path.name == RESULTS else path for path in directories))
    several = len(folders) > 1
    if out is not None and (several or out.resolve() != folders[0].resolve()):
        _refuse_run(out)
    commands, titles = [], []
    for folder in folders:
        provenance = read_provenance(folder)
        command = provenance.get("command")
        commands += [command_line(list(map(str, command)))] if isinstance(command, list) else []
        titles.append(str(provenance.get("title") or folder.resolve().name))
    if several:
        # Results that cannot share a page are refused before a directory is made.
        from lowshot.reporting.sources import gather

        gather(folders)
        title = f"{len(folders)} runs: {', '.join(folder.resolve().name for folder in folders[:3])}"
        title += " and others" if len(folders) > 3 else ""
        where = out or new_run("report", folders[0].resolve().name)
    else:
        title, where = titles[0], out or folders[0]
    curves = training_logs(folders)
    return write_report(where, title=title, curves=curves, commands=commands, formats=wanted, sources=folders)


def _refuse_run(out: Path) -> None:
    """Refuse a directory that holds other results."""
    kind = read_provenance(out).get("kind")
    if kind or (out / RESULTS).exists():
        what = f"a run of `{kind}`" if kind else "results"
        raise RequestError(f"`out` {out}: holds {what}, whose page would be replaced; name another directory")


def training_logs(folders: Sequence[Path]) -> dict[str, Path]:
    """Find the training logs in all directories, by name.

    Different logs of one name have the name of their directory added.
    """
    from lowshot.reporting.tables import check, read_csv
    from lowshot.workflows.training_logs import pretraining_curves

    logs: list[tuple[str, str, Path]] = []
    for folder in folders:
        path = folder / RESULTS
        if path.is_file():
            known = pretraining_curves(folder, check(read_csv(path), path))
            # Evaluations of a model and of its adaptations keep copies of one log.
            logs += [
                (name, folder.resolve().name, log)
                for name, log in known.items()
                if not any(name == other and cmp(log, taken, shallow=False) for other, _, taken in logs)
            ]
    times = Counter(name for name, _, _ in logs)
    return {_own(name, folder) if times[name] > 1 else name: log for name, folder, log in logs}


def _own(name: str, folder: str) -> str:
    """Add a directory's name before the seed in a run's name."""
    return re.sub(r"(-seed\d+)$", lambda seed: f" ({folder}){seed[0]}", name)
