"""What fine-tuning minimises over the labelled videos."""

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
    """A loss of the towers on a step's batch, with what it learns by itself for the length of one attempt."""

    def parameters(self) -> Sequence[nn.Parameter]:
        """What is trained besides the towers and dropped afterwards."""
        return ()

    @abstractmethod
    def loss(self, towers: TwoTower, step: int) -> Tensor:
        """The scalar to minimise at a step (counted from 0)."""


class Contrast(Objective):
    """Cross-modal supervised contrast: a voice's positives are all faces of its identity.

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
    """One classifier of the labelled identities for voices and faces alike, with an additive margin or without.

    Args:
        batches: of the labelled videos.
        identity: code of each labelled video's identity, int64 [n], 0..K-1.
        config: which of the two, scale and margin, and precision.
        directions: what the classifier starts from, one vector for each identity, [K, dim].
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
        Qi, Brown and Lowe, CVPR 2018 (imprinted weights). A classifier that starts at random would first draw the
        embeddings towards where it happens to stand.
    """
    vectors = embed_videos(model, [labelled], reader)
    totals = torch.zeros(int(identity.max()) + 1, model.model_config.dim)
    for code, voices, faces in zip(identity.tolist(), labelled.voices, labelled.faces, strict=True):
        totals[code] += torch.from_numpy(vectors.voice[voices]).sum(0) + torch.from_numpy(vectors.face[faces]).sum(0)
    return functional.normalize(totals, dim=1).to(next(model.parameters()).device)
