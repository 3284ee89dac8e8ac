"""Supervised contrast of labelled videos together with CMPC on all."""

import numpy as np
import torch
from torch import Tensor

from lowshot.adapt.batches import embed_step
from lowshot.adapt.objectives import Objective
from lowshot.config import Config
from lowshot.data.pairs import PairBatches, Videos
from lowshot.data.readers.base import Reader
from lowshot.methods.base import RunShape
from lowshot.methods.cmpc import Cmpc
from lowshot.models.embedding import embed
from lowshot.models.two_tower import TwoTower
from lowshot.settings import CmpcConfig

# The label of a video that has none.
UNKNOWN = -1
# The random stream of batches of all training videos, different from that of the labelled ones.
_STREAM = 1


class OngoingCmpc(Cmpc):
    """CMPC that continues from a trained model, with a few known labels.

    Clusters are in use from the first step.

    Args:
        config: temperatures and weights; its schedule is ignored.
        shape: of the run; its N videos are all training videos.
        identity: code of each labelled video's identity, `UNKNOWN` for other videos, int64 [N].
        every: steps from one clustering to the next.

    Deviation:
        In the instance contrast two labelled videos of one identity are not negatives of each other. In the prototype
        contrast their clusters decide.
    """

    def __init__(self, config: CmpcConfig, shape: RunShape, identity: Tensor, every: int) -> None:
        super().__init__(config, shape)
        self.identity = identity.to(shape.device)
        self.every = every

    def remember(self, voice: Tensor, face: Tensor) -> None:
        """Fill the memory with embeddings of all videos, [N, dim] each."""
        every_video = torch.arange(self.shape.videos)
        self.voice_bank.update(every_video, voice)
        self.face_bank.update(every_video, face)

    def clusters_at(self, step: int) -> bool:
        """Whether the banks are clustered before `step`.

        They are clustered at regular intervals, once they hold vectors.
        """
        return step % self.every == 0 and bool(self.voice_bank.written.any())

    def _excluded_negatives(self, index: Tensor) -> Tensor:
        own = self.identity[index]
        return (own[:, None] == own) & (own != UNKNOWN)


class SemiSupervised(Objective):
    """A loss of labelled videos plus CMPC on all training videos.

    Args:
        labelled: the loss of labelled videos.
        cmpc: in its initial state.
        batches: of all training videos, the same videos as in `cmpc`.
        config: weight of CMPC, and precision.
    """

    def __init__(self, labelled: Objective, cmpc: OngoingCmpc, batches: PairBatches, config: Config) -> None:
        self.labelled = labelled
        self.cmpc = cmpc
        self.batches = batches
        self.config = config

    def loss(self, towers: TwoTower, step: int) -> Tensor:
        known = self.labelled.loss(towers, step)
        self.cmpc.before_step(step)
        index, voice, face = embed_step(towers, self.batches, step, self.config.train.precision)
        index = index.to(voice.device)
        ongoing, _ = self.cmpc.loss(index, voice, face)
        # The memory takes no part in the gradient.
        self.cmpc.after_step(index, voice.detach(), face.detach())
        return known + self.config.adapt.unlabelled_weight * ongoing


def batches_of_all(training: Videos, reader: Reader, config: Config, seed: int) -> PairBatches:
    """Batches of all training videos, independent of the labelled batches."""
    own_seed = int(np.random.SeedSequence([seed, _STREAM]).generate_state(1, np.uint32)[0])
    return PairBatches(training, reader, config.adapt.batch_size, own_seed, config.voice, config.face, config.augment)


def known_identities(training: Videos, labelled: Videos) -> Tensor:
    """Identity code of each labelled video, `UNKNOWN` for others, int64 [N]."""
    codes = np.unique(labelled.identities, return_inverse=True)[1].tolist()
    of_video = dict(zip(labelled.names, codes, strict=True))
    return torch.tensor([of_video.get(name, UNKNOWN) for name in training.names])


def ongoing_cmpc(model: TwoTower, identity: Tensor, batches: PairBatches, config: Config, seed: int) -> OngoingCmpc:
    """CMPC over all training videos, with an empty memory.

    Args:
        model: the towers.
        identity: the result of `known_identities`.
        batches: of all training videos.
        config: `config.adapt` has its terms.
        seed: of the clusterings.
    """
    shape = RunShape(
        videos=len(batches.videos),
        dim=model.model_config.dim,
        batch_size=batches.batch_size,
        steps_per_epoch=batches.steps_per_epoch,
        epochs=-(-config.adapt.steps // batches.steps_per_epoch),
        seed=seed,
        device=next(model.parameters()).device,
    )
    terms = CmpcConfig(**config.adapt.cmpc.model_dump())
    return OngoingCmpc(terms, shape, identity, config.adapt.cluster_every)


def first_embeddings(model: TwoTower, training: Videos, reader: Reader) -> tuple[Tensor, Tensor]:
    """Embeddings of each video's first voice and face, float32 [N, dim] each."""
    voices, faces = (np.array([rows[0] for rows in column]) for column in (training.voices, training.faces))
    vectors = embed(model, reader, voices, faces)
    return torch.from_numpy(vectors.voice[voices]), torch.from_numpy(vectors.face[faces])
