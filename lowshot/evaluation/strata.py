"""Strata: rows that share gender, nationality or age group."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lowshot.data.dataset import Dataset
from lowshot.evaluation.sampling import IntArray
from lowshot.schema import MODALITIES


def missing_attributes(dataset: Dataset, attributes: Sequence[str]) -> list[str]:
    """List the attributes without a column in the manifest."""
    return [attribute for attribute in attributes if attribute not in dataset.manifest.columns]


def age_group(age: str, bounds: Sequence[float]) -> str:
    """Name the group of an age.

    The bounds (30, 45, 60) give the groups <30, 30-44, 45-59 and 60+.

    Args:
        age: years as text; other text is already a group's name; empty or nan: unknown.
        bounds: rising lower bounds of all groups but the first, in years.

    Returns:
        A name, empty when the age is unknown.
    """
    text = age.strip()
    try:
        years = float(text)
    except ValueError:
        return text
    if not np.isfinite(years):
        return ""
    above = int(np.searchsorted(bounds, years, side="right"))
    if above == 0:
        return f"<{bounds[0]:g}"
    return f"{bounds[-1]:g}+" if above == len(bounds) else f"{bounds[above - 1]:g}-{bounds[above] - 1:g}"


def attribute_groups(dataset: Dataset, attributes: Sequence[str], age_bounds: Sequence[float]) -> dict[str, IntArray]:
    """Code each row's values of the attributes, by modality.

    A code is -1 if a value is unknown, and 0 without attributes.
    """
    columns = {}
    for modality in MODALITIES:
        frame = dataset.rows(modality)
        values = pd.DataFrame({a: frame[a].str.strip() for a in attributes}, index=frame.index)
        if "age" in attributes:
            values["age"] = values["age"].map(lambda age: age_group(age, age_bounds))
        columns[modality] = values
    if not attributes:
        return {modality: np.zeros(len(values), dtype=np.int64) for modality, values in columns.items()}
    together = pd.concat(list(columns.values()), ignore_index=True)
    codes: IntArray = np.array(together.groupby(list(attributes), sort=True).ngroup(), dtype=np.int64)
    codes[(together == "").any(axis=1).to_numpy()] = -1
    split = len(columns["voice"])
    return {"voice": codes[:split], "face": codes[split:]}


def lacks_column(dataset: Dataset, attributes: Sequence[str], name: str, warnings: list[str]) -> bool:
    """Tell if the manifest lacks a stratum's column; warn if so.

    Args:
        dataset: with the manifest.
        attributes: columns that are needed.
        name: name of the list, such as `verification G unseen-unheard`.
        warnings: takes the warning.
    """
    missing = missing_attributes(dataset, attributes)
    if missing:
        warnings.append(f"skipped {name}: the manifest has no column '{missing[0]}'")
    return bool(missing)


def has_trials(
    kept: int, unmatched: int, same_video: int, name: str, noun: str, needs: str, warnings: list[str]
) -> bool:
    """Tell if a list has any trials; warn of skipped probes.

    Args:
        kept: number of probes with a trial.
        unmatched: number of probes without one.
        same_video: number of positives of the probe's own video.
        name: name of the list, such as `verification G unseen-unheard`.
        noun: plural name of a probe, such as `voice clips`.
        needs: what probes without a trial have, such as `no matching face or no impostor`.
        warnings: takes the warnings.
    """
    if not kept:
        warnings.append(f"skipped {name}: all {noun} have {needs}")
        return False
    if unmatched:
        warnings.append(f"skipped {unmatched:,} of {kept + unmatched:,} {noun} in {name}: they have {needs}")
    if same_video:
        warnings.append(f"{name}: {same_video:,} of {kept:,} positives are of one video; their person has no other")
    return True
