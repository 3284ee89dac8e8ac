"""A voice tower and a face tower that share one unit sphere."""

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
    """A voice encoder and a face encoder with unit vectors of one size.

    Args:
        model: which towers, and the size of the embedding.
        voice, face: front ends and input sizes.
        widths: columns of the vectors that towers `mlp` take instead, by modality.
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
        """Build towers with random weights, which depend on `config.seed` alone.

        Args:
            config: of the run.
            statistics: of the training data's columns, for towers of vectors to standardise by.
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
        """Unit embeddings of voices: [B, 1, mel_bands, frames], or vectors [B, d_v] -> float32 [B, dim]."""
        return self.map_voice(self.voice(log_mel).float())

    def encode_face(self, images: torch.Tensor) -> torch.Tensor:
        """Unit embeddings of faces: [B, 3, size, size] in [-1, 1], or vectors [B, d_f] -> float32 [B, dim]."""
        return self.map_face(self.face(images).float())

    def map_voice(self, embedding: torch.Tensor) -> torch.Tensor:
        """The voice head: [B, dim] of any length -> unit float32 [B, dim]."""
        return functional.normalize(self.voice_head(functional.normalize(embedding, dim=1)), dim=1)

    def map_face(self, embedding: torch.Tensor) -> torch.Tensor:
        """The face head: [B, dim] of any length -> unit float32 [B, dim]."""
        return functional.normalize(self.face_head(functional.normalize(embedding, dim=1)), dim=1)

    def forward(self, log_mel: torch.Tensor, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both at once, so that a distributed wrapper sees one forward pass."""
        return self.encode_voice(log_mel), self.encode_face(images)


def tower_layout(batch: torch.Tensor) -> torch.Tensor:
    """A batch in the memory layout that towers are fast in: channels last, if it has channels."""
    return batch.contiguous(memory_format=torch.channels_last) if batch.ndim == 4 else batch


def _head(model: ModelConfig) -> nn.Module:
    """The identity, or a linear map that starts as the identity: an untrained probe changes nothing."""
    if not model.linear_heads:
        return nn.Identity()
    head = nn.Linear(model.dim, model.dim, bias=False)
    nn.init.eye_(head.weight)
    return head


def with_linear_heads(model: TwoTower) -> TwoTower:
    """Copy a model and put a linear map after each tower, the identity at first.

    A model with such maps keeps them as they are.
    """
    if model.model_config.linear_heads:
        return copy.deepcopy(model)
    config = model.model_config.model_copy(update={"linear_heads": True})
    probed = TwoTower(config, model.voice_config, model.face_config, model.widths)
    probed.voice.load_state_dict(model.voice.state_dict())
    probed.face.load_state_dict(model.face.state_dict())
    return probed.train(model.training)
