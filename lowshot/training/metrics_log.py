"""metrics.csv: one row per logged step, appended during the run."""

import csv
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lowshot.errors import RunError
from lowshot.files import atomic_path
from lowshot.schema import STEP_COLUMNS

Row = Mapping[str, Any]
# Figures of the method come between these and the other columns.
_FIRST = STEP_COLUMNS[: STEP_COLUMNS.index("loss") + 1]
_LAST = STEP_COLUMNS[len(_FIRST) :]


class MetricsLog:
    """A log of rows, with a new column for each new figure.

    The columns depend only on the rows, so that a resumed run ends with the same file, byte for byte.

    Args:
        path: the file; it is created with its header.
        kept: the value that `sync` returned for the checkpoint; later rows are removed. None starts a new file.

    Raises:
        RunError: `kept` names rows, and the file cannot be read.
    """

    def __init__(self, path: Path, kept: Mapping[str, Any] | None = None) -> None:
        self._path = path
        self._figures: list[str] = []
        self._rows = 0
        rows: list[dict[str, str]] = []
        if kept is not None:
            self._figures = [name for name in kept["columns"] if name not in STEP_COLUMNS]
            rows = self._read()[: kept["rows"]]
        self._start(rows)

    def write(self, row: Row, figures: Mapping[str, float] | None = None) -> None:
        """Append a row; its missing columns stay empty.

        Floats are written so that they read back exactly.

        Args:
            row: values of `STEP_COLUMNS`.
            figures: figures of the method, by its own names.

        Raises:
            RunError: a figure has the name of one of `STEP_COLUMNS`.
        """
        figures = figures or {}
        if taken := sorted(set(figures) & set(STEP_COLUMNS)):
            raise RunError(f"{self._path}: the method logs `{taken[0]}`, a column of every run; log it by another name")
        if new := [name for name in figures if name not in self._figures]:
            self._file.close()
            self._figures += new
            self._start(self._read())
        self._append([{**row, **figures}])

    def sync(self) -> dict[str, Any]:
        """Flush to the disk; return the state for a resumed run."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return {"columns": [*_FIRST, *self._figures, *_LAST], "rows": self._rows}

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _start(self, rows: Iterable[Row]) -> None:
        """Rewrite the file atomically with these rows, and open it to append."""
        with atomic_path(self._path) as temporary:
            self._open(temporary)
            self._writer.writeheader()
            self._rows = 0
            self._append(rows)
            self._file.close()
        self._open(self._path)

    def _open(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", newline="")
        columns = (*_FIRST, *self._figures, *_LAST)
        self._writer = csv.DictWriter(self._file, columns, restval="", lineterminator="\n")

    def _append(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._writer.writerow(row)
            self._rows += 1
        self._file.flush()

    def _read(self) -> list[dict[str, str]]:
        """The rows so far.

        Columns unknown to this log belong to rows that will be removed.
        """
        columns = (*_FIRST, *self._figures, *_LAST)
        try:
            with self._path.open(encoding="utf-8", newline="") as file:
                return [{name: row.get(name) or "" for name in columns} for row in csv.DictReader(file)]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise RunError(f"{self._path}: cannot be read ({error}); the run cannot go on without its log") from error


def kept_by_size(path: Path, size: int) -> dict[str, Any]:
    """The value of `MetricsLog.sync` for a checkpoint of version 0.1.

    Such a checkpoint holds the size of the file.

    Args:
        path: metrics.csv of the run.
        size: bytes of it that belong to the checkpoint.
    """
    with path.open("rb") as file:
        lines = file.read(size).decode().splitlines()
    return {"columns": next(csv.reader(lines[:1]), []), "rows": max(0, len(lines) - 1)}
