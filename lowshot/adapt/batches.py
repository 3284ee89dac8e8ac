"""Embeddings of a step's batch of training videos."""

from torch import Tensor

from lowshot.data.pairs import PairBatches
from lowshot.models.two_tower import TwoTower, tower_layout
from lowshot.training.precision import autocast


def embed_step(towers: TwoTower, batches: PairBatches, step: int, precision: str) -> tuple[Tensor, Tensor, Tensor]:
    """Embed the batch of a step.

    Args:
        towers: the model, in any mode.
        batches: of the videos to train on.
        step: counted from 0.
        precision: of the towers.

    Returns:
        Numbers of the videos, int64 [B] on the CPU, and the unit embeddings of their voices and faces, float32
        [B, dim].
    """
    device = next(towers.parameters()).device
    batch = batches.batch(step)
    index, batch = batch.index, batch.to(device)
    with autocast(device, precision):
        voice, face = towers(tower_layout(batch.voice), tower_layout(batch.face))
    return index, voice, face
