"""Reading a trial list of any form, recognised by what is in it."""

from pathlib import Path

from lowshot.data.table_text import read_rows
from lowshot.errors import RequestError
from lowshot.evaluation.trial_files import parse_own
from lowshot.evaluation.trial_lists.listed import TrialList
from lowshot.evaluation.trial_lists.published import parse_published


def read_list(path: Path) -> list[TrialList]:
    """Read a trial list.

    Args:
        path: a list of our own form, of VoxCeleb1's or of MAV-Celeb's.

    Returns:
        One list per stratum, direction or modality in it.

    Raises:
        RequestError: the file is unreadable, of no known form, or has a fault; names file and row.
    """
    rows = read_rows(path)
    published = parse_published(rows)
    lists = parse_own(rows) if published is None else [published]
    if not lists:
        raise RequestError(
            f"{path}, row {rows.line[0]}: no list that is known: neither CSV with a header (voice, face, label; "
            "direction, probe, target, candidate_1; modality, path, identity) nor a list of VoxCeleb1 or MAV-Celeb"
        )
    return lists
