"""`lowshot doctor`."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from lowshot.errors import RunError

if TYPE_CHECKING:
    from lowshot.workflows.doctor import Findings


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(as_json: bool) -> None:
    """Check this machine: versions, devices, extras."""
    from lowshot.workflows.doctor import examine

    found = examine()
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        _print(found)
    if found.faults:
        count = len(found.faults)
        raise RunError(f"{count} {'fault' if count == 1 else 'faults'} would stop a run; see above")
    if not as_json:
        click.echo("nothing here would stop a run")


def _print(found: "Findings") -> None:
    from lowshot.workflows.doctor import EXTRAS

    lines = {"lowshot": found.lowshot, "python": f"{found.python} on {found.platform}", **found.packages}
    for extra, (_, purpose) in EXTRAS.items():
        here = "installed" if found.extras[extra] else f"not installed (pip install 'lowshot[{extra}]')"
        lines[f"[{extra}]"] = f"{here}: {purpose}"
    lines["cores"] = str(found.cores)
    if found.threads is not None:
        lines["threads"] = f"{found.threads} of torch, unless train.threads says otherwise"
    lines["workers"] = f"train.workers=N starts N processes, by {' or '.join(found.worker_starts)}"
    lines["gpu"] = ", ".join(found.gpus) or "none; runs use the CPU"
    for what, (folder, free) in found.folders.items():
        lines[what] = f"{folder} ({free / 2**30:.1f} GiB free)"
    lines["models"] = f"{', '.join(found.models)} (hashes match)" if found.models else "none"
    for what, said in lines.items():
        click.echo(f"{what:12} {said}")
    for fault in found.faults:
        click.echo(f"{'fault':12} {fault}")
