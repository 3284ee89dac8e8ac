"""CMPC: instance contrast, prototype contrast, and recalibrated pairs."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from lowshot.clustering import Clusters
from lowshot.losses.agreement import neighbour_agreement
from lowshot.losses.instance import instance_contrast
from lowshot.losses.prototype import of_the_batch, over_granularities, prototype_contrast
from lowshot.losses.recalibration import deviation, recalibration_weights, weighted_mean
from lowshot.memory import MemoryBank, cluster_bank
from lowshot.methods.base import Method, Partition, RunShape
from lowshot.settings import CmpcConfig


class Cmpc(Method):
    """The paper's objective; every step after a clustering uses its clusters.

    Args:
        config: temperatures, weights and schedule.
        shape: of the run. Granularity r forms K_r = N / videos_per_cluster[r] clusters of its N videos.

    Source:
        Zhu et al., IJCAI 2022, arXiv 2204.14057.

    Deviation:
        The released code drops its clusters at the top of every iteration, so that all but a few of its steps are
        plain instance contrast. docs/fidelity.md lists this deviation and the others.
    """

    def __init__(self, config: CmpcConfig, shape: RunShape) -> None:
        self.config = config
        self.shape = shape
        videos = shape.videos
        self.granularities = [min(videos, max(2, round(videos / ratio))) for ratio in config.videos_per_cluster]
        # One epoch at least: clustering needs a bank in which vectors have been written.
        self.warmup_epochs = max(1, round(config.warmup_share * shape.epochs))
        self.voice_bank = MemoryBank(videos, shape.dim, config.memory_momentum).to(shape.device)
        self.face_bank = MemoryBank(videos, shape.dim, config.memory_momentum).to(shape.device)
        self.voice_clusters: Clusters | None = None
        self.face_clusters: Clusters | None = None
        self.pair_weights = torch.ones(videos, device=shape.device)

    def clusters_at(self, step: int) -> bool:
        """Whether the banks are clustered before `step`."""
        epoch, position = divmod(step, self.shape.steps_per_epoch)
        late = epoch - self.warmup_epochs
        return position == 0 and late >= 0 and late % self.config.cluster_every == 0

    def before_step(self, step: int) -> None:
        if self.clusters_at(step):
            self.voice_clusters = self._cluster(self.voice_bank, step, modality=0)
            self.face_clusters = self._cluster(self.face_bank, step, modality=1)
            if self.config.recalibration == "cluster-neighbours":
                self.pair_weights = self._weigh_by_neighbours(self.voice_clusters, self.face_clusters)

    def _cluster(self, bank: MemoryBank, step: int, modality: int) -> Clusters:
        seed = int(np.random.SeedSequence([self.shape.seed, step, modality]).generate_state(1, np.uint32)[0])
        # Early on, fewer videos may have been seen than the finest granularity asks for.
        written = int(bank.written.sum())
        return cluster_bank(
            bank,
            [min(k, written) for k in self.granularities],
            seed,
            iterations=self.config.kmeans_iterations,
            mean_concentration=self.config.prototype_temperature,
        )

    def _weigh_by_neighbours(self, voices: Clusters, faces: Clusters) -> torch.Tensor:
        """Weight of each training video, [N], from its cluster neighbours."""
        agreements = [
            neighbour_agreement(self.voice_bank.vectors, self.face_bank.vectors, of_voice, of_face)
            for of_voice, of_face in zip(voices.assignments, faces.assignments, strict=True)
        ]
        # A video that is alone in its cluster at one granularity may have neighbours at another.
        return recalibration_weights(torch.stack(agreements).nanmean(dim=0), self.config.delta, self.config.kappa)

    def loss(
        self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        v2f, f2v = instance_contrast(voice, face, self.config.temperature, self._excluded_negatives(index))
        instance = v2f.mean() + f2v.mean()
        logs = {"loss_instance": instance.item()}
        if self.voice_clusters is None or self.face_clusters is None:
            return instance, logs
        voices, faces = self.voice_clusters, self.face_clusters
        voice_prototype = self._prototype_loss(voice, faces, index)
        face_prototype = self._prototype_loss(face, voices, index)
        weights = self._weights(index, voice, face, voices, faces)
        scale = self.config.prototype_weight
        total = weighted_mean(v2f + scale * voice_prototype, weights) + weighted_mean(
            f2v + scale * face_prototype, weights
        )
        logs["loss_prototype"] = (voice_prototype.mean() + face_prototype.mean()).item()
        logs["mean_weight"] = weights.mean().item()
        return total, logs

    def _excluded_negatives(self, index: torch.Tensor) -> torch.Tensor | None:
        """Excluded negatives of a batch, bool [B, B]; None if there are none."""
        return None

    def _weights(
        self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor, voices: Clusters, faces: Clusters
    ) -> torch.Tensor:
        """Recalibration weight of each pair of a batch, [B]."""
        match self.config.recalibration:
            case "none":
                return torch.ones(len(index), device=voice.device)
            case "cluster-neighbours":
                return self.pair_weights[index]
            case "paper":
                rho = deviation(
                    voice,
                    face,
                    voices.prototypes,
                    faces.prototypes,
                    [assigned[index] for assigned in voices.assignments],
                    [assigned[index] for assigned in faces.assignments],
                )
                return recalibration_weights(rho, self.config.delta, self.config.kappa)

    def _prototype_loss(self, z: torch.Tensor, other: Clusters, index: torch.Tensor) -> torch.Tensor:
        """Prototype loss of each embedding, mean over granularities, [B]."""
        losses = []
        for granularity in zip(other.prototypes, other.concentration, other.assignments, strict=True):
            prototypes, phi, assigned = granularity
            own = assigned[index]
            if self.config.prototype_negatives == "batch":
                prototypes, phi, own = of_the_batch(prototypes, phi, own)
            losses.append(prototype_contrast(z, prototypes, phi, own))
        return over_granularities(losses)

    def after_step(self, index: torch.Tensor, voice: torch.Tensor, face: torch.Tensor) -> None:
        self.voice_bank.update(index, voice)
        self.face_bank.update(index, face)

    def partitions(self) -> list[Partition]:
        found = (("voice", self.voice_clusters), ("face", self.face_clusters))
        return [
            Partition(modality, assigned.cpu().numpy())
            for modality, clusters in found
            if clusters is not None
            for assigned in clusters.assignments
        ]

    @torch.no_grad()
    def pair_weights_now(self) -> torch.Tensor | None:
        """Weights of all training videos, from the vectors of the memory banks."""
        if self.voice_clusters is None or self.face_clusters is None or self.config.recalibration == "none":
            return None
        index = torch.arange(self.shape.videos, device=self.shape.device)
        banks = self.voice_bank.vectors, self.face_bank.vectors
        return self._weights(index, *banks, self.voice_clusters, self.face_clusters)

    def state_dict(self) -> dict[str, Any]:
        return {
            "voice_bank": self.voice_bank.state_dict(),
            "face_bank": self.face_bank.state_dict(),
            "voice_clusters": asdict(self.voice_clusters) if self.voice_clusters else None,
            "face_clusters": asdict(self.face_clusters) if self.face_clusters else None,
            "pair_weights": self.pair_weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.voice_bank.load_state_dict(state["voice_bank"])
        self.face_bank.load_state_dict(state["face_bank"])
        self.voice_clusters = _clusters(state["voice_clusters"], self.shape.device)
        self.face_clusters = _clusters(state["face_clusters"], self.shape.device)
        self.pair_weights = state["pair_weights"].to(self.shape.device)


def _clusters(state: dict[str, list[torch.Tensor]] | None, device: torch.device) -> Clusters | None:
    if state is None:
        return None
    return Clusters(**{name: [tensor.to(device) for tensor in tensors] for name, tensors in state.items()})
