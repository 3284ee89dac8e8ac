"""Check a whole dataset: its table, its files, vectors or pack, and what several rows share."""

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from lowshot.checking.duplicates import check_duplicates
from lowshot.checking.issues import FAULTS, WARNINGS, Issue
from lowshot.checking.media import open_file
from lowshot.checking.readiness import Readiness, readiness_of
from lowshot.checking.table import check_rows, names_no_file, read_table
from lowshot.checking.vectors import check_vectors
from lowshot.data.dataset import Dataset
from lowshot.data.features import map_features, missing_vectors, write_blocks
from lowshot.data.manifest import check_manifest, write_manifest
from lowshot.data.packing.pack import damaged_files
from lowshot.data.trust import is_trusted, trust
from lowshot.errors import RequestError
from lowshot.files import atomic_path, no_formula
from lowshot.progress import Event, Report, quiet
from lowshot.schema import FEATURES, MANIFEST, MODALITIES, PACK

# Files handed to the threads at a time: millions of waiting tasks would fill the memory.
_FILES_AT_ONCE = 256
_ROWS_AT_ONCE = 2**14


@dataclass(frozen=True)
class Checked:
    """Outcome of a check.

    Attributes:
        manifest: path of the table.
        table: every readable row, faulty or not, with its number in the file as index.
        issues: in the order in which they were found.
        examined: number of files or vectors that were opened.
        holds: content of the rows: media files, vectors, or media in a pack.
    """

    manifest: Path
    table: pd.DataFrame
    issues: list[Issue]
    examined: int
    holds: Literal["files", "vectors", "pack"] = "files"

    def of_kind(self, kind: str) -> list[Issue]:
        """Return the issues of one kind."""
        return [issue for issue in self.issues if issue.kind == kind]

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of issues by kind, in the order of `FAULTS` and `WARNINGS`, without zeros."""
        found: Counter[str] = Counter()
        for issue in self.issues:
            found[issue.kind] += issue.count
        return {kind: found[kind] for kind in (*FAULTS, *WARNINGS) if found[kind]}

    @cached_property
    def faults(self) -> dict[str, int]:
        """The `counts` of faults."""
        return {kind: count for kind, count in self.counts.items() if kind in FAULTS}

    @cached_property
    def skipped(self) -> dict[str, set[int]]:
        """The rows that a clean manifest lacks, by kind of fault; a row may have several."""
        rows: dict[str, set[int]] = {}
        for issue in self.issues:
            if issue.fault and issue.rows:
                rows.setdefault(issue.kind, set()).update(issue.rows)
        return rows

    @cached_property
    def clean(self) -> pd.DataFrame:
        """The rows without a fault."""
        bad: set[int] = set().union(*self.skipped.values())
        return self.table[~self.table.index.isin(bad)]

    @cached_property
    def readiness(self) -> Readiness:
        """What the clean rows offer for each part of the job."""
        return readiness_of(self.clean)

    @cached_property
    def not_to_be_cleaned(self) -> str:
        """Why skipping rows gives no dataset: a fault of the whole, or too few rows left; "" if it does."""
        for issue in self.issues:
            if issue.kind == "column":
                return f"{self.manifest}: {issue.detail}"
            if issue.path == FEATURES and not issue.rows:
                return f"{self.manifest.parent / FEATURES}: {issue.detail}"
        if self.holds == "pack":
            return f"{self.manifest.parent}: is a pack; check the dataset that it was made of"
        try:
            check_manifest(self.clean, "without the faulty rows")
        except RequestError as error:
            return str(error)
        return ""


def check_dataset(manifest: Path, report: Report = quiet) -> Checked:
    """Open every file of a dataset as a run does, and collect all issues.

    Args:
        manifest: the table. If features.safetensors lies beside it, or no row names a file, the vectors are checked
            instead of files. In a pack, hashes are compared: its media were opened when it was made.
        report: takes progress events.

    Raises:
        RequestError: there is no readable table, or the pack is unfinished.
    """
    root = manifest.parent
    if (root / PACK).is_file():
        return _check_pack(Dataset.open(root if manifest.name == MANIFEST else manifest), report)
    table, issues = read_table(manifest)
    has_features = (root / FEATURES).is_file()
    trusted = is_trusted(manifest)
    whole_header = not any(issue.kind == "column" for issue in issues)
    no_vectors = missing_vectors(root, table["path"]) if whole_header and len(table) and not has_features else ""
    if whole_header:
        issues += check_rows(table, with_paths=not (has_features or no_vectors), trusted=trusted)
    if no_vectors:
        # One fault of the whole, not one of each row.
        return Checked(manifest, table, [*issues, Issue("missing", no_vectors, path=FEATURES)], 0, "vectors")
    if has_features:
        found, digests = check_vectors(root, table, report)
        examined = int(table["modality"].isin(MODALITIES).sum())
    else:
        found, digests, examined = _check_files(root, table, trusted, report)
    issues += found + check_duplicates(table, digests)
    return Checked(manifest, table, issues, examined, "vectors" if has_features else "files")


def _check_pack(dataset: Dataset, report: Report) -> Checked:
    def advance(done: int, total: int) -> None:
        report(Event("steps", "check", done, total, "B"))

    damaged = damaged_files(dataset.root, advance)
    issues = [
        Issue("damaged", f"{path}: damaged or missing", path=path.relative_to(dataset.root).as_posix())
        for path in damaged
    ]
    table = dataset.manifest.set_axis(pd.RangeIndex(2, len(dataset.manifest) + 2))
    return Checked(dataset.manifest_path, table, issues, len(table), "pack")


def _check_files(
    root: Path, table: pd.DataFrame, trusted: bool, report: Report
) -> tuple[list[Issue], dict[int, bytes], int]:
    """Open each file once, however many rows name it; return issues, hashes by row, and the number of files."""
    inside = table["modality"].isin(MODALITIES).to_numpy() & np.array(
        [not names_no_file(path, trusted) for path in table["path"]], dtype=bool
    )
    rows = table.loc[inside, ["path", "modality"]]
    files = rows.drop_duplicates()
    number = pd.Series(rows.groupby(["path", "modality"], sort=False).ngroup())
    # Row numbers file by file, without a table of tables.
    order = np.argsort(number.to_numpy(), kind="stable")
    bounds = np.searchsorted(number.to_numpy()[order], np.arange(len(files) + 1))
    names = list(files.itertuples(index=False, name=None))
    issues: list[Issue] = []
    digests: dict[int, bytes] = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="lowshot-check") as pool:
        for start in range(0, len(names), _FILES_AT_ONCE):
            part = names[start : start + _FILES_AT_ONCE]
            opened = pool.map(lambda name: open_file(root / name[0], name[1]), part)
            for place, ((path, _), file) in enumerate(zip(part, opened, strict=True), start=start):
                own = tuple(rows.index[order[bounds[place] : bounds[place + 1]]].tolist())
                issues += [Issue(kind, detail, own, path) for kind, detail in file.found]
                if file.digest is not None:
                    digests |= dict.fromkeys(own, file.digest)
                report(Event("steps", "check", place + 1, len(names), "file"))
    return issues, digests, len(names)


def write_issues(issues: Iterable[Issue], out: Path) -> None:
    """Write a CSV with one row per issue and row of the manifest, atomically."""
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("kind", "fault", "row", "path", "detail"))
        for issue in issues:
            path, fault = no_formula(issue.path), "yes" if issue.fault else "no"
            for row in issue.rows or ("",):
                writer.writerow((issue.kind, fault, row, path, issue.detail))


def write_clean(checked: Checked, out: Path) -> None:
    """Write the rows without a fault as a new dataset.

    Args:
        checked: outcome of the check.
        out: of media files, a manifest beside the checked one, because its paths are relative to it. Of vectors, a
            directory to make, with the manifest and the vectors of its rows.

    Raises:
        RequestError: `out` exists or lies elsewhere, or the remaining rows are not a dataset.
    """
    if out.exists():
        raise RequestError(f"`write_clean` {out}: exists; name another")
    if checked.not_to_be_cleaned:
        raise RequestError(f"{checked.not_to_be_cleaned}; skipping rows does not mend that")
    left = checked.clean.reset_index(drop=True)
    if checked.holds == "files":
        if out.parent.resolve() != checked.manifest.parent.resolve():
            raise RequestError(
                f"`write_clean` {out}: paths are relative to the manifest; name a file in {checked.manifest.parent}"
            )
        write_manifest(left, out)
        if is_trusted(checked.manifest):
            trust(out)
        return
    tensors = map_features(checked.manifest.parent / FEATURES)
    blocks = {}
    for modality in MODALITIES:
        rows = checked.table[checked.table["modality"] == modality]
        kept = np.flatnonzero(rows.index.isin(checked.clean.index))
        blocks[modality] = _in_blocks(tensors[modality], kept)
    # The manifest last: without it there is no dataset.
    write_blocks(out / FEATURES, blocks, {})
    write_manifest(left, out / MANIFEST)


def _in_blocks(tensor: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        yield tensor[rows[start : start + _ROWS_AT_ONCE]]
