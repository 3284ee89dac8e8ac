"""Groups: the parts of a list whose figures stand beside those of all of it, so that unfairness shows."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from lowshot.data.dataset import Dataset
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.trials import BoolArray

GROUPED_BY = ("gender",)
"""Attributes that score tables carry: of the voice in verification, the probe in matching, the query in retrieval."""


def group_columns(dataset: Dataset, modality: str, rows: IntArray) -> pd.DataFrame:
    """The columns that a score table is parted by: attributes of the voice, the probe or the query of each trial.

    Args:
        dataset: whose rows are named.
        modality: of those rows.
        rows: [T] row numbers.

    Returns:
        A column for each of `GROUPED_BY` that the manifest has.
    """
    known = [name for name in GROUPED_BY if name in dataset.manifest.columns]
    return dataset.rows(modality)[known].iloc[rows].reset_index(drop=True).apply(lambda column: column.str.strip())


def groups(table: pd.DataFrame, attributes: Sequence[str]) -> Iterator[tuple[str, BoolArray]]:
    """Part a score table.

    Args:
        table: with a column for each attribute that is known.
        attributes: some of `GROUPED_BY`.

    Yields:
        The name of a group and which rows are its own: "" and all of them first, then `<attribute>=<value>` for each
        value. Rows whose value is empty are in no group.
    """
    yield "", np.ones(len(table), dtype=bool)
    for attribute in attributes:
        if attribute not in table.columns:
            continue
        values = table[attribute].fillna("").astype(str)
        for value in sorted(set(values) - {""}):
            yield f"{attribute}={value}", (values == value).to_numpy()
