"""Self-lifting: cluster voices and faces together; learn clusters as identities."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lowshot.clustering import UNASSIGNED, kmeans
from lowshot.losses.instance import instance_contrast
from lowshot.losses.multi_similarity import multi_similarity
from lowshot.memory import MemoryBank
from lowshot.methods.base import Method, Partition, RunShape
from lowshot.settings import SelfLiftingConfig


class SelfLifting(Method):
    """Pseudo-labels from k-means on both modalities, and a multi-similarity loss.

    Args:
        config: of the loss, the warm-up and the clustering.
        shape: of the run. Its N videos get N / videos_per_pseudo_label labels.

    Source:
        Chen, Zhang, Liu and Du, ICMR 2022: alternate clustering and metric learning. Only the abstract of the paper
        was available; the rest is from the authors' code (my-yy/sl_icmr2022, sl.py). It runs k-means of 20
        iterations on the concatenation of a video's voice and face embedding, with 1,000 clusters. The
        multi-similarity loss (alpha 2, beta 50, base 1, no mining) takes voices and faces of a batch together, so that
        pairs within a modality count as well as pairs across.

    Deviation:
        Warm-up: the authors' towers take face and voice vectors of pretrained recognisers, so that the first
        clustering already finds people. Towers trained from scratch do not find them, and learn by instance contrast
        until then, as CMPC's do. Clustering is spherical, on the memory bank's unit vectors, every `cluster_every`
        epochs. The authors encode all media of every video again, cluster without normalising, and do so every 64,000
        samples. The towers share no layers. A video that the bank had not seen at the clustering gets its own label.
    """

    def __init__(self, config: SelfLiftingConfig, shape: RunShape) -> None:
        self.config = config
        self.shape = shape
        videos = shape.videos
        self.labels = min(videos, max(2, round(videos / config.videos_per_pseudo_label)))
        # One epoch at least: clustering needs a bank in which vectors have been written.
        self.warmup_epochs = max(1, round(config.warmup_share * shape.epochs))
        self.voice_bank = MemoryBank(videos, shape.dim, config.memory_momentum).to(shape.device)
        self.face_bank = MemoryBank(videos, shape.dim, config.memory_momentum).to(shape.device)
        self.pseudo_labels: Tensor | None = None

    def clusters_at(self, step: int) -> bool:
        """Whether the videos are clustered before `step`."""
        epoch, position = divmod(step, self.shape.steps_per_epoch)
        late = epoch - self.warmup_epochs
        return position == 0 and late >= 0 and late % self.config.cluster_every == 0

    def before_step(self, step: int) -> None:
        if self.clusters_at(step):
            self.pseudo_labels = self._cluster(step)

    def _cluster(self, step: int) -> Tensor:
        """Pseudo-label of each video, int64 [N]; -1 for unwritten rows."""
        written = self.voice_bank.written.nonzero().squeeze(1)
        both = torch.cat([self.voice_bank.vectors[written], self.face_bank.vectors[written]], dim=1)
        seed = int(np.random.SeedSequence([self.shape.seed, step]).generate_state(1, np.uint32)[0])
        k = min(self.labels, len(written))
        result = kmeans(F.normalize(both, dim=1), k, seed, self.config.kmeans_iterations)
        labels = torch.full((self.shape.videos,), UNASSIGNED, dtype=torch.int64, device=written.device)
        labels[written] = result.assignments
        return labels

    def loss(
        self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        if self.pseudo_labels is None:
            v2f, f2v = instance_contrast(voice, face, self.config.temperature)
            instance = v2f.mean() + f2v.mean()
            return instance, {"loss_instance": instance.item()}
        label = self.pseudo_labels[index]
        # Distinct negative numbers: a video without a label has no positives.
        label = torch.where(label == UNASSIGNED, -1 - torch.arange(len(label), device=label.device), label)
        both, labels = torch.cat([voice, face]), torch.cat([label, label])
        total = multi_similarity(both, labels, self.config.alpha, self.config.beta, self.config.base).mean()
        return total, {"loss_multi_similarity": total.item()}

    def after_step(self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor) -> None:
        self.voice_bank.update(index, voice)
        self.face_bank.update(index, face)

    def partitions(self) -> list[Partition]:
        return [] if self.pseudo_labels is None else [Partition("both", self.pseudo_labels.cpu().numpy())]

    def state_dict(self) -> dict[str, Any]:
        return {
            "voice_bank": self.voice_bank.state_dict(),
            "face_bank": self.face_bank.state_dict(),
            "pseudo_labels": self.pseudo_labels,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.voice_bank.load_state_dict(state["voice_bank"])
        self.face_bank.load_state_dict(state["face_bank"])
        labels = state["pseudo_labels"]
        self.pseudo_labels = None if labels is None else labels.to(self.shape.device)
