"""The manifest: a table of voice clips and face images with their videos, identities and splits."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pandas as pd

from lowshot.errors import RequestError
from lowshot.files import atomic_path
from lowshot.schema import FEATURES, MANIFEST, MANIFEST_COLUMNS, MODALITIES, SPLITS


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest and check it.

    Args:
        path: a CSV file with `MANIFEST_COLUMNS`, any of `ATTRIBUTES`, and any others, which are kept.

    Returns:
        One row per voice clip or face image. Every column is text; missing values are "".

    Raises:
        RequestError: the file is not a CSV table, has a row with more or fewer cells than the header, or breaks a rule
            of `check_header` or `check_manifest`.
    """
    check_header(path)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: not a CSV table in UTF-8 ({str(error).strip()})") from error
    # pandas renames the second of two columns with one name.
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file), [])
    if twice := [name for name in dict.fromkeys(header) if header.count(name) > 1]:
        raise RequestError(f"{path}: column '{twice[0]}' appears twice; keep one of them")
    if may_be_uneven(table):
        with path.open(encoding="utf-8-sig", newline="") as file:
            if fault := uneven_row(file):
                raise RequestError(f"{path}, {fault}; keep the commas around an empty cell")
    check_manifest(table, path)
    return table


def check_header(path: Path) -> None:
    """Refuse a file that cannot be a manifest before its rows are read.

    Raises:
        RequestError: there is no such file, it holds vectors, or semicolons or tabs separate its header, as some
            spreadsheets write it.
    """
    if not path.is_file():
        raise RequestError(f"{path}: no such manifest; give a directory with manifest.csv, or a CSV file")
    if path.name == FEATURES:
        raise RequestError(f"{path}: holds vectors, not a manifest; give the directory, {path.parent}")
    # Whoever reads the rows reports bytes that are not UTF-8, with their row.
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = next((line for line in file if line.strip()), "")
    commas = header.count(",")
    for mark, said in ((";", "semicolons"), ("\t", "tabs")):
        # A header has enough commas for all columns; names may hold other marks.
        if commas < len(MANIFEST_COLUMNS) - 1 and header.count(mark) > commas:
            raise RequestError(f"{path}: {said} seem to separate the columns; write commas")


def may_be_uneven(table: pd.DataFrame) -> bool:
    """Tell whether a table that pandas read may have rows with more or fewer cells than its header.

    pandas takes an excess cell in all rows for the rows' names, and missing cells for empty ones.
    """
    return not isinstance(table.index, pd.RangeIndex) or bool((table.iloc[:, -1] == "").any())


def uneven_row(lines: Iterable[str]) -> str:
    """Describe the first row of a CSV table with more or fewer cells than the header; "" if there is none."""
    try:
        rows = (row for row in csv.reader(lines) if len(row) > 1 or "".join(row).strip())
        header = len(next(rows, []))
        for number, row in enumerate(rows, start=2):
            if len(row) != header:
                return f"row {number}: {len(row)} cells, the header has {header}"
    except csv.Error as error:
        return f"not a CSV table ({error})"
    return ""


def check_manifest(table: pd.DataFrame, name: str | Path = MANIFEST) -> None:
    """Refuse a table that breaks a rule of manifests; name the first row or column at fault.

    Args:
        table: as `read_manifest` returns it.
        name: the table's name in the message.

    Raises:
        RequestError: a required column is missing, there are no rows, a modality or split is unknown, no row has a
            modality, a row has no video, a video has two identities, or two splits share an identity, a video or a
            path.
    """
    missing = [column for column in MANIFEST_COLUMNS if column not in table.columns]
    if missing:
        raise RequestError(f"{name}: column '{missing[0]}' is missing; a manifest needs {', '.join(MANIFEST_COLUMNS)}")
    if table.empty:
        raise RequestError(f"{name}: no rows; a manifest has one row per voice clip or face image")
    _check_values(table, "modality", MODALITIES, name)
    _check_values(table, "split", SPLITS, name)
    for modality in MODALITIES:
        if not (table["modality"] == modality).any():
            raise RequestError(f"{name}: no row with modality '{modality}'; both voices and faces are needed")
    if (table["video"] == "").any():
        raise RequestError(f"{name}, row {_row(table['video'] == '')}: video is empty; it pairs voices with faces")
    _check_identities(table, name)
    _check_splits(table, name)


def write_manifest(table: pd.DataFrame, path: Path) -> None:
    """Check `table` and write it to `path` as CSV, atomically."""
    check_manifest(table, path)
    # pandas does not quote a lone carriage return, and readers take it for the end of a line.
    bare = any(table[column].astype(str).str.contains("\r", regex=False).any() for column in table.columns)
    with atomic_path(path) as temporary:
        quoting: Literal[0, 1] = csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL
        table.to_csv(temporary, index=False, lineterminator="\n", quoting=quoting)


def _row(mask: pd.Series) -> int:
    """Return the line number in the file of the first true entry; the header is line 1."""
    return int(mask.to_numpy().argmax()) + 2


def _check_values(table: pd.DataFrame, column: str, allowed: tuple[str, ...], name: str | Path) -> None:
    wrong = ~table[column].isin(allowed)
    if wrong.any():
        row = _row(wrong)
        known = ", ".join(value or "(empty)" for value in allowed)
        raise RequestError(f"{name}, row {row}: {column} '{table[column].iloc[row - 2]}' is none of {known}")


def _check_identities(table: pd.DataFrame, name: str | Path) -> None:
    known = table[table["identity"] != ""]
    per_video = known.groupby("video")["identity"].nunique()
    if (per_video > 1).any():
        video = per_video.index[per_video > 1][0]
        raise RequestError(f"{name}: video '{video}' has rows of several identities; a video belongs to one person")


def _check_splits(table: pd.DataFrame, name: str | Path) -> None:
    # Rows without a split may be further clips of a training identity: the seen-heard clips. A file, however, cannot
    # be both a training clip and a held-out one.
    split = table[table["split"] != ""]
    # Hardly any path appears twice.
    repeated = table[table["path"].duplicated(keep=False)]
    for column, rows in (("identity", split), ("video", split), ("path", repeated)):
        places = rows.loc[rows[column] != "", [column, "split"]].drop_duplicates()
        shared = places[column].duplicated()
        if shared.any():
            value = places.loc[shared, column].iloc[0]
            splits = sorted(places.loc[places[column] == value, "split"])
            raise RequestError(
                f"{name}: {column} '{value}' is in several splits ({', '.join(part or 'empty' for part in splits)}); "
                f"training and evaluation must share no {column}"
            )
