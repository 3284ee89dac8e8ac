"""Decoded media by number, kept in memory while they fit."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from lowshot.data.dataset import Dataset
from lowshot.data.face import read_face
from lowshot.data.media_inputs import MediaInputs
from lowshot.data.voice import LogMel, read_waveform
from lowshot.settings import FaceConfig, VoiceConfig

CACHE_BYTES = 4 << 30

T = TypeVar("T")


class MediaReader(MediaInputs):
    """Reads and decodes the media of a dataset; what was decoded stays in memory up to a limit.

    What comes back for a number never depends on the cache. Safe to use from several threads.

    Args:
        dataset: where the media lie.
        voice, face: how they are decoded.
        cache_bytes: how much decoded media to keep; media beyond it are decoded anew each time.
    """

    def __init__(self, dataset: Dataset, voice: VoiceConfig, face: FaceConfig, cache_bytes: int = CACHE_BYTES) -> None:
        self.dataset = dataset
        self.face_config = face
        self.log_mel = LogMel(voice)
        self.cache_bytes = cache_bytes
        self._kept = 0
        self._voices: dict[int, tuple[np.ndarray, float]] = {}
        self._faces: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="lowshot-decode")

    def voice(self, index: int) -> tuple[np.ndarray, float]:
        """Spectrogram [mel_bands, frames] of voice `index`, and what it is padded with, as `LogMel` gives them."""
        found = self._voices.get(index)
        if found is None:
            found = self.log_mel(read_waveform(self.dataset.path("voice", index)))
            self._keep(self._voices, index, found, found[0].nbytes)
        return found

    def face(self, index: int) -> np.ndarray:
        """Image of face `index`, uint8 [3, side, side], as `read_face` gives it."""
        found = self._faces.get(index)
        if found is None:
            found = read_face(self.dataset.path("face", index), self.face_config)
            self._keep(self._faces, index, found, found.nbytes)
        return found

    def voices(self, indices: Iterable[int]) -> list[tuple[np.ndarray, float]]:
        """Several voices, decoded in parallel, in the order asked for."""
        return self._many(self.voice, self._voices, indices)

    def faces(self, indices: Iterable[int]) -> list[np.ndarray]:
        """Several faces, decoded in parallel, in the order asked for."""
        return self._many(self.face, self._faces, indices)

    def _many(self, read: Callable[[int], T], kept: dict[int, T], indices: Iterable[int]) -> list[T]:
        wanted = [int(index) for index in indices]
        # Handing a dictionary look-up to a thread costs more than the look-up.
        missing = [index for index in dict.fromkeys(wanted) if index not in kept]
        decoded = dict(zip(missing, self._pool.map(read, missing), strict=True))
        return [decoded[index] if index in decoded else read(index) for index in wanted]

    def _keep(self, kept: dict[int, T], index: int, value: T, size: int) -> None:
        with self._lock:
            if index not in kept and self._kept + size <= self.cache_bytes:
                kept[index] = value
                self._kept += size
