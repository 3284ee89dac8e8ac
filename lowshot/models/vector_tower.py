"""The tower of vectors: standardisation, a few hidden layers, a linear map."""

import numpy as np
import torch
from torch import nn

from lowshot.data.features import ColumnStatistics
from lowshot.settings import MlpConfig


class VectorTower(nn.Module):
    """A multi-layer perceptron on standardised columns.

    Each hidden layer is a linear map, layer normalisation, a rectifier and, if set, dropout. Layer normalisation uses
    one sample alone. It is the same in training and evaluation, and for any batch and number of processes.

    Args:
        width: columns of the input.
        dim: size of the embedding.
        config: the hidden layers.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, width: int, dim: int, config: MlpConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        layers = []
        for _ in range(config.layers):
            hidden: list[nn.Module] = [nn.Linear(width, config.width), nn.LayerNorm(config.width), nn.ReLU()]
            if config.dropout:
                hidden.append(CountedDropout(config.dropout))
            layers.append(nn.Sequential(*hidden))
            width = config.width
        self.trunk = nn.Sequential(*layers)
        self.project = nn.Linear(width, dim)

    @property
    def last_stage(self) -> nn.Module:
        """The last hidden layer; empty if there is none."""
        return self.trunk[-1:]

    def standardise_by(self, statistics: ColumnStatistics) -> None:
        """Standardise columns to mean 0 and deviation 1 on training rows.

        A column that is constant in training becomes 0 for any input, because training learned nothing about it.
        """
        std = statistics.std
        scale = np.divide(1.0, std, out=np.zeros_like(std), where=std > 0)
        self.mean.copy_(torch.from_numpy(statistics.mean))
        self.scale.copy_(torch.from_numpy(scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed a batch.

        Args:
            x: vectors as they are stored, [B, width].

        Returns:
            [B, dim], not normalised.
        """
        return self.project(self.trunk((x - self.mean) * self.scale))


class CountedDropout(nn.Module):
    """Dropout with masks from a count of batches, without a global generator.

    The count and the key are buffers, so a resumed run continues with the masks of an uninterrupted one. The key is
    drawn with the first weights. Each of several processes takes its rows of the mask of the joint batch.

    Args:
        share: share of the units that become 0, in (0, 1); the others are scaled up to compensate.
    """

    key: torch.Tensor
    count: torch.Tensor

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.rank, self.processes = 0, 1
        self.register_buffer("key", torch.randint(2**62, ()))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop units of [B, width] in training, none in evaluation."""
        if not self.training:
            return x
        return x * self._mask(x)

    @torch.compiler.disable
    @torch.no_grad()
    def _mask(self, x: torch.Tensor) -> torch.Tensor:
        bits = np.random.Philox(key=int(self.key), counter=[0, 0, 0, int(self.count)])
        self.count.add_(1)
        drawn = np.random.Generator(bits).random((self.processes * len(x), x.shape[1]), dtype=np.float32)
        own = torch.from_numpy(drawn[self.rank * len(x) : (self.rank + 1) * len(x)])
        return (own >= self.share).to(x) / (1 - self.share)


def join_dropouts(module: nn.Module, rank: int, processes: int) -> None:
    """Make dropouts of `module` use masks of the joint batch, in place.

    Each process takes its rows of the mask of all processes' batch.
    """
    for child in module.modules():
        if isinstance(child, CountedDropout):
            child.rank, child.processes = rank, processes
