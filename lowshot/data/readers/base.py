"""What training and evaluation ask of a dataset's rows, whether they are media or vectors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from lowshot.data.dataset import Dataset
from lowshot.data.features import ColumnStatistics
from lowshot.settings import AugmentConfig, EvaluateConfig, FaceConfig, VoiceConfig


@dataclass(frozen=True)
class Sampling:
    """How training samples are made of rows."""

    voice: VoiceConfig
    face: FaceConfig
    augment: AugmentConfig


@dataclass(frozen=True)
class Views:
    """What a tower is shown of some rows at evaluation.

    Attributes:
        count: inputs in all.
        make: any part of them, as a batch for the tower.
        owner: whose look each input is, as a place among the rows, int64 [count]; the mean direction of a row's looks
            is its embedding. None where each row is looked at once, in order.
    """

    count: int
    make: Callable[[slice], Tensor]
    owner: Tensor | None = None


class Reader(Protocol):
    """The rows of a dataset as inputs of towers. Safe to use from several threads.

    Attributes:
        dataset: whose rows they are.
    """

    dataset: Dataset

    @property
    def statistics(self) -> Mapping[str, ColumnStatistics] | None:
        """By modality, what the towers are to standardise their inputs by; None for media, which need none."""
        ...

    def for_worker(self, workers: int) -> "Reader":
        """A reader of the same rows for one of several worker processes, with its share of the memory."""
        ...

    def samples(
        self, voices: Sequence[int], faces: Sequence[int], uniforms: np.ndarray, sampling: Sampling
    ) -> tuple[Tensor, Tensor]:
        """Augmented training samples.

        Args:
            voices, faces: row numbers, B each.
            uniforms: those of each sample, [B, UNIFORMS], as `sample_uniforms` gives them; nothing else is drawn by.
            sampling: how samples are made.

        Returns:
            Inputs of the voice tower and of the face tower, [B, ...] each, float32.
        """
        ...

    def views(
        self, modality: str, rows: np.ndarray, voice: VoiceConfig, face: FaceConfig, settings: EvaluateConfig
    ) -> Views:
        """Inputs without augmentation.

        Args:
            modality: `voice` or `face`.
            rows: row numbers.
            voice, face: the input the towers are made for.
            settings: how often each medium is looked at.
        """
        ...
