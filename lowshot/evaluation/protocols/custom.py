"""The easy way to a protocol of your own: a function of the scores of all voices against all faces."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from lowshot.data.dataset import Dataset
from lowshot.evaluation.protocols.base import Measured, Protocol, Request, Trials
from lowshot.evaluation.results import Figure
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.scorers import ScoreArray, Scorer, checked_scores
from lowshot.evaluation.trials import Population

# As protocols/*.yaml have it.
REPLICATES = 1000


@dataclass(frozen=True, eq=False)
class Gallery:
    """What the function of a protocol gets.

    Args:
        scores: [n, m] similarity of each voice and each face; equal scores are ties.
        voices: [n] rows of the manifest, with `identity`, `video` and any further columns.
        faces: [m] the same.
        replicates, seed: of resamples, for intervals.
    """

    scores: ScoreArray
    voices: pd.DataFrame
    faces: pd.DataFrame
    replicates: int
    seed: int


Measure = Callable[[Gallery], Sequence[Figure]]
"""Figures of a gallery. It must give the chance level if all scores are equal: rows of chance come from it."""


@dataclass(frozen=True, eq=False)
class GalleryTrials(Trials):
    """All voices of a population against all its faces."""

    direction, stratum, skipped = "", "U", 0

    population: Population

    @property
    def seen(self) -> str:  # type: ignore[override]
        """Whose trials they are."""
        return self.population.seen

    def rows(self, modality: str) -> IntArray:
        return self.population.rows(modality)


class GalleryProtocol(Protocol[GalleryTrials]):
    """A protocol that is one function.

    Args:
        name: what the command line and results.csv call it.
        function: gives the figures.
    """

    def __init__(self, name: str, function: Measure) -> None:
        self.name = name
        self.summary = (inspect.getdoc(function) or "a protocol of your own").partition("\n")[0]
        self._function = function

    def build(self, request: Request) -> list[GalleryTrials]:
        return [GalleryTrials(request.population)]

    def measure(
        self, lists: Sequence[GalleryTrials], scorer: Scorer, dataset: Dataset, replicates: int | None, seed: int
    ) -> list[Measured]:
        measured = []
        for trials in lists:
            scores = checked_scores(scorer.matrix(trials.rows("voice"), trials.rows("face")))
            measured.append(Measured(list(self._figures(trials, dataset, scores, replicates or REPLICATES, seed))))
        return measured

    def chance(self, trials: GalleryTrials, dataset: Dataset) -> list[Figure]:
        """Figures of equal scores, without intervals."""
        scores = np.zeros((len(trials.rows("voice")), len(trials.rows("face"))), dtype=np.float32)
        found = self._figures(trials, dataset, scores, REPLICATES, 0)
        return [replace(figure, interval=None, n_ties=None) for figure in found]

    def record(self) -> dict[str, Any]:
        """The name and the source of the function: figures of another function are not the same."""
        try:
            source = inspect.getsource(self._function)
        except (OSError, TypeError):
            source = repr(self._function)
        return {"name": self.name, "source": source}

    def _figures(
        self, trials: GalleryTrials, dataset: Dataset, scores: ScoreArray, replicates: int, seed: int
    ) -> Sequence[Figure]:
        voices, faces = (dataset.rows(name).iloc[trials.rows(name)] for name in ("voice", "face"))
        return self._function(Gallery(scores, voices, faces, replicates, seed))
