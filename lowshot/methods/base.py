"""What every training method gives to the loop."""

from abc import ABC, abstractmethod
from typing import Any

import torch


class Method(ABC):
    """An objective over a batch of pairs, with whatever state it needs from one step to the next."""

    def before_step(self, step: int) -> None:
        """Prepare for `step` (counted from 0): the place to cluster."""

    def clusters_at(self, step: int) -> bool:
        """Whether `before_step` clusters at `step`."""
        return False

    @abstractmethod
    def loss(
        self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one batch.

        Args:
            index: which training videos, int64 [B].
            voice, face: their unit embeddings, float32 [B, d].

        Returns:
            The scalar to minimise, and figures for metrics.csv.
        """

    def after_step(self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor) -> None:
        """Take note of the step's embeddings (without gradient)."""

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs, as tensors and plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
