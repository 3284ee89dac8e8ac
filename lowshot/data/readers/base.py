"""The interface of readers: rows of a dataset, media or vectors, as inputs of towers."""

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
    """Settings of training samples."""

    voice: VoiceConfig
    face: FaceConfig
    augment: AugmentConfig


@dataclass(frozen=True)
class Views:
    """Inputs of a tower for some rows at evaluation: one or more views of each.

    Attributes:
        count: number of views.
        make: makes a batch of some of them.
        owner: place of each view's row among the rows, int64 [count]. The embedding of a row is the mean direction of
            its views. None if each row has one view, in order.
    """

    count: int
    make: Callable[[slice], Tensor]
    owner: Tensor | None = None


class Reader(Protocol):
    """The rows of a dataset as inputs of towers. Several threads may use it.

    Attributes:
        dataset: dataset of the rows.
    """

    dataset: Dataset

    @property
    def statistics(self) -> Mapping[str, ColumnStatistics] | None:
        """Statistics by modality for towers to standardise their inputs; None for media."""
        ...

    def for_worker(self, workers: int) -> "Reader":
        """Return a reader of the same rows for one of several worker processes, with its share of the memory."""
        ...

    def samples(
        self, voices: Sequence[int], faces: Sequence[int], uniforms: np.ndarray, sampling: Sampling
    ) -> tuple[Tensor, Tensor]:
        """Make augmented training samples.

        Args:
            voices, faces: row numbers, B each.
            uniforms: random numbers of each sample, [B, UNIFORMS], of `sample_uniforms`. They decide every choice.
            sampling: settings of samples.

        Returns:
            Inputs of the voice tower and of the face tower, [B, ...] each, float32.
        """
        ...

    def views(
        self, modality: str, rows: np.ndarray, voice: VoiceConfig, face: FaceConfig, settings: EvaluateConfig
    ) -> Views:
        """Make views of rows, without augmentation.

        Args:
            modality: `voice` or `face`.
            rows: row numbers.
            voice, face: inputs of the towers.
            settings: number of views of each row.
        """
        ...
