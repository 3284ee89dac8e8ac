"""A voice tower and a face tower with a common embedding space."""

import copy
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from lowshot.config import Config
from lowshot.data.features import ColumnStatistics
from lowshot.models.towers import MEDIA_TOWERS
from lowshot.models.vector_tower import VectorTower
from lowshot.settings import FaceConfig, ModelConfig, VoiceConfig


class TwoTower(nn.Module):
    """A voice encoder and a face encoder for one embedding space.

    Args:
        model: kind of towers, and size of the embedding.
        voice, face: front ends and input sizes.
        widths: number of columns of the input vectors, by modality, for towers of vectors such as `mlp`.
    """

    def __init__(
        self, model: ModelConfig, voice: VoiceConfig, face: FaceConfig, widths: Mapping[str, int] | None = None
    ) -> None:
        super().__init__()
        self.model_config = model
        self.voice_config = voice
        self.face_config = face
        self.widths = widths
        if model.tower == "mlp":
            if widths is None:
                raise ValueError("towers of vectors need the widths of the vectors")
            self.voice: nn.Module = VectorTower(widths["voice"], model.dim, model.mlp)
            self.face: nn.Module = VectorTower(widths["face"], model.dim, model.mlp)
        else:
            build = MEDIA_TOWERS[model.tower]
            self.voice = build("voice", model, voice, face)
            self.face = build("face", model, voice, face)
        self.voice_head = _head(model)
        self.face_head = _head(model)

    @classmethod
    def from_config(cls, config: Config, statistics: Mapping[str, ColumnStatistics] | None = None) -> "TwoTower":
        """Build towers with random weights, which depend only on `config.seed`.

        Args:
            config: of the run.
            statistics: statistics of the training data's columns, by which towers of vectors standardise.
        """
        columns = statistics or {}
        widths = {modality: len(each.mean) for modality, each in columns.items()} or None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            towers = cls(config.model, config.voice, config.face, widths)
        for modality, each in columns.items():
            getattr(towers, modality).standardise_by(each)
        return towers

    def encode_voice(self, log_mel: torch.Tensor) -> torch.Tensor:
        """Encode voices as unit embeddings, float32 [B, dim].

        Args:
            log_mel: [B, 1, mel_bands, frames], or vectors [B, d_v].
        """
        return self.map_voice(self.voice(log_mel).float())

    def encode_face(self, images: torch.Tensor) -> torch.Tensor:
        """Encode faces as unit embeddings, float32 [B, dim].

        Args:
            images: [B, 3, size, size] in [-1, 1], or vectors [B, d_f].
        """
        return self.map_face(self.face(images).float())

    def map_voice(self, embedding: torch.Tensor) -> torch.Tensor:
        """Apply the voice head: [B, dim] -> unit float32 [B, dim]."""
        return functional.normalize(self.voice_head(functional.normalize(embedding, dim=1)), dim=1)

    def map_face(self, embedding: torch.Tensor) -> torch.Tensor:
        """Apply the face head: [B, dim] -> unit float32 [B, dim]."""
        return functional.normalize(self.face_head(functional.normalize(embedding, dim=1)), dim=1)

    def forward(self, log_mel: torch.Tensor, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode both at once, in one forward pass for distributed wrappers."""
        return self.encode_voice(log_mel), self.encode_face(images)


def tower_layout(batch: torch.Tensor) -> torch.Tensor:
    """Convert a batch to the fast memory layout: channels last, if any."""
    return batch.contiguous(memory_format=torch.channels_last) if batch.ndim == 4 else batch


def _head(model: ModelConfig) -> nn.Module:
    """The identity, or a linear map that starts as the identity.

    An untrained probe therefore changes nothing.
    """
    if not model.linear_heads:
        return nn.Identity()
    head = nn.Linear(model.dim, model.dim, bias=False)
    nn.init.eye_(head.weight)
    return head


def with_linear_heads(model: TwoTower) -> TwoTower:
    """Copy a model and add a linear map after each tower.

    The maps start as the identity. A model with such maps keeps its own.
    """
    if model.model_config.linear_heads:
        return copy.deepcopy(model)
    config = model.model_config.model_copy(update={"linear_heads": True})
    probed = TwoTower(config, model.voice_config, model.face_config, model.widths)
    probed.voice.load_state_dict(model.voice.state_dict())
    probed.face.load_state_dict(model.face.state_dict())
    return probed.train(model.training)
