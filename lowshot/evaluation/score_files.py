"""Score tables as files: read, checked by the row, and given their place in the results."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.data.table_text import Rows, read_rows
from lowshot.errors import RequestError
from lowshot.evaluation.protocols import DIRECTIONS, retrieval_protocol
from lowshot.evaluation.trial_lists.published import seen_of, stratum_of
from lowshot.evaluation.verification import IDENTITIES
from lowshot.schema import MIXED, SEEN, UNSEEN, VALIDATION

Place = dict[str, str]
_VERIFICATION = ("label", "score")
_MATCHING = ("direction", "score", "score_1")
_RETRIEVAL = ("n_ranked", "n_relevant", "average_precision", "first_rank", "tied")
_OWN = re.compile(rf"(?:verification|matching|retrieval)-({UNSEEN}|{SEEN}|{VALIDATION}|{MIXED})-(.+)")
_DIRECTED = re.compile(rf"({'|'.join(DIRECTIONS)})(?:-(.+))?")


def read_score_file(path: Path, warnings: list[str]) -> list[tuple[Place, pd.DataFrame]]:
    """Read and check a score table.

    Args:
        path: scores of verification, matching or retrieval, recognised by their columns.
        warnings: what a reader should know is added to these.

    Returns:
        Its parts, one per stratum (verification) or direction (matching), each with its `protocol`, `direction`,
        `stratum` and `seen`.

    Raises:
        RequestError: the file cannot be read, is of no known form, or has a fault, which is named by its row.
    """
    rows = read_rows(path)
    header = [name.strip() for name in rows.fields[0]]
    recalls = [f"recall@{k}" for k in retrieval_protocol().recall_at]
    forms = {"verification": _VERIFICATION, "matching": _MATCHING, "retrieval": (*_RETRIEVAL, *recalls)}
    # The form that has the largest share of its columns is meant: a file that lacks one is told which.
    protocol = max(forms, key=lambda name: len(set(forms[name]) & set(header)) / len(forms[name]))
    for column in forms[protocol]:
        if column not in header:
            raise RequestError(
                f"{path}: column '{column}' is missing; scores of {protocol} have {', '.join(forms[protocol])}"
            )
    twice = [name for place, name in enumerate(header) if name in header[:place]]
    if twice:
        raise RequestError(f"{path}: column '{twice[0]}' stands twice")
    if len(rows.fields) == 1:
        raise RequestError(f"{path}: no trials")
    file = _File(rows, pd.DataFrame(rows.fields[1:], columns=header, dtype=object))
    seen, direction, stratum = _said(path)
    if not seen:
        warnings.append(f"{path}: its name does not say whose scores these are; taken as {UNSEEN}")
    said = {"protocol": protocol, "direction": direction, "stratum": stratum or "U", "seen": seen or UNSEEN}
    if protocol == "verification":
        return _verification(file, said, warnings)
    return _matching(file, said, warnings) if protocol == "matching" else _retrieval(file, said, recalls, warnings)


def _said(path: Path) -> tuple[str, str, str]:
    """Population, direction and stratum in a file's name; empty where it says nothing."""
    if own := _OWN.fullmatch(path.stem):
        seen, rest = own[1], own[2]
        directed = _DIRECTED.fullmatch(rest)
        return (seen, directed[1], directed[2] or "") if directed else (seen, "", rest)
    direction = next((name for name in DIRECTIONS if name in path.stem), "")
    return seen_of(path.name), direction, stratum_of(path.name) or ""


def _verification(file: "_File", said: Place, warnings: list[str]) -> list[tuple[Place, pd.DataFrame]]:
    table = file.table
    file.numbers("score", finite=True)
    file.numbers("label", finite=True)
    file.refuse(~table["label"].isin((0.0, 1.0)), lambda row: f"label '{row['label']:g}' is neither 0 nor 1")
    if set(IDENTITIES) <= set(table.columns):
        empty = (table[list(IDENTITIES)] == "").any(axis=1)
        file.refuse(empty, lambda _: f"one of {', '.join(IDENTITIES)} is empty")
        contrary = (table["voice_identity"] == table["face_identity"]) != (table["label"] == 1.0)
        file.refuse(
            contrary, lambda row: f"label {row['label']:g}, but the identities are {', '.join(row[list(IDENTITIES)])}"
        )
    else:
        warnings.append(f"{file.path}: no columns {', '.join(IDENTITIES)}: there are no intervals and no cllr")
    file.warn_of_duplicates(("voice", "face", "stratum"), warnings)
    strata = table["stratum"] if "stratum" in table.columns else pd.Series(said["stratum"], index=table.index)
    file.refuse(strata == "", lambda _: "the stratum is empty; U asks nothing")
    parts = []
    for name in dict.fromkeys(strata):
        part = table[strata == name].reset_index(drop=True)
        if part["label"].nunique() < 2:
            raise RequestError(f"{file.path}: all trials of stratum {name} are labelled {part['label'].iloc[0]:g}")
        parts.append(({**said, "direction": "", "stratum": name}, part))
    return parts


