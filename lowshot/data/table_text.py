"""Read the text of a table as rows of fields, each with its line; refuse what is not a table."""

import codecs
import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lowshot.errors import RequestError

# The longest path that Linux takes. A longer field is usually the rest of a file after a quote.
LONGEST_FIELD = 4096


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a table.

    Args:
        path: the file.
        separator: comma, tab or blank.
        fields: n rows, at least one, all with the same number of fields.
        line: [n] the line in which each row begins; the first line of the file is 1.
    """

    path: Path
    separator: str
    fields: list[list[str]]
    line: npt.NDArray[np.int64]


def read_rows(path: Path) -> Rows:
    """Read a table of text. Its first line decides whether commas, tabs or blanks separate the fields.

    The encoding is UTF-8, or UTF-16 with a byte order mark; line ends may be of any system. If commas or tabs
    separate, quotes are those of CSV. Empty lines are ignored.

    Raises:
        RequestError: there is no such file, it has another encoding, no rows, rows of different lengths, an open quote,
            or a field longer than a path can be. Names the row.
    """
    if not path.is_file():
        raise RequestError(f"{path}: no such trial list")
    text = decode(path, path.read_bytes())
    separator = _separator(text, "\t,", " ")
    fields, lines = _split_blanks(text) if separator == " " else _split_csv(path, text, separator)
    if not fields:
        raise RequestError(f"{path}: no trials")
    return _even(path, separator, fields, lines)


def read_columns(path: Path, kind: str, required: Iterable[str] = ()) -> Rows:
    """Read CSV whose first row names the columns.

    Encodings, line ends and quotes are those of `read_rows`. Commas, semicolons or tabs separate the fields:
    spreadsheets write each of these. Rows without text are ignored.

    Args:
        path: the file.
        kind: what a message calls the file if it is missing.
        required: columns that it should have. Of several marks in the first line, the one that gives them separates.

    Raises:
        RequestError: as `read_rows`.
    """
    if not path.is_file():
        raise RequestError(f"{path}: no such {kind}")
    text = decode(path, path.read_bytes())
    separator = column_separator(text, required)
    fields, lines = _split_csv(path, text, separator)
    filled = [place for place, row in enumerate(fields) if any(row)]
    if not filled:
        raise RequestError(f"{path}: is empty")
    return _even(path, separator, [fields[place] for place in filled], [lines[place] for place in filled])


def column_separator(text: str, required: Iterable[str] = ()) -> str:
    """Find what separates the columns of a table with a header: tab, semicolon or comma."""
    first = _first_line(text)
    for mark in "\t;,":
        if mark in first and {name.strip() for name in first.split(mark)} >= set(required):
            return mark
    return _separator(text, "\t;,", ",")


def _first_line(text: str) -> str:
    return next((line for line in io.StringIO(text, newline=None) if line.strip()), "")


def _separator(text: str, marks: str, otherwise: str) -> str:
    """Return the first of some marks that occurs in the first line with text."""
    first = _first_line(text)
    return next((mark for mark in marks if mark in first), otherwise)


def _even(path: Path, separator: str, fields: list[list[str]], lines: list[int]) -> Rows:
    """Check that rows have one length and that no field is longer than a path can be."""
    width = len(fields[0])
    for row, line in zip(fields, lines, strict=True):
        if len(row) != width:
            raise RequestError(f"{path}, row {line}: {len(row)} fields, but the first row has {width}")
        if sum(map(len, row)) > LONGEST_FIELD and max(map(len, row)) > LONGEST_FIELD:
            raise _too_long(path, line, LONGEST_FIELD)
    return Rows(path, separator, fields, np.array(lines, dtype=np.int64))


def decode(path: Path, data: bytes) -> str:
    """Decode the bytes of a table: UTF-8, or UTF-16 with a byte order mark.

    Raises:
        RequestError: they have another encoding, or hold zero bytes. Names the row.
    """
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        row = 1 + data[: error.start].decode(encoding, "ignore").count("\n")
        name = "UTF-16" if encoding == "utf-16" else "UTF-8"
        raise RequestError(f"{path}, row {row}: not text in {name} ({error.reason}); save it as UTF-8") from error
    if "\0" in text:
        row = 1 + text[: text.index("\0")].count("\n")
        raise RequestError(
            f"{path}, row {row}: holds a zero byte: a binary file, or UTF-16 without its mark; save it as UTF-8"
        )
    return text


def _split_blanks(text: str) -> tuple[list[list[str]], list[int]]:
    fields, lines = [], []
    for line, content in enumerate(io.StringIO(text, newline=None), start=1):
        if row := content.split():
            fields.append(row)
            lines.append(line)
    return fields, lines


def _split_csv(path: Path, text: str, separator: str) -> tuple[list[list[str]], list[int]]:
    fields, lines = [], []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    before = 0
    try:
        for row in reader:
            if row:
                fields.append(row)
                lines.append(before + 1)
            before = reader.line_num
    except csv.Error as error:
        # Only the words of its errors tell the faults apart.
        if "field limit" in str(error):
            raise _too_long(path, before + 1, csv.field_size_limit()) from error
        fault = "a quote is never closed" if "end of data" in str(error) else f"not CSV ({error})"
        raise RequestError(f"{path}, row {before + 1}: {fault}") from error
    return fields, lines


def _too_long(path: Path, line: int, limit: int) -> RequestError:
    return RequestError(f"{path}, row {line}: a field of more than {limit} characters; is a quote left open?")
