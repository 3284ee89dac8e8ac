"""Robust instance discrimination with memory banks, weighted positives and soft targets."""

from typing import Any

import torch

from lowshot.losses.noise_contrastive import candidate_similarities
from lowshot.losses.recalibration import weighted_mean
from lowshot.losses.soft_targets import (
    candidate_contrast,
    cycle_consistent_targets,
    faulty_positive_weights,
    soft_contrast,
)
from lowshot.methods.avid import BankContrast
from lowshot.methods.base import RunShape
from lowshot.settings import RobustXidConfig


class RobustXid(BankContrast):
    """Cross-modal instance discrimination for faulty positives and negatives.

    The agreement of a pair's two memories, relative to that of all videos, gives its weight. The mean and the standard
    deviation of the agreement are computed over the whole banks at the start of every epoch. Negatives become soft
    targets by cycle-consistent prediction from the memories. Both begin after a warm-up of plain instance
    discrimination within the batch, because the memories are random before.

    Args:
        config: temperatures, shares and schedule.
        shape: of the run.

    Source:
        Morgado, Misra and Vasconcelos, CVPR 2021.

    Deviation:
        No released code was found, and the paper's text was not available. The objective and its constants are
        reconstructed, the constants after a later public reimplementation (docs/fidelity.md, Rivals). Our own choices
        are memory banks as the source of targets, statistics once an epoch, the length of the warm-up, and a warm-up
        within the batch (see `BankContrast`).
    """

    def __init__(self, config: RobustXidConfig, shape: RunShape) -> None:
        super().__init__(config, shape)
        self.config = config
        # One epoch at least: the memories start at random.
        self.warmup_epochs = max(1, self.warmup_epochs)
        self.agreement = (self.voice_bank.vectors * self.face_bank.vectors).sum(dim=1)
        self.mean: torch.Tensor | None = None
        self.std: torch.Tensor | None = None

    def before_step(self, step: int) -> None:
        super().before_step(step)
        if step % self.shape.steps_per_epoch == 0 and not self.warms_up:
            self.mean = self.agreement.mean()
            self.std = self.agreement.std(unbiased=False)

    def loss(
        self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        # Statistics exist from the first step after the warm-up.
        if self.mean is None or self.std is None:
            return self.batch_contrast(voice, face)
        config, candidates = self.config, self.candidates(index)
        to_faces = candidate_similarities(voice, self.face_bank.vectors, candidates)
        to_voices = candidate_similarities(face, self.voice_bank.vectors, candidates)
        instance = (
            candidate_contrast(to_faces, config.temperature).mean()
            + candidate_contrast(to_voices, config.temperature).mean()
        )
        logs = {"loss_instance": instance.item()}
        weights = faulty_positive_weights(
            self.agreement[index], self.mean, self.std, config.delta, config.kappa, config.least_weight
        )
        # Swapped: similarities of a voice's own face to the voices give the likely faces.
        like_faces = self._targets(self.face_bank.vectors[index], self.voice_bank.vectors, candidates)
        like_voices = self._targets(self.voice_bank.vectors[index], self.face_bank.vectors, candidates)
        v2f = soft_contrast(to_faces, like_faces, config.soft_share, config.temperature)
        f2v = soft_contrast(to_voices, like_voices, config.soft_share, config.temperature)
        logs["mean_weight"] = weights.mean().item()
        return weighted_mean(v2f, weights) + weighted_mean(f2v, weights), logs

    def _targets(self, memories: torch.Tensor, bank: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        return cycle_consistent_targets(
            candidate_similarities(memories, bank, candidates),
            self.agreement[candidates],
            self.config.target_temperature,
            self.config.agreement_temperature,
        )

    def after_step(self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor) -> None:
        super().after_step(index, voice, face)
        # Only for the batch, because a pass over the banks in every step would not scale.
        self.agreement[index] = (self.voice_bank.vectors[index] * self.face_bank.vectors[index]).sum(dim=1)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "agreement": self.agreement, "mean": self.mean, "std": self.std}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        device = self.shape.device
        self.agreement = state["agreement"].to(device, copy=True)
        self.mean, self.std = (None if state[key] is None else state[key].to(device) for key in ("mean", "std"))
