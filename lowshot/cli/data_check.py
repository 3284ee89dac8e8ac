"""`lowshot data check`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lowshot.cli.options import open_dataset, trust_option
from lowshot.cli.packing import check_pack
from lowshot.errors import RequestError
from lowshot.schema import MANIFEST

if TYPE_CHECKING:
    from lowshot.checking.issues import Issue
    from lowshot.checking.readiness import Readiness
    from lowshot.checking.run import Checked

# Problems of one kind that are printed.
_SHOWN = 10
_STRATA = {"gender": "G", "nationality": "N", "age": "A"}


@click.command("check")
@click.argument("source")
@trust_option
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="CSV to write with every problem found.")
@click.option(
    "--write-clean",
    type=click.Path(path_type=Path),
    metavar="MANIFEST",
    help="Manifest to write beside the one checked, without the faulty rows; of features, a directory to make.",
)
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
def check(source: str, trust_paths: bool, out: Path | None, write_clean: Path | None, as_json: bool) -> None:
    """Open every file of the dataset SOURCE, list all that is wrong with it, and say what it is good for.

    The first ten problems of each kind are printed; --out lists all. Faults stand in the way and make the exit code 2,
    unless --write-clean writes a manifest without them; warnings do not.
    """
    from tqdm import tqdm

    from lowshot.checking import run
    from lowshot.checking.readiness import readiness_of
    from lowshot.schema import PACK

    manifest = _manifest(source, trust_paths)
    if (manifest.parent / PACK).is_file():
        given = [name for name, value in (("--out", out), ("--write-clean", write_clean)) if value]
        _check_pack(source, trust_paths, given, as_json)
        return
    with tqdm(desc="check", unit="file", disable=None) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        checked = run.check_dataset(manifest, advance)
    if out is not None:
        _write_problems(checked.problems, out)
    uses = readiness_of(checked.clean)
    click.echo(_as_json(checked, uses) if as_json else "\n".join(_lines(checked, uses)))
    if write_clean is not None:
        run.write_clean(checked, write_clean)
        click.echo(f"{write_clean}: {_left_out(checked)}", err=as_json)
    elif checked.faults:
        counts = ", ".join(f"{count} {kind}" for kind, count in checked.faults.items())
        total = sum(checked.faults.values())
        raise RequestError(
            f"{manifest}: {total} {'fault stands' if total == 1 else 'faults stand'} in the way ({counts}); "
            f"mend {'it' if total == 1 else 'them'}"
            f"{'' if checked.not_to_be_cleaned else ', or leave those rows out with --write-clean'}"
        )


def _check_pack(source: str, trust_paths: bool, not_for_packs: list[str], as_json: bool) -> None:
    """Compare a pack with its hashes: its media were opened when it was made.

    Raises:
        RequestError: files are damaged, or an option asks for what only media can give.
    """
    from dataclasses import asdict

    from lowshot.checking.readiness import readiness_of

    if not_for_packs:
        raise RequestError(f"{not_for_packs[0]}: {source} is a pack; check the dataset that it was made of")
    dataset = open_dataset(source, trust_paths=trust_paths)
    whole = check_pack(dataset)
    uses = readiness_of(dataset.manifest)
    if as_json:
        click.echo(
            json.dumps({"manifest": str(dataset.manifest_path), "faults": {}, "good_for": asdict(uses)}, indent=2)
        )
    else:
        click.echo("\n".join([whole, *_good_for(uses, "")]))


def _manifest(source: str, trust_paths: bool) -> Path:
    """The table of a dataset, which may break every rule: an embedded world's is rendered where it is not yet."""
    if source.startswith("synth:"):
        return open_dataset(source).manifest_path
    from lowshot.workflows.datasets import trust_manifest

    if trust_paths:
        trust_manifest(source)
    return Path(source) / MANIFEST if Path(source).is_dir() else Path(source)


def _lines(checked: "Checked", uses: "Readiness") -> Iterator[str]:
    from lowshot.checking.issues import FAULTS, WARNINGS

    things = "vectors" if checked.has_features else "files"
    yield f"{checked.manifest}: {len(checked.table)} rows read, {checked.looked_at} {things} looked at"
    for title, kinds in (("faults", FAULTS), ("warnings", WARNINGS)):
        found = [kind for kind in kinds if kind in checked.counts]
        yield f"{title}: {'' if found else 'none'}".rstrip()
        for kind in found:
            problems = checked.of_kind(kind)
            yield f"  {kind}: {checked.counts[kind]} ({kinds[kind]})"
            yield from (f"    {_place(problem)}{_printable(problem.detail)}" for problem in problems[:_SHOWN])
            if len(problems) > _SHOWN:
                yield f"    and {len(problems) - _SHOWN} more; --out FILE lists all"
    yield from _good_for(uses, "without the faulty rows, " if checked.skipped else "")


def _place(problem: "Issue") -> str:
    row = f"row {problem.rows[0]}" if problem.rows else ""
    place = ", ".join(part for part in (row, _printable(problem.path)) if part)
    return f"{place}: " if place else ""


def _printable(text: str) -> str:
    """Names come from anywhere: what would move a terminal's cursor is written out."""
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text)


def _good_for(uses: "Readiness", beginning: str) -> Iterator[str]:
    if beginning:
        yield f"{beginning}the data are good for"
    yield f"pretraining: {uses.videos} videos with both modalities"
    yield (
        f"adaptation: {uses.labelled} labelled training identities (1 % are {_share(uses.labelled, 0.01)}, "
        f"10 % are {_share(uses.labelled, 0.1)}), {uses.validation} validation identities"
    )
    strata = ", ".join(["U", *(_STRATA[name] for name in uses.attributes)])
    missing = (
        f"no rows in the splits {', '.join(uses.missing_splits)}" if uses.missing_splits else "all splits have rows"
    )
    yield (
        f"evaluation: {uses.test} test identities, {uses.seen_heard} seen-heard clips and images, "
        f"strata {strata}; {missing}"
    )


def _share(people: int, fraction: float) -> str:
    from lowshot.adapt.subsets import labelled_count

    try:
        return str(labelled_count(people, fraction))
    except RequestError:
        return "too few"


def _left_out(checked: "Checked") -> str:
    unread = sum(problem.kind in {"cells", "encoding"} for problem in checked.problems)
    rows = len(checked.table) + unread
    reasons = ", ".join(f"{len(numbers)} {kind}" for kind, numbers in checked.skipped.items())
    return (
        f"{len(checked.clean)} of {rows} rows; {rows - len(checked.clean)} left out"
        f"{f' ({reasons}; a row may have several)' if reasons else ''}"
    )


def _as_json(checked: "Checked", uses: "Readiness") -> str:
    from dataclasses import asdict

    return json.dumps(
        {
            "manifest": str(checked.manifest),
            "rows": len(checked.table),
            "looked_at": checked.looked_at,
            "faults": checked.faults,
            "warnings": {kind: count for kind, count in checked.counts.items() if kind not in checked.faults},
            "problems": [asdict(problem) | {"fault": problem.fault} for problem in checked.problems],
            "good_for": asdict(uses),
        },
        indent=2,
    )


def _write_problems(problems: "list[Issue]", out: Path) -> None:
    import csv

    from lowshot.files import atomic_path, no_formula

    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("kind", "fault", "row", "path", "detail"))
        for problem in problems:
            path, fault = no_formula(problem.path), "yes" if problem.fault else "no"
            for row in problem.rows or ("",):
                writer.writerow((problem.kind, fault, row, path, problem.detail))
