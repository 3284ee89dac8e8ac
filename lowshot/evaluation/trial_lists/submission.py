"""Lists with hidden labels: joined to a dataset, scored and written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.scorers import ScoreArray
from lowshot.evaluation.trial_lists.listed import HiddenList, TrialList
from lowshot.files import write_text


@dataclass(frozen=True, eq=False)
class HiddenTrials:
    """Pairs with hidden labels: they have scores and no figures.

    Args:
        name: of the list; the file of its scores has it too.
        key: [T] names that the challenge gives to the trials.
        voice, face: [T] row numbers.
        skipped: number of trials that name media which the dataset lacks.
    """

    name: str
    key: npt.NDArray[np.object_]
    voice: IntArray
    face: IntArray
    skipped: int = 0


def join_hidden(listed: TrialList, rows: Sequence[IntArray], skipped: int) -> HiddenTrials:
    """Make trials of a list with hidden labels, named after the file."""
    assert isinstance(listed, HiddenList)
    return HiddenTrials(listed.path.stem, listed.key, rows[0], rows[1], skipped)


def submission(trials: HiddenTrials, cosines: ScoreArray) -> pd.DataFrame:
    """Make the table of a submission: `key` and `distance` of each trial.

    The distance is the Euclidean one of two unit embeddings, in [0, 2]; smaller means more alike. The FAME challenge
    asks for it. It ranks trials as the cosine does, in reverse.

    Args:
        trials: T trials.
        cosines: [T] of their embeddings.
    """
    squared = 2.0 - 2.0 * np.asarray(cosines, dtype=np.float64)
    return pd.DataFrame({"key": trials.key, "distance": np.sqrt(np.maximum(squared, 0.0))})


def write_submissions(folder: Path, submissions: Mapping[str, pd.DataFrame]) -> None:
    """Write `folder`/<list>.txt with `<key> <distance>`, each atomically."""
    for name, table in submissions.items():
        lines = [f"{key} {distance:.6f}\n" for key, distance in zip(table["key"], table["distance"], strict=True)]
        write_text(folder / f"{name}.txt", "".join(lines))
