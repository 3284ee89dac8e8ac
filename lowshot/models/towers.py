"""Towers of spectrograms and images."""

from collections.abc import Callable

import torch
import torchvision
from torch import nn

from lowshot.settings import FaceConfig, ModelConfig, VoiceConfig

COMPACT_WIDTHS = (16, 32, 64, 128)
# Convolution, batch normalisation, rectifier.
_LAYERS_PER_BLOCK = 3


class CompactTower(nn.Module):
    """A tower for CPUs: strided convolutions, pooling and a linear map.

    There are four convolutions. A voice's frames are pooled by mean and standard deviation, as in x-vectors; its
    frequencies are not pooled. A face is not pooled, because a cropped face does not move.

    Args:
        channels: 1 for log-mel spectrograms, 3 for images.
        height: rows of the input: mel bands or pixels.
        pool_time: whether the columns are time and are pooled.
        dim: size of the embedding.
    """

    def __init__(self, channels: int, height: int, pool_time: bool, dim: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for width in COMPACT_WIDTHS:
            blocks += [
                nn.Conv2d(channels, width, kernel_size=3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.trunk = nn.Sequential(*blocks)
        self.pool_time = pool_time
        rows = -(-height // 2 ** len(COMPACT_WIDTHS))
        features = channels * rows * (2 if pool_time else rows)
        self.project = nn.Linear(features, dim)

    @property
    def last_stage(self) -> nn.Module:
        """The last block of convolution."""
        return self.trunk[-_LAYERS_PER_BLOCK:]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed a batch.

        Args:
            x: [B, channels, height, width]; width is free for voices and equals height for faces.

        Returns:
            [B, dim], not normalised.
        """
        maps = self.trunk(x)
        if self.pool_time:
            mean = maps.mean(dim=3)
            # The small constant keeps the gradient of the root finite if a channel does not vary.
            spread = (maps.var(dim=3, unbiased=False) + 1e-5).sqrt()
            maps = torch.cat([mean, spread], dim=1)
        return self.project(maps.flatten(1))


def resnet_tower(name: str, channels: int) -> nn.Module:
    """An untrained torchvision ResNet without its classifier.

    It maps [B, channels, h, w] to [B, 512].

    Args:
        name: `resnet18` or `resnet34`.
        channels: of the stem: 1 for voices, 3 for faces.

    Source:
        CMPC, section 4 (two ResNet-34, global average pooling, 512-d, no projection).
    """
    tower = torchvision.models.get_model(name, weights=None)
    if channels != 3:
        tower.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(tower.conv1.weight, mode="fan_out", nonlinearity="relu")
    tower.fc = nn.Identity()
    return tower


def _compact(modality: str, model: ModelConfig, voice: VoiceConfig, face: FaceConfig) -> nn.Module:
    if modality == "voice":
        return CompactTower(1, voice.mel_bands, pool_time=True, dim=model.dim)
    return CompactTower(3, face.size, pool_time=False, dim=model.dim)


def _resnet(modality: str, model: ModelConfig, voice: VoiceConfig, face: FaceConfig) -> nn.Module:
    return resnet_tower(model.tower, channels=1 if modality == "voice" else 3)


TowerBuilder = Callable[[str, ModelConfig, VoiceConfig, FaceConfig], nn.Module]
"""Builds the tower of a modality, `voice` or `face`, with random weights."""

# Towers of spectrograms and images; lowshot.extend adds others.
MEDIA_TOWERS: dict[str, TowerBuilder] = {"compact": _compact, "resnet18": _resnet, "resnet34": _resnet}
