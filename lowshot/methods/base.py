"""Interface of training methods."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn


@dataclass(frozen=True)
class RunShape:
    """The properties of a run that its method needs.

    Attributes:
        videos: training videos N; the indices of batches are 0..N-1.
        dim: size of the embeddings.
        batch_size: videos per step, over all processes.
        steps_per_epoch, epochs: the length of the run; schedules are shares of it.
        seed: of the run.
        device: where memory, clusters and the method's own parameters live.
    """

    videos: int
    dim: int
    batch_size: int
    steps_per_epoch: int
    epochs: int
    seed: int
    device: torch.device

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.epochs


@dataclass(frozen=True, eq=False)
class Partition:
    """One clustering of the training videos.

    Attributes:
        modality: `voice`, `face`, or `both` if they are clustered together.
        assignments: cluster of each training video, int64 [N]; -1 for a video without a cluster.
    """

    modality: str
    assignments: npt.NDArray[np.int64]


class Method(ABC):
    """An objective over a batch of pairs, with its state.

    A method is built from its settings and a `RunShape`. Its random numbers depend only on the seed and the step, so
    that a resumed run gives the same result.
    """

    def parameters(self) -> Iterable[nn.Parameter]:
        """Parameters that the optimiser trains besides the towers, in a fixed order."""
        return ()

    def before_step(self, step: int) -> None:
        """Prepare for `step`, counted from 0; cluster here.

        If `clusters_at` is true, only the first of several processes calls this. The others load its `state_dict`,
        which must hold everything that this method sets.
        """

    def clusters_at(self, step: int) -> bool:
        """Whether `before_step` clusters at `step`."""
        return False

    @abstractmethod
    def loss(
        self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of one batch.

        Args:
            index: numbers of the training videos, int64 [B].
            voice, face: their unit embeddings, float32 [B, d].

        Returns:
            The scalar to minimise, and figures for metrics.csv by the method's own names. A figure that is missing at
            some steps has empty cells there.
        """

    def after_step(self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor) -> None:
        """Update the state with the step's embeddings (without gradient)."""

    def partitions(self) -> list[Partition]:
        """Current clusterings, for reports; none if the method does not cluster."""
        return []

    def pair_weights_now(self) -> torch.Tensor | None:
        """Current weight of each training pair, [N] in 0..1; None without weights."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """State for a resumed run, parameters included, as tensors and plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that `state_dict` returned."""
