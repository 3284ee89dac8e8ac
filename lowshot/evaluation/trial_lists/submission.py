"""Scores of lists whose labels a challenge keeps, in the form in which it takes them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from lowshot.evaluation.scorers import ScoreArray
from lowshot.evaluation.trials import HiddenTrials
from lowshot.files import write_text


def submission(trials: HiddenTrials, cosines: ScoreArray) -> pd.DataFrame:
    """One row per trial: `key`, and `distance`, the Euclidean distance of the two unit embeddings.

    The distance lies in [0, 2], and a smaller one means more alike: the FAME challenge asks for it. It orders trials as
    the cosine does, backwards.

    Args:
        trials: T trials.
        cosines: [T] of their embeddings.
    """
    squared = 2.0 - 2.0 * np.asarray(cosines, dtype=np.float64)
    return pd.DataFrame({"key": trials.key, "distance": np.sqrt(np.maximum(squared, 0.0))})


def write_submissions(folder: Path, submissions: Mapping[str, pd.DataFrame]) -> None:
    """Write `folder`/<list>.txt, each atomically: `<key> <distance>`, separated by a blank, as FAME takes them."""
    for name, table in submissions.items():
        lines = [f"{key} {distance:.6f}\n" for key, distance in zip(table["key"], table["distance"], strict=True)]
        write_text(folder / f"{name}.txt", "".join(lines))
