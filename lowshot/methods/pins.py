"""Learnable PINs: margin contrast with a curriculum of harder negatives."""

from typing import Any

import torch

from lowshot.losses.margin import curriculum_negatives, margin_contrast
from lowshot.methods.base import Method, RunShape
from lowshot.settings import PinsConfig


class Pins(Method):
    """Contrastive loss with a margin, over positives and mined negatives.

    Args:
        config: the margin and the curriculum.
        shape: of the run; the curriculum is a share of its epochs.

    Source:
        Nagrani, Albanie and Zisserman, ECCV 2018.

    Deviation:
        Only the abstract of the paper was available. The margin (0.6) and the curriculum (tau from 0.3 to 0.8 in steps
        of 0.1) are those of an independent implementation (my-yy/learnable_pins). The steps are equal shares of the
        run, so that they scale with its epochs. Both voices and faces are anchors, so that each direction of retrieval
        has its own negatives; that implementation has anchors of one modality.
    """

    def __init__(self, config: PinsConfig, shape: RunShape) -> None:
        self.config = config
        self.shape = shape
        self.step = 0

    def hardness_at(self, step: int) -> float:
        """Hardness tau at a step, from 0 (easiest negatives) to 1 (hardest)."""
        config = self.config
        epoch = step // self.shape.steps_per_epoch
        span = config.curriculum_share * self.shape.epochs
        rises = int(min(config.hardness_steps, config.hardness_steps * epoch / span)) if span else config.hardness_steps
        return config.first_hardness + (config.last_hardness - config.first_hardness) * rises / config.hardness_steps

    def before_step(self, step: int) -> None:
        self.step = step

    def loss(
        self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        hardness = self.hardness_at(self.step)
        v2f = margin_contrast(voice, face, curriculum_negatives(voice, face, hardness), self.config.margin)
        f2v = margin_contrast(face, voice, curriculum_negatives(face, voice, hardness), self.config.margin)
        return v2f + f2v, {"hardness": hardness}

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
