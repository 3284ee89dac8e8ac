"""Barlow Twins across modalities: redundancy reduction between voices and faces."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from lowshot.losses.cross_correlation import cross_correlation, redundancy_reduction
from lowshot.methods.base import Method, RunShape
from lowshot.settings import BarlowConfig

# The random stream of the projector's first weights, different from those of the other methods.
_PROJECTOR_STREAM = 21


class Barlow(Method):
    """Pull the cross-correlation of voices and faces towards the identity matrix.

    There are no negatives. Both modalities pass through one projector, which is not part of the model: evaluation uses
    the embeddings of the towers. The projector uses batch statistics and keeps no running ones.

    Args:
        config: weight of the redundancy, and the projector.
        shape: of the run.

    Source:
        Zbontar, Jing, Misra, LeCun and Deny, ICML 2021.

    Deviation:
        The projector's inputs are the towers' unit embeddings; the paper's are a backbone's features of any length.
        The paper's projector has three layers of 8192 for batches of 2048. The default has the same four features
        for each video of a batch, so that the paper's weight lambda keeps the same ratio of noise and signal.
        The run's weight decay applies to all of the projector; the paper exempts biases and normalisation.
    """

    def __init__(self, config: BarlowConfig, shape: RunShape) -> None:
        self.config = config
        seed = int(np.random.SeedSequence([shape.seed, _PROJECTOR_STREAM]).generate_state(1, np.uint32)[0])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.projector = _projector(shape.dim, config.projector)
        self.projector.to(shape.device)

    def parameters(self) -> Iterable[nn.Parameter]:
        return self.projector.parameters()

    def loss(
        self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        # One modality at a time, as in the paper, so that normalisation uses the statistics of one modality.
        with torch.autocast(voice.device.type, enabled=False):
            correlation = cross_correlation(self.projector(voice.float()), self.projector(face.float()))
        invariance, redundancy = redundancy_reduction(correlation, self.config.redundancy_weight)
        figures = {"loss_invariance": invariance.item(), "loss_redundancy": redundancy.item()}
        return invariance + redundancy, figures

    def state_dict(self) -> dict[str, Any]:
        return {"projector": self.projector.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.projector.load_state_dict(state["projector"])


def _projector(dim: int, widths: Sequence[int]) -> nn.Sequential:
    """Linear layers with batch normalisation and ReLU; the identity without widths."""
    layers: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(pairwise((dim, *widths)), start=1):
        layers.append(nn.Linear(inputs, outputs, bias=False))
        if number < len(widths):
            layers += [nn.BatchNorm1d(outputs, track_running_stats=False), nn.ReLU()]
    return nn.Sequential(*layers)
