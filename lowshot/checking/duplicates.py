"""Find the same content in several rows: of one identity, of several, and in several splits."""

from collections.abc import Iterator, Mapping

import pandas as pd

from lowshot.checking.issues import Issue
from lowshot.checking.table import held_out_part, listed
from lowshot.schema import SPLITS


def check_duplicates(table: pd.DataFrame, digests: Mapping[int, bytes]) -> list[Issue]:
    """Find rows of one modality that hold the same bytes.

    Args:
        table: the manifest's rows, their numbers as index.
        digests: hash of the content by row number. Rows without one are ignored.

    Returns:
        One issue for each content of several rows.
    """
    rows = table.loc[list(digests)]
    rows = rows.assign(content=pd.factorize(pd.Series(list(digests.values()), dtype=object))[0])
    rows = rows[rows.duplicated(["modality", "content"], keep=False) & rows["split"].isin(SPLITS)].sort_index()
    return [issue for _, same in rows.groupby(["modality", "content"], sort=False) for issue in _of_content(same)]


def _of_content(same: pd.DataFrame) -> Iterator[Issue]:
    where = f"{len(same)} rows: {listed(same['path'])}" if same["path"].iloc[0] else f"{len(same)} rows"
    path = str(same["path"].iloc[0])
    identities = sorted(set(same["identity"]) - {""})
    if len(identities) > 1:
        # Its identity is unknown.
        yield Issue("duplicate-identities", f"{where}; of {listed(identities)}", tuple(same.index), path)
    elif same["split"].nunique() > 1:
        # The table's check reports one path in several splits.
        if same["path"].nunique() > 1 or not path:
            kept = held_out_part(same)
            splits = ", ".join(split or "(empty)" for split in same["split"].unique())
            detail = f"{where}; in {splits}; a clean manifest keeps {kept or '(empty)'}"
            yield Issue("duplicate-splits", detail, tuple(same.index[same["split"] != kept]), path)
    elif len(same) > 1:
        yield Issue("duplicate", where, path=path)
