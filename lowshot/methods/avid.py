"""AVID: instance discrimination against the memory bank of the other modality."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from lowshot.losses.instance import instance_contrast
from lowshot.losses.noise_contrastive import candidate_similarities, log_partition, noise_contrast
from lowshot.memory import MemoryBank
from lowshot.methods.base import Method, RunShape
from lowshot.settings import AvidConfig, RobustXidConfig

# Random streams, one per purpose, different from those of data order and samples.
_VOICE_STREAM, _FACE_STREAM, _NEGATIVE_STREAM = 11, 12, 13


class BankContrast(Method):
    """Base of methods with negatives from memory banks.

    The candidates of a video are itself and negatives drawn uniformly from all others in every step. Both directions
    use the same candidates. The cost of a step depends on its B * (1 + K) candidates, not on the number of videos.

    Args:
        config: negatives (K, other videos drawn for each video of the batch; no more than there are), momentum of the
            banks, temperature, length of the warm-up.
        shape: of the run.

    Source:
        Morgado, Vasconcelos and Misra, CVPR 2021, and their released code. Banks start from random unit vectors, and
        the first embedding of a video is blended into its vector. Draws are uniform, with replacement, and exclude the
        video.

    Deviation:
        The first epochs contrast each video with its batch, as `cid` does, while the banks are filled. Fresh towers
        map all media into one narrow cone. Memories of it drift from batch to batch and separate videos so little that
        the towers never left the cone (docs/fidelity.md, Tuning).
    """

    def __init__(self, config: AvidConfig | RobustXidConfig, shape: RunShape) -> None:
        self.shape = shape
        self.temperature = config.temperature
        self.negatives = min(config.negatives, shape.videos - 1)
        self.warmup_epochs = round(config.warmup_share * shape.epochs)
        self.voice_bank = _random_bank(shape, config.memory_momentum, _VOICE_STREAM)
        self.face_bank = _random_bank(shape, config.memory_momentum, _FACE_STREAM)
        self.step = 0

    def before_step(self, step: int) -> None:
        self.step = step

    @property
    def warms_up(self) -> bool:
        """Whether this step still contrasts videos with their batch."""
        return self.step < self.warmup_epochs * self.shape.steps_per_epoch

    def batch_contrast(self, voice: torch.Tensor, face: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss of the warm-up."""
        v2f, f2v = instance_contrast(voice, face, self.temperature)
        total = v2f.mean() + f2v.mean()
        return total, {"loss_instance": total.item()}

    def candidates(self, index: torch.Tensor) -> torch.Tensor:
        """Candidates of each video in this step.

        Args:
            index: the batch's videos, int64 [B].

        Returns:
            Videos, int64 [B, 1 + K]: the video itself in column 0, never after it. They depend only on the seed, the
            step and the place in the batch.
        """
        draws = _generator(self.shape.seed, _NEGATIVE_STREAM, self.step).integers(
            self.shape.videos - 1, size=(len(index), self.negatives)
        )
        others = torch.from_numpy(draws).to(index.device)
        # Numbers from the video's own upwards move up by one, so that draws are uniform over all others.
        own = index[:, None]
        return torch.cat([own, others + (others >= own)], dim=1)

    def after_step(self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor) -> None:
        self.voice_bank.update(index, voice)
        self.face_bank.update(index, face)

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "voice_bank": self.voice_bank.state_dict(),
            "face_bank": self.face_bank.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.voice_bank.load_state_dict(state["voice_bank"])
        self.face_bank.load_state_dict(state["face_bank"])


class Avid(BankContrast):
    """Cross-modal AVID: noise-contrastive estimation against the other modality's bank.

    Args:
        config: temperature, negatives, momentum, length of the warm-up.
        shape: of the run.

    Source:
        Morgado, Vasconcelos and Misra, CVPR 2021, the cross-modal objective (without cross-modal agreement).

    Deviation:
        A warm-up, see `BankContrast`. The released code estimates one partition function for both directions from the
        first direction that it scores. Here both directions are used. Either way one batch gives the estimate, here the
        first after the warm-up.
    """

    def __init__(self, config: AvidConfig, shape: RunShape) -> None:
        super().__init__(config, shape)
        self.partition: torch.Tensor | None = None

    def loss(
        self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        if self.warms_up:
            return self.batch_contrast(voice, face)
        candidates = self.candidates(index)
        to_faces = candidate_similarities(voice, self.face_bank.vectors, candidates)
        to_voices = candidate_similarities(face, self.voice_bank.vectors, candidates)
        if self.partition is None:
            self.partition = log_partition(torch.cat([to_faces, to_voices]), self.temperature)
        v2f = noise_contrast(to_faces, self.temperature, self.partition)
        f2v = noise_contrast(to_voices, self.temperature, self.partition)
        total = (v2f.mean() + f2v.mean()) / 2
        return total, {"loss_noise_contrast": total.item()}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "partition": self.partition}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        partition = state["partition"]
        self.partition = None if partition is None else partition.to(self.shape.device)


def _random_bank(shape: RunShape, momentum: float, stream: int) -> MemoryBank:
    """A memory bank of random unit vectors that count as written."""
    bank = MemoryBank(shape.videos, shape.dim, momentum)
    draws = _generator(shape.seed, stream, 0).standard_normal((shape.videos, shape.dim), dtype=np.float32)
    bank.vectors.copy_(functional.normalize(torch.from_numpy(draws), dim=1))
    bank.written.fill_(True)
    return bank.to(shape.device)


def _generator(seed: int, stream: int, step: int) -> np.random.Generator:
    # The counter's last word is the highest: streams of different steps never overlap.
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, 0, step]))
