"""Fine-tuning both towers on the videos of a few labelled identities."""

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import nn

from lowshot.adapt.selection import Selected, select
from lowshot.config import Config
from lowshot.data.pairs import PairBatches, Videos
from lowshot.data.reader import MediaReader
from lowshot.losses.supervised import cross_modal_supervised_contrast
from lowshot.models.two_tower import TwoTower
from lowshot.training.precision import autocast
from lowshot.training.validation import validation_auc


def finetune(
    model: TwoTower,
    labelled: Videos,
    validation: Videos,
    reader: MediaReader,
    config: Config,
    seed: int,
    *,
    scratch: bool,
) -> tuple[TwoTower, Selected]:
    """Train all weights by cross-modal supervised contrast: a voice's positives are all faces of its identity.

    Args:
        model: where to start; left as it is.
        labelled: videos of the labelled training identities.
        validation: videos of validation identities, by which learning rate and stopping step are chosen.
        reader: decoded media.
        config: `config.adapt` says how long and how fast.
        seed: of the samples.
        scratch: whether the weights are fresh. Batch-norm statistics of a pretrained model stay as they are, for a few
            people's videos would spoil them; fresh ones have to be learned.

    Returns:
        The chosen model, in evaluation mode, and how it was chosen.
    """
    batches = PairBatches(labelled, reader, config.adapt.batch_size, seed, config.voice, config.face, config.augment)
    identity = torch.from_numpy(np.unique(labelled.identities, return_inverse=True)[1])

    def attempt(module: nn.Module, rate: float) -> Callable[[int], None]:
        towers = cast(TwoTower, module)
        towers.train(scratch)
        optimizer = torch.optim.AdamW(towers.parameters(), lr=rate, weight_decay=config.adapt.weight_decay)
        device = next(towers.parameters()).device

        def take_step(step: int) -> None:
            batch = batches.batch(step).to(device)
            with autocast(device, config.train.precision):
                voice, face = towers(
                    batch.voice.contiguous(memory_format=torch.channels_last),
                    batch.face.contiguous(memory_format=torch.channels_last),
                )
            labels = identity[batch.index.cpu()].to(device)
            v2f, f2v = cross_modal_supervised_contrast(voice, face, labels, config.adapt.temperature)
            optimizer.zero_grad(set_to_none=True)
            (v2f.mean() + f2v.mean()).backward()
            optimizer.step()

        return take_step

    adapted, chosen = select(
        model,
        config.adapt.finetune_learning_rates,
        config.adapt.steps,
        config.adapt.checks,
        attempt,
        lambda module: validation_auc(cast(TwoTower, module), reader, validation),
    )
    return cast(TwoTower, adapted).eval(), chosen
