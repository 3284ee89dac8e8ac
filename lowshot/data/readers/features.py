"""Read vectors by row number, from the disk to the towers."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch

from lowshot.data.dataset import Dataset
from lowshot.data.features import ColumnStatistics, column_statistics, map_features
from lowshot.data.readers.base import Sampling, Views
from lowshot.errors import RequestError
from lowshot.schema import FEATURES, MODALITIES
from lowshot.settings import AugmentConfig, EvaluateConfig, FaceConfig, VoiceConfig

# The random numbers of a sample that key its noise.
_NOISE_UNIFORMS = slice(3, 5)
# Random numbers are multiples of 1 / _STEPS.
_STEPS = 2.0**53
# Rows checked at a time.
_CHECKED_ROWS = 2**14


class FeatureReader:
    """The vectors of a dataset, memory-mapped: only rows of a batch are copied.

    Args:
        dataset: with features.safetensors.
        widths: numbers of columns that the towers take, by modality; None if the towers are still to be made.

    Raises:
        RequestError: the vectors are not floats, break a rule of `Dataset.features`, or have other widths; or one is
            all zeros, which encoders leave for files that they could not read.
    """

    def __init__(self, dataset: Dataset, widths: Mapping[str, int] | None = None) -> None:
        self.dataset = dataset
        self._vectors = dataset.features
        for modality in MODALITIES:
            vectors = self._vectors[modality]
            what = f"{dataset.root / FEATURES}: tensor '{modality}'"
            if vectors.dtype.kind != "f":
                raise RequestError(f"{what} is of type {vectors.dtype}; write it as float32 or float16")
            if not vectors.shape[1]:
                raise RequestError(f"{what} has no columns")
            if widths and vectors.shape[1] != widths[modality]:
                raise RequestError(
                    f"{what} has {vectors.shape[1]} columns, and the model takes {widths[modality]}; use the "
                    "encoder that it was trained on"
                )
            self._refuse_zeros(modality, vectors)

    def _refuse_zeros(self, modality: str, vectors: np.ndarray) -> None:
        for start in range(0, len(vectors), _CHECKED_ROWS):
            filled = vectors[start : start + _CHECKED_ROWS].any(axis=1)
            if not filled.all():
                raise self.dataset.bad_vector(modality, start + int(filled.argmin()), "is all zeros")

    def __getstate__(self) -> dict[str, object]:
        """Leave out the vectors: a memory map would travel to a worker process as a copy."""
        return {name: value for name, value in self.__dict__.items() if name != "_vectors"}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Map the vectors again. They were checked when they were first opened."""
        self.__dict__.update(state)
        self._vectors = map_features(self.dataset.root / FEATURES)

    def for_worker(self, workers: int) -> "FeatureReader":
        """Return the reader itself: all processes share one mapping."""
        return self

    @cached_property
    def statistics(self) -> dict[str, ColumnStatistics]:
        """Statistics of each column over the rows of the training split alone, by modality.

        Raises:
            RequestError: there are no such rows, or all of a modality are equal.
        """
        found = {}
        for modality, rows in self.dataset.training_rows().items():
            if not len(rows):
                raise RequestError(
                    f"{self.dataset.manifest_path}: no {modality} row has split 'train', which standardises the "
                    "vectors; check the column split"
                )
            found[modality] = column_statistics(self._vectors[modality], rows)
            if not found[modality].std.any():
                raise RequestError(
                    f"{self.dataset.root / FEATURES}: all {len(rows)} training rows of '{modality}' are equal; "
                    "there is nothing to learn from"
                )
        return found

    def samples(
        self, voices: Sequence[int], faces: Sequence[int], uniforms: np.ndarray, sampling: Sampling
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Make vectors [B, d_v] and [B, d_f] with noise and dropped columns; see `Reader.samples`.

        Each sample has its own generator, keyed by two of its random numbers, so that its noise depends on
        (seed, step, position) alone.
        """
        keys = (uniforms[:, _NOISE_UNIFORMS] * _STEPS).astype(np.uint64)
        generators = [np.random.Generator(np.random.Philox(key=key)) for key in keys]
        voice, face = (
            augment_vectors(self._rows(modality, rows), self.statistics[modality], generators, sampling.augment)
            for modality, rows in (("voice", voices), ("face", faces))
        )
        return torch.from_numpy(voice), torch.from_numpy(face)

    def views(
        self, modality: str, rows: np.ndarray, voice: VoiceConfig, face: FaceConfig, settings: EvaluateConfig
    ) -> Views:
        """Make one view of each vector: the vector itself."""
        return Views(len(rows), lambda part: torch.from_numpy(self._rows(modality, rows[part])))

    def _rows(self, modality: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        return np.asarray(self._vectors[modality][np.asarray(rows)]).astype(np.float32, copy=False)


def augment_vectors(
    vectors: np.ndarray,
    statistics: ColumnStatistics,
    generators: Sequence[np.random.Generator],
    config: AugmentConfig,
) -> np.ndarray:
    """Add Gaussian noise to every column, and set random columns to their mean.

    Args:
        vectors: float32 [B, d].
        statistics: of their columns. Noise is in units of the standard deviation, so that constant columns get none.
        generators: one for each vector, [B]; sampling advances them.
        config: strength of each change. A change that is off takes no random numbers.

    Returns:
        float32 [B, d].
    """
    if config.feature_noise:
        noise = np.stack([each.standard_normal(vectors.shape[1], dtype=np.float32) for each in generators])
        vectors = vectors + np.float32(config.feature_noise) * statistics.std * noise
    if config.feature_dropout:
        drawn = np.stack([each.random(vectors.shape[1], dtype=np.float32) for each in generators])
        vectors = np.where(drawn < config.feature_dropout, statistics.mean, vectors)
    return vectors
