"""Checks of lists that are joined to a dataset."""

from collections.abc import Sequence

import numpy as np

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.trial_lists.listed import OWN_FORM, Names, TrialList, duplicated
from lowshot.evaluation.trials import BoolArray
from lowshot.schema import MIXED, SEEN, UNSEEN, VALIDATION


def seen_of_rows(listed: TrialList, rows: Sequence[IntArray], dataset: Dataset) -> str:
    """Return a list's population by its name, else by the manifest."""
    if listed.seen:
        return listed.seen
    table = dataset.manifest
    trained = set(table.loc[table["split"] == "train", "identity"]) - {""}
    people: set[str] = set()
    splits: set[str] = set()
    for (modality, _), column in zip(listed.media(), rows, strict=True):
        used = dataset.rows(modality).iloc[np.unique(column[column >= 0])]
        people |= set(used["identity"])
        splits |= set(used["split"])
    if people & trained:
        return SEEN if people <= trained else MIXED
    return VALIDATION if splits == {"val"} else UNSEEN


def known_identities(listed: TrialList, rows: Sequence[IntArray], dataset: Dataset) -> list[Names]:
    """Return the identities of each column: [T], "" without a medium.

    Raises:
        RequestError: a medium without identity.
    """
    return [_identities(listed, dataset, modality, r) for (modality, _), r in zip(listed.media(), rows, strict=True)]


def _identities(listed: TrialList, dataset: Dataset, modality: str, rows: IntArray) -> Names:
    identity = np.append(dataset.rows(modality)["identity"].to_numpy(dtype=object), "")[rows]
    unknown = (identity == "") & (rows >= 0)
    if unknown.any():
        trial = int(unknown.argmax())
        row = dataset.rows(modality)["path"].iloc[rows[trial]]
        raise RequestError(
            f"{listed.place(trial)}: {modality} '{row}' has no identity in {dataset.name}; intervals need it"
        )
    return identity


def check_duplicates(listed: TrialList, rows: Sequence[IntArray]) -> None:
    """Refuse repeated trials in a list of lowshot's own form."""
    twice = duplicated(*rows)
    # Published lists are scored as they are; the audit counts repeated trials.
    if listed.form == OWN_FORM and twice.any():
        raise RequestError(
            f"{listed.place(int(twice.argmax()))}: this trial stands in the list already ({int(twice.sum()):,} such "
            "rows); name each once"
        )


def same_video_of(dataset: Dataset, modality: str, rows: IntArray, others: IntArray) -> BoolArray:
    """Mark rows of the same video as rows of the other modality: [T]."""
    other = "face" if modality == "voice" else "voice"
    same: BoolArray = np.asarray(
        dataset.rows(modality)["video"].to_numpy()[rows] == dataset.rows(other)["video"].to_numpy()[others], dtype=bool
    )
    return same
