"""A whole dataset looked through: its table, its files or vectors, and what is the same in several places."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lowshot.checking.duplicates import check_duplicates
from lowshot.checking.issues import FAULTS, WARNINGS, Issue
from lowshot.checking.media import open_file
from lowshot.checking.table import check_rows, names_no_file, read_table
from lowshot.checking.vectors import check_vectors
from lowshot.data.features import map_features, missing_vectors, write_blocks
from lowshot.data.manifest import check_manifest, write_manifest
from lowshot.data.trust import is_trusted, trust
from lowshot.errors import RequestError
from lowshot.schema import FEATURES, MANIFEST, MODALITIES

Progress = Callable[[int, int], None]
# Files handed to the threads at a time: millions of waiting tasks would fill the memory.
_FILES_AT_ONCE = 256
_ROWS_AT_ONCE = 2**14


@dataclass(frozen=True)
class Checked:
    """What came of a check.

    Attributes:
        manifest: the table's path.
        table: every row that could be read, rules broken or not, with its number in the file as index.
        problems: in the order in which they were looked for.
        looked_at: how many files, or vectors, were opened.
        has_features: whether the rows are vectors.
    """

    manifest: Path
    table: pd.DataFrame
    problems: list[Issue]
    looked_at: int
    has_features: bool

    def of_kind(self, kind: str) -> list[Issue]:
        """The problems of one kind."""
        return [problem for problem in self.problems if problem.kind == kind]

    @cached_property
    def counts(self) -> dict[str, int]:
        """Problems by kind, faults first, in the order of `FAULTS` and `WARNINGS`; kinds without any are not in it."""
        found: Counter[str] = Counter()
        for problem in self.problems:
            found[problem.kind] += problem.count
        return {kind: found[kind] for kind in (*FAULTS, *WARNINGS) if found[kind]}

    @cached_property
    def faults(self) -> dict[str, int]:
        """`counts` of what stands in the way."""
        return {kind: count for kind, count in self.counts.items() if kind in FAULTS}

    @cached_property
    def skipped(self) -> dict[str, set[int]]:
        """The rows that a clean manifest leaves out, by kind of fault; a row may be in several."""
        rows: dict[str, set[int]] = {}
        for problem in self.problems:
            if problem.fault and problem.rows:
                rows.setdefault(problem.kind, set()).update(problem.rows)
        return rows

    @cached_property
    def clean(self) -> pd.DataFrame:
        """The rows without a fault."""
        bad: set[int] = set().union(*self.skipped.values())
        return self.table[~self.table.index.isin(bad)]

    @cached_property
    def not_to_be_cleaned(self) -> str:
        """Why leaving rows out gives no dataset: a fault of the whole, or too little left; "" where it does."""
        for problem in self.problems:
            if problem.kind == "column":
                return f"{self.manifest}: {problem.detail}"
            if problem.path == FEATURES and not problem.rows:
                return f"{self.manifest.parent / FEATURES}: {problem.detail}"
        try:
            check_manifest(self.clean, "without the faulty rows")
        except RequestError as error:
            return str(error)
        return ""


def check_dataset(manifest: Path, progress: Progress = lambda done, total: None) -> Checked:
    """Open every file of a dataset and collect everything that is wrong with it.

    Args:
        manifest: the table. Where features.safetensors lies beside it, or no row names a file, the vectors are looked
            at instead of files.
        progress: called with (files or vectors done, all of them).

    Raises:
        RequestError: there is no table to be read.
    """
    table, problems = read_table(manifest)
    root = manifest.parent
    has_features = (root / FEATURES).is_file()
    trusted = is_trusted(manifest)
    whole_header = not any(problem.kind == "column" for problem in problems)
    no_vectors = missing_vectors(root, table["path"]) if whole_header and len(table) and not has_features else ""
    if whole_header:
        problems += check_rows(table, with_paths=not (has_features or no_vectors), trusted=trusted)
    if no_vectors:
        # One fault of the whole, not one of each row.
        return Checked(manifest, table, [*problems, Issue("missing", no_vectors, path=FEATURES)], 0, True)
    if has_features:
        found, digests = check_vectors(root, table, progress)
        looked_at = int(table["modality"].isin(MODALITIES).sum())
    else:
        found, digests, looked_at = _check_files(root, table, trusted, progress)
    problems += found + check_duplicates(table, digests)
    return Checked(manifest, table, problems, looked_at, has_features)


def _check_files(
    root: Path, table: pd.DataFrame, trusted: bool, progress: Progress
) -> tuple[list[Issue], dict[int, bytes], int]:
    """Open each file once, however many rows name it; gives problems, the rows' hashes, and how many files."""
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
    problems: list[Issue] = []
    digests: dict[int, bytes] = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="lowshot-check") as pool:
        for start in range(0, len(names), _FILES_AT_ONCE):
            part = names[start : start + _FILES_AT_ONCE]
            looks = pool.map(lambda name: open_file(root / name[0], name[1]), part)
            for place, ((path, _), look) in enumerate(zip(part, looks, strict=True), start=start):
                own = tuple(rows.index[order[bounds[place] : bounds[place + 1]]].tolist())
                problems += [Issue(kind, detail, own, path) for kind, detail in look.found]
                if look.digest is not None:
                    digests |= dict.fromkeys(own, look.digest)
                progress(place + 1, len(names))
    return problems, digests, len(names)


def write_clean(checked: Checked, out: Path) -> None:
    """Write the rows without a fault as a dataset of their own.

    Args:
        checked: what came of the check.
        out: of media, a manifest beside the one that was checked, for its paths are relative to it. Of features, a
            directory to make, with the manifest and the vectors of its rows.

    Raises:
        RequestError: `out` exists or lies elsewhere; or what is left is no dataset.
    """
    if out.exists():
        raise RequestError(f"`write_clean` {out}: exists; name another")
    if checked.not_to_be_cleaned:
        raise RequestError(f"{checked.not_to_be_cleaned}; leaving rows out does not mend that")
    left = checked.clean.reset_index(drop=True)
    if not checked.has_features:
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
