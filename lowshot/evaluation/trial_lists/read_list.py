"""Reading a trial list of any form, recognised by its content."""

from pathlib import Path

import numpy as np

from lowshot.data.table_text import Rows, read_rows
from lowshot.errors import RequestError
from lowshot.evaluation.protocols.registry import table_protocols
from lowshot.evaluation.trial_lists.listed import TrialList
from lowshot.evaluation.trial_lists.published import parse_published


def read_list(path: Path) -> list[TrialList]:
    """Read a trial list.

    Args:
        path: a list of lowshot's own form, of VoxCeleb1's or of MAV-Celeb's.

    Returns:
        One list per stratum, direction or modality.

    Raises:
        RequestError: the file is unreadable, of no known form, or has a fault; names file and row.
    """
    rows = read_rows(path)
    published = parse_published(rows)
    lists = parse_own(rows) if published is None else [published]
    if not lists:
        forms = "; ".join(", ".join(kind.columns) for kind in _kinds())
        raise RequestError(
            f"{path}, row {rows.line[0]}: no list that is known: neither CSV with a header ({forms}) nor a list of "
            "VoxCeleb1 or MAV-Celeb"
        )
    return lists


def parse_own(rows: Rows) -> list[TrialList]:
    """Read a list of lowshot's own form, by its columns.

    Args:
        rows: the file.

    Returns:
        One list per stratum, direction or modality, in the order in which they appear; empty for another form.

    Raises:
        RequestError: a column is missing, there are no trials, or a protocol finds a fault; names file and row.
    """
    header = [name.strip() for name in rows.fields[0]]
    # The form that shares most columns is meant: a message can say which one is missing.
    kind = max(_kinds(), key=lambda kind: len(set(kind.columns) & set(header)))
    if len(set(kind.columns) & set(header)) < 2:
        return []
    for column in kind.columns:
        if column not in header:
            raise RequestError(f"{rows.path}: column '{column}' is missing; this list needs {', '.join(kind.columns)}")
    twice = [name for place, name in enumerate(header) if name in header[:place]]
    if twice:
        raise RequestError(f"{rows.path}: column '{twice[0]}' stands twice")
    if len(rows.fields) == 1:
        raise RequestError(f"{rows.path}: no trials")
    table = np.array(rows.fields[1:], dtype=object)
    return kind.parse(rows, {name: table[:, place] for place, name in enumerate(header)})


def _kinds() -> list[type[TrialList]]:
    return [kind for protocol in table_protocols() if (kind := protocol.list_kind) is not None]
