"""Voice-face pairs of videos, and batches of them that depend on (seed, step, position) alone."""

from dataclasses import dataclass

import numpy as np
import torch

from lowshot.data.augment import UNIFORMS
from lowshot.data.dataset import Dataset
from lowshot.data.readers.base import Reader, Sampling
from lowshot.errors import RequestError
from lowshot.settings import AugmentConfig, FaceConfig, VoiceConfig

# One random stream per purpose: a change in one never shifts another.
ORDER_STREAM, SAMPLE_STREAM = 1, 2


@dataclass(frozen=True)
class Videos:
    """Videos with at least one voice and one face, in the order of the manifest.

    Attributes:
        names: video ids, [n].
        identities: their identities, "" if unknown, [n].
        voices, faces: row numbers of each video's voices and faces.
    """

    names: list[str]
    identities: list[str]
    voices: list[np.ndarray]
    faces: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.names)

    def select(self, keep: np.ndarray) -> "Videos":
        """Return the videos with the numbers `keep`, in that order."""
        return Videos(*([column[i] for i in keep] for column in self._columns()))

    def _columns(self) -> tuple[list, list, list, list]:
        return self.names, self.identities, self.voices, self.faces


def videos_of(dataset: Dataset, split: str) -> Videos:
    """Return the videos of a split that have both modalities.

    Args:
        dataset: where to look.
        split: `train` or `val`. In a manifest without splits, all videos are of `train`.

    Raises:
        RequestError: no video of the split has both a voice and a face.
    """
    rows = dataset.training_rows(split)
    grouped = {
        modality: dataset.rows(modality).iloc[indices].groupby("video", sort=False).indices
        for modality, indices in rows.items()
    }
    names = [video for video in grouped["voice"] if video in grouped["face"]]
    if not names:
        raise RequestError(
            f"{dataset.manifest_path}: no video of split '{split}' has both a voice and a face; "
            "check the columns video and split"
        )
    voices = [rows["voice"][grouped["voice"][name]] for name in names]
    faces = [rows["face"][grouped["face"][name]] for name in names]
    known = dataset.voices["identity"].to_numpy()
    identities = [str(known[indices[0]]) for indices in voices]
    return Videos([str(name) for name in names], identities, voices, faces)


@dataclass(frozen=True)
class Batch:
    """Pairs of one step.

    Attributes:
        index: numbers of the videos, int64 [B].
        voice: log-mel crops, float32 [B, 1, mel_bands, frames], or vectors [B, d_v].
        face: images in [-1, 1], float32 [B, 3, size, size], or vectors [B, d_f].
    """

    index: torch.Tensor
    voice: torch.Tensor
    face: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """Copy the batch to a device."""
        return Batch(
            self.index.to(device),
            self.voice.to(device, non_blocking=True),
            self.face.to(device, non_blocking=True),
        )


def epoch_order(videos: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of videos in an epoch: a permutation that depends on (seed, epoch) alone."""
    return _generator(seed, ORDER_STREAM, epoch).permutation(videos)


def sample_uniforms(batch: int, seed: int, step: int) -> np.ndarray:
    """Return the random numbers behind every choice of a step's samples.

    Args:
        batch: number of samples in the joint batch of all processes.
        seed: of the run.
        step: counted from 0 over the whole run.

    Returns:
        float64 [batch, UNIFORMS] in [0, 1). Row p depends on (seed, step, p) alone: a larger batch, another number of
        workers and a restart give the same row.
    """
    return _generator(seed, SAMPLE_STREAM, step).random((batch, UNIFORMS))


def _generator(seed: int, stream: int, counter: int) -> np.random.Generator:
    # The last word of the counter is the highest: streams of different steps never overlap.
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, 0, counter]))


class PairBatches:
    """Augmented training batches, addressed by step.

    Args:
        videos: videos to train on.
        reader: makes the samples.
        batch_size: videos per step over all processes; at most the number of videos.
        seed: of the run.
        voice, face, augment: settings of samples.
        rank, processes: number of this process, and how many there are. Each makes an equal part of a batch; the parts
            in order are the batch of a single process.

    Raises:
        RequestError: the batch cannot be cut into so many equal parts.
    """

    def __init__(
        self,
        videos: Videos,
        reader: Reader,
        batch_size: int,
        seed: int,
        voice: VoiceConfig,
        face: FaceConfig,
        augment: AugmentConfig,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.videos = videos
        self.reader = reader
        self.batch_size = min(batch_size, len(videos))
        part, rest = divmod(self.batch_size, processes)
        if rest:
            raise RequestError(
                f"a batch of {self.batch_size} videos cannot be shared evenly among {processes} processes; "
                f"set train.batch_size to a multiple of {processes}, at most {len(videos)}"
            )
        self._part = slice(rank * part, (rank + 1) * part)
        self.seed = seed
        self.sampling = Sampling(voice, face, augment)
        # No smaller batch ends an epoch: its step would differ. Its videos come in another epoch.
        self.steps_per_epoch = len(videos) // self.batch_size

    def batch(self, step: int) -> Batch:
        """Make this process's part of the batch of a step. Earlier calls do not matter."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = epoch_order(len(self.videos), self.seed, epoch)
        index = order[position * self.batch_size : (position + 1) * self.batch_size][self._part]
        uniforms = sample_uniforms(self.batch_size, self.seed, step)[self._part]
        voices = [self.videos.voices[video] for video in index]
        faces = [self.videos.faces[video] for video in index]
        chosen = choose(voices, uniforms[:, 0]), choose(faces, uniforms[:, 2])
        voice, face = self.reader.samples(*chosen, uniforms, self.sampling)
        return Batch(torch.from_numpy(index.astype(np.int64)), voice, face)


def choose(options: list[np.ndarray], uniforms: np.ndarray) -> list[int]:
    """Choose one of each sample's row numbers by a random number in [0, 1); all are equally likely."""
    return [int(rows[int(uniform * len(rows))]) for rows, uniform in zip(options, uniforms, strict=True)]
