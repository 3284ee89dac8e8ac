"""Vectors by row number, from the disk to the towers."""

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

# Of a sample's uniforms, those that its noise is drawn by.
_NOISE_UNIFORMS = slice(3, 5)
# Uniform draws are multiples of this part.
_STEPS = 2.0**53
# Rows that are looked at at once.
_CHECKED_ROWS = 2**14


class FeatureReader:
    """The vectors of a dataset, memory-mapped: of all rows, only those of a batch are ever copied.

    Args:
        dataset: with features.safetensors.
        widths: columns of the vectors that the towers take, by modality; None for towers that are still to be made.

    Raises:
        RequestError: the vectors are no floats, break a rule of `Dataset.features`, or have other widths; or one is
            zero throughout, as an encoder leaves what it could not read.
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
                    f"{what} has {vectors.shape[1]} columns, and the model takes {widths[modality]}; give it vectors "
                    "of the encoder that it was trained on"
                )
            self._refuse_zeros(modality, vectors)

    def _refuse_zeros(self, modality: str, vectors: np.ndarray) -> None:
        for start in range(0, len(vectors), _CHECKED_ROWS):
            filled = vectors[start : start + _CHECKED_ROWS].any(axis=1)
            if not filled.all():
                raise self.dataset.bad_vector(modality, start + int(filled.argmin()), "is zero throughout")

    def __getstate__(self) -> dict[str, object]:
        """All but the vectors: a memory map would travel to a worker process as a copy."""
        return {name: value for name, value in self.__dict__.items() if name != "_vectors"}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Map the vectors again; they were checked when they were first opened."""
        self.__dict__.update(state)
        self._vectors = map_features(self.dataset.root / FEATURES)

    def for_worker(self, workers: int) -> "FeatureReader":
        """The reader itself: vectors are mapped once for all processes."""
        return self

    @cached_property
    def statistics(self) -> dict[str, ColumnStatistics]:
        """Mean and spread of each column over the rows of the training split, by modality; of no other rows.

        Raises:
            RequestError: there are no such rows, or a modality says nothing because no column varies.
        """
        found = {}
        for modality, rows in self.dataset.training_rows().items():
            if not len(rows):
                raise RequestError(
                    f"{self.dataset.manifest_path}: no {modality} row is of split 'train', which vectors are "
                    "standardised by; check the column split"
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
        """Vectors [B, d_v] and [B, d_f] with noise and dropped columns; see `Reader.samples`.

        Each sample has a generator of its own, keyed by two of its uniforms: as many numbers as its columns need, which
        depend on (seed, step, position) alone.
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
        """Each vector once, as it is."""
        return Views(len(rows), lambda part: torch.from_numpy(self._rows(modality, rows[part])))

    def _rows(self, modality: str, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        return np.asarray(self._vectors[modality][np.asarray(rows)]).astype(np.float32, copy=False)


def augment_vectors(
    vectors: np.ndarray,
    statistics: ColumnStatistics,
    generators: Sequence[np.random.Generator],
    config: AugmentConfig,
) -> np.ndarray:
    """Gaussian noise on every column, then columns put to their mean at random.

    Args:
        vectors: float32 [B, d].
        statistics: of their columns; noise is in units of the standard deviation, so that constant columns have none.
        generators: one for each vector, B of them, which go on by what is drawn.
        config: how strong; what is turned off draws nothing.

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
