"""Count what a dataset offers for each part of the job."""

from dataclasses import dataclass

import pandas as pd

from lowshot.schema import ATTRIBUTES, SPLITS


@dataclass(frozen=True)
class Readiness:
    """Counts of what each part of the job needs.

    Attributes:
        videos: videos for pretraining: with both modalities, of the split train, or of all if no row has a split.
        labelled: identities that adaptation can label: their training videos have both modalities.
        validation, test: identities with a voice and a face in the split.
        seen_heard: clips and images of training identities that have no split.
        attributes: those of gender, nationality and age that any test row has; they make the strata.
        missing_splits: those of train, val and test without rows.
    """

    videos: int
    labelled: int
    validation: int
    test: int
    seen_heard: int
    attributes: tuple[str, ...]
    missing_splits: tuple[str, ...]


def readiness_of(table: pd.DataFrame) -> Readiness:
    """Count what a table offers.

    Args:
        table: rows without faults; any columns of a manifest, as text.
    """
    unsplit = bool((table["split"] == "").all())
    train = table[table["split"] == "train"]
    paired = _with_both(table if unsplit else train, "video")
    known = table[table["identity"] != ""]
    labelled = _with_both(train[train["identity"] != ""], "video")
    held_out = known[(known["split"] == "") & known["identity"].isin(set(train["identity"]))]
    test = known[known["split"] == "test"]
    return Readiness(
        videos=int(paired["video"].nunique()),
        labelled=int(labelled["identity"].nunique()),
        validation=_people(known[known["split"] == "val"]),
        test=_people(test),
        seen_heard=len(held_out),
        attributes=tuple(name for name in ATTRIBUTES if name in test and (test[name].str.strip() != "").any()),
        missing_splits=tuple(split for split in SPLITS if split and not (table["split"] == split).any()),
    )


def _with_both(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the rows whose value of `column` has voices and faces."""
    places = rows[[column, "modality"]].drop_duplicates()
    return rows[rows[column].isin(places.loc[places[column].duplicated(), column])]


def _people(rows: pd.DataFrame) -> int:
    return int(_with_both(rows, "identity")["identity"].nunique())
