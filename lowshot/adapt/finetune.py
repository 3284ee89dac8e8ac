"""Fine-tuning both towers on the videos of a few labelled identities."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import nn

from lowshot.adapt.chosen_objective import objective_maker
from lowshot.adapt.early_stopping import Selected, select
from lowshot.adapt.probe import probe
from lowshot.adapt.strategies import freeze_the_rest, learning_rates, settle_statistics, training_mode, with_a_head
from lowshot.config import Config
from lowshot.data.pairs import PairBatches, Videos
from lowshot.data.readers.base import Reader
from lowshot.models.two_tower import TwoTower
from lowshot.training.validation import validation_auc


def finetune(
    model: TwoTower,
    labelled: Videos,
    validation: Videos,
    reader: Reader,
    config: Config,
    seed: int,
    *,
    scratch: bool,
) -> tuple[TwoTower, Selected]:
    """Fine-tune a model on labelled videos.

    `config.adapt.strategy` names the parts to train, and `config.adapt.objective` the objective.

    Args:
        model: the model to start from; not changed.
        labelled: videos of the labelled training identities.
        validation: videos of validation identities, which choose learning rate and stopping step.
        reader: of the dataset.
        config: `config.adapt` has the strategy, the objective, the number of steps and the learning rates.
        seed: seed of the samples.
        scratch: whether the weights are fresh, including the statistics of batch normalisation; see `training_mode`.

    Returns:
        The chosen model, in evaluation mode, and the record of the choice.

    Source:
        `lp-ft`: Kumar, Raghunathan, Jones, Ma and Liang, ICLR 2022: fine-tuning that starts from a linear probe.

    Deviation:
        Their probe is a classifier. Ours is a linear map after each tower, as `probe` trains it.
    """
    settings, precision = config.adapt, config.train.precision
    first: Selected | None = None
    device = next(model.parameters()).device
    if settings.strategy == "lp-ft":
        model, first = probe(model, labelled, validation, reader, config, seed)
        model.to(device).to(memory_format=torch.channels_last)
    model = with_a_head(model, settings.strategy)
    batches = PairBatches(labelled, reader, settings.batch_size, seed, config.voice, config.face, config.augment)
    if scratch:
        model = copy.deepcopy(model)
        settle_statistics(model, settings.strategy, batches, precision)
    make_objective = objective_maker(model, labelled, batches, reader, config, seed, scratch=scratch)

    def attempt(module: nn.Module, rate: float) -> Callable[[int], None]:
        towers = cast(TwoTower, module)
        objective = make_objective()
        trained = [*freeze_the_rest(towers, settings.strategy), *objective.parameters()]
        optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=settings.weight_decay)

        def take_step(step: int) -> None:
            # Validation leaves the whole model in one mode.
            training_mode(towers, settings.strategy, scratch=scratch)
            loss = objective.loss(towers, step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

        return take_step

    adapted, chosen = select(
        model,
        learning_rates(settings),
        settings.steps,
        settings.checks,
        attempt,
        lambda module: validation_auc(cast(TwoTower, module), reader, validation),
    )
    return cast(TwoTower, adapted).requires_grad_(True).eval(), replace(chosen, probe=first)
