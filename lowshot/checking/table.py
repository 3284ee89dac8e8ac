"""Read a manifest that may break every rule, and find what does."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from lowshot.checking.issues import HELD_OUT_FIRST, Issue
from lowshot.data.dataset import leaves_root
from lowshot.data.manifest import check_header, may_be_uneven, uneven_row
from lowshot.errors import RequestError
from lowshot.schema import MANIFEST_COLUMNS, MODALITIES, SPLITS

_SHOWN = 3


def read_table(path: Path) -> tuple[pd.DataFrame, list[Issue]]:
    """Read whatever rows of a manifest can be read.

    Args:
        path: a CSV file.

    Returns:
        The rows as text, with their numbers in the file as index (the header is row 1), and the issues of the header
        and of rows that cannot be read.

    Raises:
        RequestError: as `check_header`; or the file holds no table.
    """
    check_header(path)
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
        table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
        regular = not (may_be_uneven(table) and uneven_row(io.StringIO(text, newline="")))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        regular = False
    issues: list[Issue] = []
    if regular:
        table.index = pd.RangeIndex(2, len(table) + 2)
    else:
        table, issues = _read_row_by_row(content, path)
    missing = [column for column in MANIFEST_COLUMNS if column not in table.columns]
    issues += [Issue("column", f"column '{name}' is missing") for name in missing]
    return table.assign(**dict.fromkeys(missing, "")), issues


def _read_row_by_row(content: bytes, path: Path) -> tuple[pd.DataFrame, list[Issue]]:
    # Bytes that are not UTF-8 become lone surrogates, which mark their place.
    text = content.decode("utf-8-sig", errors="surrogateescape")
    kept: dict[int, list[str]] = {}
    issues = []
    try:
        rows = (row for row in csv.reader(io.StringIO(text, newline="")) if row)
        header = next(rows, [])
        for number, row in enumerate(rows, start=2):
            if len(row) != len(header):
                issues.append(Issue("cells", f"{len(row)} cells, the header has {len(header)}", (number,)))
            elif not _is_text("".join(row)):
                issues.append(Issue("encoding", f"not UTF-8: {_readable(','.join(row))}", (number,)))
            else:
                kept[number] = row
    except csv.Error as error:
        raise RequestError(f"{path}: not a CSV table ({error})") from error
    if not header or not _is_text("".join(header)) or len(set(header)) < len(header):
        raise RequestError(f"{path}: not a CSV table in UTF-8; its first row must name each column once")
    return pd.DataFrame(list(kept.values()), index=list(kept), columns=header, dtype=str), issues


def _is_text(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return False
    return True


def _readable(cell: str) -> str:
    return cell.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def check_rows(table: pd.DataFrame, with_paths: bool, trusted: bool = False) -> list[Issue]:
    """Find all faults and warnings of a table.

    Args:
        table: as `read_table` returns it.
        with_paths: whether each row must name a file; vectors need none.
        trusted: whether files may lie outside the manifest's folder.
    """
    if table.empty:
        return [Issue("no-rows", "a manifest has one row per voice clip or face image")]
    issues = [
        Issue("one-modality", f"no row with modality '{modality}'")
        for modality in MODALITIES
        if not (table["modality"] == modality).any()
    ]
    issues += _values(table, "modality", MODALITIES)
    issues += _values(table, "split", SPLITS)
    issues += [Issue("no-video", "video is empty", (row,)) for row in table.index[table["video"] == ""]]
    if with_paths:
        issues += [
            Issue("path", "must name a file below the manifest's folder", (row,), path)
            for row, path in zip(table.index.tolist(), table["path"], strict=True)
            if names_no_file(path, trusted)
        ]
    known = table[table["split"].isin(SPLITS)]
    issues += _several_identities(table)
    for column, rows in (("identity", known[known["split"] != ""]), ("video", known[known["split"] != ""])):
        issues += _several_splits(rows, column)
    issues += _several_splits(known, "path")
    issues += _unpaired(table)
    for column in ("identity", "split"):
        count = int((table[column] == "").sum())
        if count:
            issues.append(Issue(f"no-{column}", f"{count} of {len(table)} rows", count=count))
    return issues


def names_no_file(path: str, trusted: bool = False) -> bool:
    """Tell whether a path is empty, or leads out of the folder of a manifest that is not trusted."""
    return not path or (not trusted and leaves_root(path))


def held_out_part(rows: pd.DataFrame) -> str:
    """Choose the split in which rows of several stay: evaluation before training."""
    return min(rows["split"].unique(), key=HELD_OUT_FIRST.index)


def listed(names: Iterable[str]) -> str:
    """List the first few names."""
    several = list(dict.fromkeys(names))
    return ", ".join(f"'{name}'" for name in several[:_SHOWN]) + (", ..." if len(several) > _SHOWN else "")


def _values(table: pd.DataFrame, column: str, allowed: tuple[str, ...]) -> Iterator[Issue]:
    wrong = table.loc[~table[column].isin(allowed), column]
    known = ", ".join(name or "(empty)" for name in allowed)
    for row, value in zip(wrong.index.tolist(), wrong, strict=True):
        yield Issue(column, f"{column} '{value}' is none of {known}", (row,))


def _several(rows: pd.DataFrame, column: str, counted: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Group rows by `column`; give the groups with several values of `counted`."""
    named = rows[rows[column] != ""]
    places = named[[column, counted]].drop_duplicates()
    several = named[column].isin(places.loc[places[column].duplicated(), column])
    for name, part in named[several].groupby(column, sort=False):
        yield str(name), part


def _several_identities(table: pd.DataFrame) -> Iterator[Issue]:
    for video, rows in _several(table[table["identity"] != ""], "video", "identity"):
        yield Issue("video-identities", f"video '{video}' belongs to {listed(rows['identity'])}", tuple(rows.index))


def _several_splits(table: pd.DataFrame, column: str) -> Iterator[Issue]:
    for name, rows in _several(table, column, "split"):
        kept = held_out_part(rows)
        counts = ", ".join(
            f"{n} in {split or '(empty)'}" for split, n in rows["split"].value_counts(sort=False).items()
        )
        yield Issue(
            f"{column}-splits",
            f"{column} '{name}': {counts}; a clean manifest keeps {kept or '(empty)'}",
            tuple(rows.index[rows["split"] != kept]),
            name if column == "path" else "",
        )


def _unpaired(table: pd.DataFrame) -> Iterator[Issue]:
    known = table[table["modality"].isin(MODALITIES) & (table["video"] != "")]
    places = known[["video", "modality"]].drop_duplicates()
    alone = places[~places["video"].duplicated(keep=False)]
    for row, video, modality in alone.itertuples():
        yield Issue("unpaired", f"video '{video}' has no {'face' if modality == 'voice' else 'voice'} (row {row})")
