"""`lowshot data check`."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lowshot.cli.options import terminal, trust_option
from lowshot.errors import RequestError

if TYPE_CHECKING:
    from lowshot.checking.issues import Issue
    from lowshot.checking.readiness import Readiness
    from lowshot.checking.run import Checked

# The most issues of one kind that are printed.
_SHOWN = 10
_STRATA = {"gender": "G", "nationality": "N", "age": "A"}


@click.command("check")
@click.argument("source")
@trust_option
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="CSV to write with every issue.")
@click.option(
    "--write-clean",
    type=click.Path(path_type=Path),
    metavar="MANIFEST",
    help="Manifest to write beside the checked one, without the faulty rows; of vectors, a directory to make.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def check(source: str, trust_paths: bool, out: Path | None, write_clean: Path | None, as_json: bool) -> None:
    """Open every file of the dataset SOURCE and list all issues.

    It prints the first ten issues of each kind, and what the data can be used for; --out writes all issues. Faults
    prevent a run and set the exit code to 2, unless --write-clean writes a manifest without them. Warnings do not stop
    a run.
    """
    from lowshot.checking.run import write_clean as write_rows
    from lowshot.workflows.data import check_data

    checked = check_data(source, out=out, trust_paths=trust_paths, report=terminal())
    click.echo(_as_json(checked) if as_json else "\n".join(_lines(checked)))
    if write_clean is not None:
        write_rows(checked, write_clean)
        click.echo(f"{write_clean}: {_skipped(checked)}", err=as_json)
    elif checked.faults:
        counts = ", ".join(f"{count} {kind}" for kind, count in checked.faults.items())
        total = sum(checked.faults.values())
        raise RequestError(
            f"{checked.manifest}: {total} {'fault prevents' if total == 1 else 'faults prevent'} a run ({counts}); "
            f"{_remedy(checked, 'it' if total == 1 else 'them')}"
        )


def _remedy(checked: "Checked", them: str) -> str:
    if checked.holds == "pack":
        return f"the `lowshot data pack` command that made the pack mends {them}"
    return f"mend {them}{'' if checked.not_to_be_cleaned else ', or skip those rows with --write-clean'}"


def _lines(checked: "Checked") -> Iterator[str]:
    from lowshot.checking.issues import FAULTS, WARNINGS

    examined = {
        "files": "files opened",
        "vectors": "vectors examined",
        "pack": "packed media compared with their hashes",
    }
    yield f"{checked.manifest}: {len(checked.table)} rows read, {checked.examined} {examined[checked.holds]}"
    for title, kinds in (("faults", FAULTS), ("warnings", WARNINGS)):
        found = [kind for kind in kinds if kind in checked.counts]
        yield f"{title}: {'' if found else 'none'}".rstrip()
        for kind in found:
            issues = checked.of_kind(kind)
            yield f"  {kind}: {checked.counts[kind]} ({kinds[kind]})"
            yield from (f"    {_place(issue)}{_printable(issue.detail)}" for issue in issues[:_SHOWN])
            if len(issues) > _SHOWN:
                yield f"    and {len(issues) - _SHOWN} more; --out FILE lists all"
    yield from _offers(checked.readiness, "without the faulty rows, " if checked.skipped else "")


def _place(issue: "Issue") -> str:
    row = f"row {issue.rows[0]}" if issue.rows else ""
    place = ", ".join(part for part in (row, _printable(issue.path)) if part)
    return f"{place}: " if place else ""


def _printable(text: str) -> str:
    """Escape characters that could move a terminal's cursor."""
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text)


def _offers(readiness: "Readiness", beginning: str) -> Iterator[str]:
    if beginning:
        yield f"{beginning}the data offer"
    yield f"pretraining: {readiness.videos} videos with both modalities"
    yield (
        f"adaptation: {readiness.labelled} labelled training identities (1 % are {_share(readiness.labelled, 0.01)}, "
        f"10 % are {_share(readiness.labelled, 0.1)}), {readiness.validation} validation identities"
    )
    strata = ", ".join(["U", *(_STRATA[name] for name in readiness.attributes)])
    missing = (
        f"no rows in the splits {', '.join(readiness.missing_splits)}"
        if readiness.missing_splits
        else "all splits have rows"
    )
    yield (
        f"evaluation: {readiness.test} test identities, {readiness.seen_heard} seen-heard clips and images, "
        f"strata {strata}; {missing}"
    )


def _share(people: int, fraction: float) -> str:
    from lowshot.adapt.subsets import labelled_count

    try:
        return str(labelled_count(people, fraction))
    except RequestError:
        return "too few"


def _skipped(checked: "Checked") -> str:
    unread = sum(issue.kind in {"cells", "encoding"} for issue in checked.issues)
    rows = len(checked.table) + unread
    reasons = ", ".join(f"{len(numbers)} {kind}" for kind, numbers in checked.skipped.items())
    return (
        f"{len(checked.clean)} of {rows} rows; skipped {rows - len(checked.clean)}"
        f"{f' ({reasons}; a row may have several)' if reasons else ''}"
    )


def _as_json(checked: "Checked") -> str:
    return json.dumps(
        {
            "manifest": str(checked.manifest),
            "rows": len(checked.table),
            "looked_at": checked.examined,
            "faults": checked.faults,
            "warnings": {kind: count for kind, count in checked.counts.items() if kind not in checked.faults},
            "problems": [asdict(issue) | {"fault": issue.fault} for issue in checked.issues],
            "good_for": asdict(checked.readiness),
        },
        indent=2,
    )
