"""Groups: parts of a list, such as one gender, measured alone."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from lowshot.data.dataset import Dataset
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.trials import BoolArray

GROUPED_BY = ("gender",)
"""Attributes of the voice, probe or query that score tables have as columns."""


def group_columns(dataset: Dataset, modality: str, rows: IntArray) -> pd.DataFrame:
    """Make the columns that split a score table into groups.

    They are attributes of the voice, the probe or the query.

    Args:
        dataset: with the manifest.
        modality: of those rows.
        rows: [T] row numbers.

    Returns:
        A column for each of `GROUPED_BY` that the manifest has.
    """
    known = [name for name in GROUPED_BY if name in dataset.manifest.columns]
    return dataset.rows(modality)[known].iloc[rows].reset_index(drop=True).apply(lambda column: column.str.strip())


def groups(table: pd.DataFrame, attributes: Sequence[str]) -> Iterator[tuple[str, BoolArray]]:
    """Split a score table.

    Args:
        table: with a column for each attribute that is known.
        attributes: some of `GROUPED_BY`.

    Yields:
        Name and rows of a group: first "" with all rows, then `<attribute>=<value>` for each value. Rows without a
        value are in no group.
    """
    yield "", np.ones(len(table), dtype=bool)
    for attribute in attributes:
        if attribute not in table.columns:
            continue
        values = table[attribute].fillna("").astype(str)
        for value in sorted(set(values) - {""}):
            yield f"{attribute}={value}", (values == value).to_numpy()
