"""Read and decode media by number; keep them in memory as long as they fit."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from lowshot.data.dataset import Dataset
from lowshot.data.face import read_face
from lowshot.data.media_inputs import MediaInputs
from lowshot.data.packing.pack import Pack
from lowshot.data.voice import LogMel, read_clip
from lowshot.settings import FaceConfig, VoiceConfig

CACHE_BYTES = 4 << 30

T = TypeVar("T")


class Decoder:
    """Decodes media files for readers and packs.

    Args:
        voice, face: settings of decoding.
    """

    def __init__(self, voice: VoiceConfig, face: FaceConfig) -> None:
        self.voice_config = voice
        self.face_config = face
        self.log_mel = LogMel(voice)

    def voice(self, path: Path) -> tuple[np.ndarray, float]:
        """Decode a file: the spectrogram [mel_bands, frames] and its padding value, as `LogMel` returns them."""
        return self.log_mel(read_clip(path, self.voice_config))

    def face(self, path: Path, content: bytes | None = None) -> np.ndarray:
        """Decode a file, or its bytes if they are at hand: an image, as `read_face` returns it."""
        return read_face(path, self.face_config, content)


class MediaReader(MediaInputs):
    """Reads and decodes the media of a dataset; decoded media stay in memory up to a limit.

    Neither the cache nor a pack changes what a number gives. Several threads may use it.

    Args:
        dataset: dataset of media.
        voice, face: settings of decoding.
        cache_bytes: how much decoded media to keep, bytes. Others are decoded anew each time.

    Raises:
        RequestError: the dataset is a pack of other settings; see `Pack`.
    """

    def __init__(self, dataset: Dataset, voice: VoiceConfig, face: FaceConfig, cache_bytes: int = CACHE_BYTES) -> None:
        self.dataset = dataset
        self.voice_config = voice
        self.face_config = face
        self.pack = Pack(dataset.root, dataset.manifest, voice, face) if dataset.has_pack else None
        self.decoder = Decoder(voice, face)
        self.cache_bytes = cache_bytes
        self._kept = 0
        self._voices: dict[int, tuple[np.ndarray, float]] = {}
        self._faces: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="lowshot-decode")

    def __reduce__(self) -> tuple[type["MediaReader"], tuple[Dataset, VoiceConfig, FaceConfig, int]]:
        return type(self), (self.dataset, self.voice_config, self.face_config, self.cache_bytes)

    def for_worker(self, workers: int) -> "MediaReader":
        """Make another reader of the same media, for one of several worker processes.

        It has its own threads and locks, an empty cache, and its share of the memory.
        """
        return MediaReader(self.dataset, self.voice_config, self.face_config, self.cache_bytes // workers)

    def voice(self, index: int) -> tuple[np.ndarray, float]:
        """Return the spectrogram [mel_bands, frames] of voice `index` and its padding value, as of `LogMel`."""
        if self.pack:
            return self.pack.voice(index)
        found = self._voices.get(index)
        if found is None:
            found = self.decoder.voice(self.dataset.path("voice", index))
            self._keep(self._voices, index, found, found[0].nbytes)
        return found

    def face(self, index: int) -> np.ndarray:
        """Return the image of face `index`, uint8 [3, side, side], as of `read_face`."""
        if self.pack and self.pack.pixels:
            return self.pack.face(index)
        found = self._faces.get(index)
        if found is None:
            content = self.pack.face_file(index) if self.pack else None
            found = self.decoder.face(self.dataset.path("face", index), content)
            self._keep(self._faces, index, found, found.nbytes)
        return found

    def voices(self, indices: Iterable[int]) -> list[tuple[np.ndarray, float]]:
        """Return several voices in the given order, decoded in parallel."""
        if self.pack:
            return [self.voice(int(index)) for index in indices]
        return self._many(self.voice, self._voices, indices)

    def faces(self, indices: Iterable[int]) -> list[np.ndarray]:
        """Return several faces in the given order, decoded in parallel."""
        if self.pack and self.pack.pixels:
            return [self.face(int(index)) for index in indices]
        return self._many(self.face, self._faces, indices)

    def _many(self, read: Callable[[int], T], kept: dict[int, T], indices: Iterable[int]) -> list[T]:
        wanted = [int(index) for index in indices]
        # A look-up in a dictionary is cheaper than a thread.
        missing = [index for index in dict.fromkeys(wanted) if index not in kept]
        decoded = dict(zip(missing, self._pool.map(read, missing), strict=True))
        return [decoded[index] if index in decoded else read(index) for index in wanted]

    def _keep(self, kept: dict[int, T], index: int, value: T, size: int) -> None:
        with self._lock:
            if index not in kept and self._kept + size <= self.cache_bytes:
                kept[index] = value
                self._kept += size
