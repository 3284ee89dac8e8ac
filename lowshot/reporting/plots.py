"""Every picture of a report, in the order of the page."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lowshot.reporting import style, tables
from lowshot.reporting.drawing import Missing, Picture
from lowshot.reporting.score_plots import label_fraction, matching, roc, strata
from lowshot.reporting.training_plots import training


def draw(results: pd.DataFrame, directory: Path, curves: Mapping[str, Path]) -> list[Picture | Missing]:
    """Draw every picture that the material allows.

    Args:
        results: as `tables.check` returns it.
        directory: where `scores/` lies, if anywhere.
        curves: name of a training run -> its metrics.csv.

    Returns:
        Pictures and reasons for missing ones, in the order of the page. Nothing is written.

    Raises:
        RequestError: a score file or a metrics.csv is malformed.
    """
    import matplotlib as mpl

    with mpl.rc_context(style.rc()):
        return [
            roc(results, directory),
            label_fraction(results),
            *(matching(results, direction) for direction in tables.DIRECTIONS),
            strata(results),
            *training(curves),
        ]
