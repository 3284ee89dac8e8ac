"""SigLIP: pairwise sigmoid contrast with learned temperature and bias."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from lowshot.losses.sigmoid import sigmoid_contrast
from lowshot.methods.base import Method, RunShape
from lowshot.settings import SiglipConfig


class Siglip(Method):
    """Classify each voice-face pair: same video or not.

    Args:
        config: initial scale (one divided by the temperature) and bias.
        shape: of the run.

    Source:
        Zhai, Mustafa, Kolesnikov and Beyer, ICCV 2023: scale exp(t') and bias b are learned, from t' = log 10 and
        b = -10.

    Deviation:
        Scale and bias are trained like the towers, by Adam with the run's weight decay. The decay pulls t' and b
        towards 0, i.e. the scale towards 1. It is weak (1e-5 by default); the paper's Adam has its own settings.
    """

    def __init__(self, config: SiglipConfig, shape: RunShape) -> None:
        self.log_scale = nn.Parameter(torch.tensor(math.log(config.initial_scale), device=shape.device))
        self.bias = nn.Parameter(torch.tensor(config.initial_bias, device=shape.device))

    def parameters(self) -> Iterable[nn.Parameter]:
        return self.log_scale, self.bias

    def loss(
        self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        total = sigmoid_contrast(voice, face, self.log_scale, self.bias).mean()
        return total, {"scale": self.log_scale.exp().item(), "bias": self.bias.item()}

    def state_dict(self) -> dict[str, Any]:
        return {"log_scale": self.log_scale.detach(), "bias": self.bias.detach()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        # In place, because the optimiser holds these parameters.
        self.log_scale.copy_(state["log_scale"])
        self.bias.copy_(state["bias"])
