"""Score tables as files of text: checked row by row."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.data.table_text import Rows
from lowshot.errors import RequestError

Place = dict[str, str]
"""Columns of results.csv that name a score table: `protocol`, `direction`, `stratum`, `seen`."""


class ScoreFile:
    """A score table under check; messages name the row of a fault.

    Args:
        rows: the file.

    Attributes:
        table: its rows as text.
        path: the file.
    """

    def __init__(self, rows: Rows) -> None:
        header = [name.strip() for name in rows.fields[0]]
        self.path, self.line = rows.path, rows.line[1:]
        self.table = pd.DataFrame(rows.fields[1:], columns=header, dtype=object)

    def refuse(self, wrong: "pd.Series[bool]", why: Callable[[pd.Series], str]) -> None:
        """Refuse the file if a row is wrong; names the first.

        Raises:
            RequestError: with what `why` says of that row.
        """
        if wrong.any():
            place = int(wrong.to_numpy().argmax())
            raise RequestError(f"{self.path}, row {self.line[place]}: {why(self.table.iloc[place])}")

    def numbers(self, column: str, *, finite: bool) -> None:
        """Turn a column of text into numbers, NaN for an empty cell.

        Raises:
            RequestError: a cell is not a number or is infinite, or is empty although `finite` is set.
        """
        text = self.table[column]
        values: npt.NDArray[np.float64] = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64)
        wrong = ~np.isfinite(values) & ((text != "").to_numpy() | finite)
        self.refuse(pd.Series(wrong), lambda row: f"{column} '{row[column]}' is not a finite number")
        self.table[column] = values

    def warn_of_duplicates(self, columns: Sequence[str], warnings: list[str]) -> None:
        """Warn of rows that repeat an earlier one in the existing columns."""
        known = [column for column in columns if column in self.table.columns]
        twice = self.table.duplicated(known) if known else pd.Series(dtype=bool)
        if twice.any():
            first = self.line[int(twice.to_numpy().argmax())]
            warnings.append(f"{self.path}: {int(twice.sum()):,} trials repeat earlier ones, the first in row {first}")

    def check_identity(self, warnings: list[str]) -> None:
        """Refuse empty cells of `identity`; warn if the column is missing."""
        if "identity" in self.table.columns:
            self.refuse(self.table["identity"] == "", lambda _: "identity is empty")
        else:
            warnings.append(f"{self.path}: no column identity: there are no intervals")
