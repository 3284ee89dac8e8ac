"""Turn decoded voices and faces into inputs of towers: crops and augmentation, or views for evaluation."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from lowshot.data.augment import augment_faces, augment_voices, centre_crop
from lowshot.data.readers.base import Sampling, Views
from lowshot.data.voice import pad_to
from lowshot.settings import EvaluateConfig, FaceConfig, FrontEnd, VoiceConfig


class MediaInputs(ABC):
    """Makes the samples and views of a `Reader` from decoded media."""

    statistics = None

    @abstractmethod
    def voices(self, indices: Iterable[int]) -> list[tuple[np.ndarray, float]]:
        """Return spectrograms [mel_bands, frames] of voices, each with its padding value."""

    @abstractmethod
    def faces(self, indices: Iterable[int]) -> list[np.ndarray]:
        """Return images of faces, uint8 [3, side, side]."""

    def samples(
        self, voices: Sequence[int], faces: Sequence[int], uniforms: np.ndarray, sampling: Sampling
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Make log-mel crops [B, 1, mel_bands, frames] and images [B, 3, size, size]; see `Reader.samples`."""
        crops = [
            crop_voice(log_mel, silence, sampling.voice.frames, uniform)
            for (log_mel, silence), uniform in zip(self.voices(voices), uniforms[:, 1], strict=True)
        ]
        images = self.faces(faces)
        rest = torch.from_numpy(uniforms[:, 3:]).float()
        augment = sampling.augment
        # A normalised clip has a spread near 1, like a centred one: a decibel is equally large in both.
        front_end: FrontEnd = "centred" if sampling.voice.normalise else sampling.voice.front_end
        return (
            augment_voices(torch.from_numpy(np.stack(crops)).float(), rest, augment, front_end),
            augment_faces(torch.from_numpy(np.stack(images)), rest, sampling.face.size, augment),
        )

    def views(
        self, modality: str, rows: np.ndarray, voice: VoiceConfig, face: FaceConfig, settings: EvaluateConfig
    ) -> Views:
        """Make evenly spaced crops of a voice, or the centre crop of a face and, if asked for, its mirror image."""
        if modality == "voice":
            return self._voice_views(rows, voice.frames, settings.voice_crops)
        return self._face_views(rows, face.size, settings.mirror)

    def _voice_views(self, rows: np.ndarray, frames: int, most_crops: int) -> Views:
        crops: list[np.ndarray] = []
        owner: list[int] = []
        for place, (log_mel, silence) in enumerate(self.voices(rows)):
            found = even_crops(pad_to(log_mel, frames, silence), frames, most_crops)
            crops += found
            owner += [place] * len(found)

        def make(part: slice) -> torch.Tensor:
            return torch.from_numpy(np.stack(crops[part])).float().unsqueeze(1)

        return Views(len(crops), make, torch.tensor(owner))

    def _face_views(self, rows: np.ndarray, size: int, mirror: bool) -> Views:
        images = centre_crop(torch.from_numpy(np.stack(self.faces(rows))), size)
        if not mirror:
            return Views(len(images), lambda part: images[part])
        both = torch.cat([images, images.flip(-1)])
        return Views(len(both), lambda part: both[part], torch.arange(len(images)).repeat(2))


def crop_voice(log_mel: np.ndarray, silence: float, frames: int, uniform: float) -> np.ndarray:
    """Cut a crop from a spectrogram; pad a shorter one with silence.

    Args:
        log_mel: [mel_bands, n].
        silence: value of digital silence in it.
        frames: length of the crop, frames.
        uniform: random number in [0, 1) that decides where it starts.
    """
    padded = pad_to(log_mel, frames, silence)
    start = int(uniform * (padded.shape[1] - frames + 1))
    return padded[:, start : start + frames]


def even_crops(log_mel: np.ndarray, frames: int, most: int = EvaluateConfig().voice_crops) -> list[np.ndarray]:
    """Cut evenly spaced crops that cover a spectrogram.

    Args:
        log_mel: [mel_bands, n >= frames].
        frames: length of a crop, frames.
        most: greatest number of crops. A single crop is the middle one.
    """
    rest = log_mel.shape[1] - frames
    count = min(most, -(-log_mel.shape[1] // frames))
    starts = np.linspace(0, rest, count).round().astype(int) if count > 1 else [rest // 2]
    return [log_mel[:, start : start + frames] for start in starts]
