"""Instance contrast between a video's voice and its face: the baseline."""

import torch

from lowshot.losses.instance import instance_contrast
from lowshot.methods.base import Method, RunShape
from lowshot.settings import CidConfig


class Cid(Method):
    """Instance contrast: every other video of the batch is a negative.

    Args:
        config: the temperature.
        shape: of the run.

    Source:
        CMPC (IJCAI 2022), the cross-modal instance discrimination baseline.
    """

    def __init__(self, config: CidConfig, shape: RunShape) -> None:
        self.temperature = config.temperature

    def loss(
        self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        v2f, f2v = instance_contrast(voice, face, self.temperature)
        total = v2f.mean() + f2v.mean()
        return total, {"loss_instance": total.item()}