def _matching(file: "_File", said: Place, warnings: list[str]) -> list[tuple[Place, pd.DataFrame]]:
    table = file.table
    places = [column for column in table.columns if column.startswith("score_")]
    if places != [f"score_{place}" for place in range(1, len(places) + 1)]:
        raise RequestError(f"{file.path}: scores must be in columns score, score_1 ... score_{len(places)}, in order")
    file.numbers("score", finite=True)
    for column in places:
        file.numbers(column, finite=False)
    given = table[places].notna().to_numpy()
    gap = ~given[:, 0] | (given[:, 1:] & ~given[:, :-1]).any(axis=1)
    file.refuse(pd.Series(gap), lambda _: "a score is missing before the last one")
    file.refuse(
        ~table["direction"].isin(DIRECTIONS),
        lambda row: f"direction '{row['direction']}' is none of {', '.join(DIRECTIONS)}",
    )
    candidates = [column for column in table.columns if column.startswith("candidate_")]
    if "target" in table.columns:
        itself = table[candidates].eq(table["target"], axis=0).any(axis=1)
        file.refuse(itself, lambda _: "the target stands among the candidates too; name it once, as target")
    if "identity" in table.columns:
        file.refuse(table["identity"] == "", lambda _: "identity is empty")
    else:
        warnings.append(f"{file.path}: no column identity: there are no intervals")
    file.warn_of_duplicates(("direction", "probe", "target", *candidates), warnings)
    return [
        ({**said, "direction": direction}, table[table["direction"] == direction].reset_index(drop=True))
        for direction in dict.fromkeys(table["direction"])
    ]


def _retrieval(
    file: "_File", said: Place, recalls: Sequence[str], warnings: list[str]
) -> list[tuple[Place, pd.DataFrame]]:
    if not said["direction"]:
        names = " or ".join(f"retrieval-{said['seen']}-{direction}.csv" for direction in DIRECTIONS)
        raise RequestError(f"{file.path}: the name does not say what is searched; call it {names}")
    for column in (*_RETRIEVAL, *recalls):
        file.numbers(column, finite=True)
    table = file.table
    shares = ["average_precision", "tied", *recalls]
    beyond = ((table[shares] < 0) | (table[shares] > 1)).any(axis=1)
    file.refuse(beyond, lambda _: f"one of {', '.join(shares)} lies outside [0, 1]")
    few = (table["n_relevant"] < 1) | (table["n_ranked"] < table["n_relevant"])
    file.refuse(few, lambda row: f"{row['n_relevant']:g} relevant of {row['n_ranked']:g} ranked cannot be")
    if "identity" in table.columns:
        file.refuse(table["identity"] == "", lambda _: "identity is empty")
    else:
        warnings.append(f"{file.path}: no column identity: there are no intervals")
    file.warn_of_duplicates(("query",), warnings)
    return [(said, table)]


class _File:
    """A score table being checked: faults are named by the line that they stand in.

    Args:
        rows: the text.
        table: the same as a table of text, a row for each line behind the header.
    """

    def __init__(self, rows: Rows, table: pd.DataFrame) -> None:
        self.path, self.line, self.table = rows.path, rows.line[1:], table

    def refuse(self, wrong: "pd.Series[bool]", why: Callable[[pd.Series], str]) -> None:
        """Refuse the file where some row is wrong, naming the first.

        Raises:
            RequestError: with what `why` says of that row.
        """
        if wrong.any():
            place = int(wrong.to_numpy().argmax())
            raise RequestError(f"{self.path}, row {self.line[place]}: {why(self.table.iloc[place])}")

    def numbers(self, column: str, *, finite: bool) -> None:
        """Turn a column of text into numbers, NaN where it is empty.

        Raises:
            RequestError: text that is no number, an infinite one, or with `finite` an empty cell.
        """
        text = self.table[column]
        values: npt.NDArray[np.float64] = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64)
        wrong = ~np.isfinite(values) & ((text != "").to_numpy() | finite)
        self.refuse(pd.Series(wrong), lambda row: f"{column} '{row[column]}' is not a finite number")
        self.table[column] = values

    def warn_of_duplicates(self, columns: Sequence[str], warnings: list[str]) -> None:
        """Warn how many rows repeat an earlier one in those of the columns that there are."""
        known = [column for column in columns if column in self.table.columns]
        twice = self.table.duplicated(known) if known else pd.Series(dtype=bool)
        if twice.any():
            first = self.line[int(twice.to_numpy().argmax())]
            warnings.append(f"{self.path}: {int(twice.sum()):,} trials repeat earlier ones, the first in row {first}")
