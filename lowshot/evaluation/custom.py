"""Protocols of one's own: functions of the scores of all voices against all faces of a population."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lowshot.data.dataset import Dataset
from lowshot.evaluation.results import Figure
from lowshot.evaluation.scorers import ScoreArray, Scorer, checked_scores
from lowshot.evaluation.trials import Population

# Resamples for intervals where nobody asks for another number, as in protocols/*.yaml.
REPLICATES = 1000


@dataclass(frozen=True, eq=False)
class Gallery:
    """What a protocol of one's own measures.

    Args:
        scores: [n, m] how alike each voice and each face are; equal scores are ties.
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
"""The figures of a gallery. Of scores that are all equal it must give the chance level, and does for rows of chance."""

# By name; lowshot.extend adds them.
MEASURES: dict[str, Measure] = {}


@dataclass(frozen=True, eq=False)
class OwnTrials:
    """One protocol of one's own on one population.

    Args:
        protocol: its name.
        population: the rows that take part: all voices against all faces.
        measure: the protocol.
    """

    protocol: str
    population: Population
    measure: Measure

    @property
    def place(self) -> dict[str, object]:
        """Where its figures stand in results.csv."""
        return {
            "protocol": self.protocol,
            "direction": "",
            "stratum": "U",
            "seen": self.population.seen,
            "n_skipped": 0,
        }

    def figures(self, dataset: Dataset, scorer: Scorer, replicates: int | None, seed: int) -> Sequence[Figure]:
        """The figures of a model."""
        scores = checked_scores(scorer.matrix(self.population.voices, self.population.faces))
        return self.measure(self._gallery(dataset, scores, replicates, seed))

    def chance(self, dataset: Dataset, replicates: int | None, seed: int) -> list[Figure]:
        """The figures of equal scores, without intervals."""
        scores = np.zeros((len(self.population.voices), len(self.population.faces)), dtype=np.float32)
        found = self.measure(self._gallery(dataset, scores, replicates, seed))
        return [replace(figure, interval=None, n_ties=None) for figure in found]

    def _gallery(self, dataset: Dataset, scores: ScoreArray, replicates: int | None, seed: int) -> Gallery:
        voices, faces = (dataset.rows(name).iloc[self.population.rows(name)] for name in ("voice", "face"))
        return Gallery(scores, voices, faces, replicates or REPLICATES, seed)
