"""Strategies of fine-tuning: train everything, the projections, or the last stages.

All other parts are frozen.
"""

import torch
from torch import nn
from torchvision.models import ResNet

from lowshot.adapt.batches import embed_step
from lowshot.data.pairs import PairBatches
from lowshot.models.towers import CompactTower
from lowshot.models.two_tower import TwoTower, with_linear_heads
from lowshot.models.vector_tower import VectorTower
from lowshot.settings import AdaptConfig, Strategy


def learning_rates(settings: AdaptConfig) -> tuple[float, ...]:
    """The learning-rate grid of the chosen strategy."""
    return {
        "full": settings.finetune_learning_rates,
        "head": settings.head_learning_rates,
        "last-stage": settings.last_stage_learning_rates,
        "lp-ft": settings.lp_ft_learning_rates,
    }[settings.strategy]


def trained_parts(towers: TwoTower, strategy: Strategy) -> list[nn.Module]:
    """The parts of a model that a strategy trains.

    Args:
        towers: the model.
        strategy: `full` and `lp-ft` train all parts. `head` trains the parts after the backbones: the projection of a
            compact tower or of a tower of vectors, and linear maps if there are any (a ResNet has neither by itself).
            `last-stage` trains these and each tower's last stage: a ResNet's fourth, the compact tower's fourth block,
            the last hidden layer of a tower of vectors.

    Returns:
        Modules of `towers`, none inside another.
    """
    if strategy in {"full", "lp-ft"}:
        return [towers]
    parts = [towers.voice_head, towers.face_head]
    for tower in (towers.voice, towers.face):
        if isinstance(tower, CompactTower | VectorTower):
            parts.append(tower.project)
            if strategy == "last-stage":
                parts.append(tower.last_stage)
        elif isinstance(tower, ResNet) and strategy == "last-stage":
            parts.append(tower.layer4)
    return parts


def parameters(parts: list[nn.Module]) -> list[nn.Parameter]:
    """The weights of the given modules."""
    return [weight for part in parts for weight in part.parameters()]


def with_a_head(model: TwoTower, strategy: Strategy) -> TwoTower:
    """The model, or a copy with linear maps if needed.

    Without linear maps after the towers, the strategy may have nothing to train.
    """
    if parameters(trained_parts(model, strategy)):
        return model
    place = next(model.parameters()).device
    return with_linear_heads(model).to(place).to(memory_format=torch.channels_last)


def freeze_the_rest(towers: TwoTower, strategy: Strategy) -> list[nn.Parameter]:
    """Freeze all parts that the strategy does not train; return its weights."""
    towers.requires_grad_(False)
    trained = parameters(trained_parts(towers, strategy))
    for weight in trained:
        weight.requires_grad_()
    return trained


def training_mode(towers: TwoTower, strategy: Strategy, *, scratch: bool) -> None:
    """Set batch normalisations to their training mode.

    Args:
        towers: the model.
        strategy: of the fine-tuning.
        scratch: whether the weights are fresh. Statistics of a pretrained model do not change, because the videos of a
            few people would spoil them. Fresh statistics have to be learned: those of trained parts in every step,
            those of frozen parts beforehand (`settle_statistics`).
    """
    towers.train(False)
    if scratch:
        for part in trained_parts(towers, strategy):
            part.train(True)


@torch.no_grad()
def settle_statistics(towers: TwoTower, strategy: Strategy, batches: PairBatches, precision: str) -> None:
    """Learn the statistics of frozen batch normalisations from an epoch, in place.

    Fresh statistics (mean 0, variance 1) would leave the frozen parts of fresh towers without any normalisation.

    Args:
        towers: the model, with fresh weights; in evaluation mode afterwards.
        strategy: of the fine-tuning; if it trains everything, nothing is frozen and nothing is done.
        batches: of labelled videos.
        precision: of the towers.
    """
    trained = {inner for part in trained_parts(towers, strategy) for inner in part.modules()}
    frozen = [norm for norm in towers.modules() if isinstance(norm, nn.BatchNorm2d) and norm not in trained]
    if not frozen:
        return
    towers.eval()
    momenta = [norm.momentum for norm in frozen]
    for norm in frozen:
        norm.reset_running_stats()
        norm.train()
        # The plain mean over all batches.
        norm.momentum = None
    for step in range(batches.steps_per_epoch):
        embed_step(towers, batches, step, precision)
    for norm, momentum in zip(frozen, momenta, strict=True):
        norm.momentum = momentum
    towers.eval()
