"""Objectives of fine-tuning on labelled videos."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from lowshot.adapt.batches import embed_step
from lowshot.adapt.probe import embed_videos
from lowshot.config import Config
from lowshot.data.pairs import PairBatches, Videos
from lowshot.data.readers.base import Reader
from lowshot.losses.classifier import identity_classifier, margin_classifier
from lowshot.losses.supervised import cross_modal_supervised_contrast
from lowshot.models.two_tower import TwoTower
from lowshot.settings import AdaptConfig


class Objective(ABC):
    """A loss of the towers on a step's batch.

    It may have parameters of its own, which last for one attempt.
    """

    def parameters(self) -> Sequence[nn.Parameter]:
        """Parameters that are trained besides the towers and then dropped."""
        return ()

    @abstractmethod
    def loss(self, towers: TwoTower, step: int) -> Tensor:
        """The scalar to minimise at a step (counted from 0)."""


class Contrast(Objective):
    """Cross-modal supervised contrast; all faces of a voice's identity are positives.

    Args:
        batches: of the labelled videos.
        identity: code of each labelled video's identity, int64 [n].
        config: temperature and precision.
    """

    def __init__(self, batches: PairBatches, identity: Tensor, config: Config) -> None:
        self.batches = batches
        self.identity = identity
        self.config = config

    def loss(self, towers: TwoTower, step: int) -> Tensor:
        index, voice, face = embed_step(towers, self.batches, step, self.config.train.precision)
        labels = self.identity[index].to(voice.device)
        v2f, f2v = cross_modal_supervised_contrast(voice, face, labels, self.config.adapt.temperature)
        return v2f.mean() + f2v.mean()


class Classifier(Objective):
    """One classifier of labelled identities for voices and faces.

    It has an additive margin or none.

    Args:
        batches: of the labelled videos.
        identity: code of each labelled video's identity, int64 [n], 0..K-1.
        config: the kind of classifier, scale and margin, and precision.
        directions: initial weights of the classifier, one vector for each identity, [K, dim].
    """

    def __init__(self, batches: PairBatches, identity: Tensor, config: Config, directions: Tensor) -> None:
        self.batches = batches
        self.identity = identity
        self.config = config
        self.weights = nn.Parameter(directions.clone())

    def parameters(self) -> Sequence[nn.Parameter]:
        return [self.weights]

    def loss(self, towers: TwoTower, step: int) -> Tensor:
        index, voice, face = embed_step(towers, self.batches, step, self.config.train.precision)
        labels = self.identity[index].to(voice.device)
        return self._loss(voice, labels).mean() + self._loss(face, labels).mean()

    def _loss(self, z: Tensor, labels: Tensor) -> Tensor:
        settings: AdaptConfig = self.config.adapt
        if settings.objective == "margin-classifier":
            return margin_classifier(z, self.weights, labels, settings.margin_scale, settings.margin)
        return identity_classifier(z, self.weights, labels, settings.temperature)


def mean_directions(model: TwoTower, labelled: Videos, identity: Tensor, reader: Reader) -> Tensor:
    """The mean of each identity's embeddings, voices and faces together.

    Args:
        model: the towers before the first step.
        labelled: videos of the labelled identities.
        identity: code of each video's identity, int64 [n], 0..K-1.
        reader: of the dataset.

    Returns:
        Unit vectors, float32 [K, dim], on the model's device.

    Source:
        Qi, Brown and Lowe, CVPR 2018 (imprinted weights). A classifier with random weights would first pull the
        embeddings towards random directions.
    """
    vectors = embed_videos(model, [labelled], reader)
    totals = torch.zeros(int(identity.max()) + 1, model.model_config.dim)
    for code, voices, faces in zip(identity.tolist(), labelled.voices, labelled.faces, strict=True):
        totals[code] += torch.from_numpy(vectors.voice[voices]).sum(0) + torch.from_numpy(vectors.face[faces]).sum(0)
    return functional.normalize(totals, dim=1).to(next(model.parameters()).device)
