"""Early stopping and choice of the learning rate, on validation identities only."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

UNCHANGED = "no gain on the validation identities; the starting model is kept"


@dataclass(frozen=True)
class Selected:
    """The chosen attempt and its validation AUC.

    Attributes:
        learning_rate: of the chosen attempt; 0 if no step of any attempt improved on the pretrained model.
        step: number of steps that gave the chosen weights.
        val_auc: validation AUC of the chosen weights.
        start_auc: validation AUC before any step.
        probe: the choice of the probe that the attempts started from; None without a probe.
    """

    learning_rate: float
    step: int
    val_auc: float
    start_auc: float
    probe: "Selected | None" = None

    def __str__(self) -> str:
        """The choice in one line."""
        first = f"probe: {self.probe}; then: " if self.probe else ""
        if self.step == 0:
            return f"{first}no gain on the validation AUC of {self.start_auc:.3f}; the model is unchanged"
        return (
            f"{first}validation AUC {self.start_auc:.3f} -> {self.val_auc:.3f} "
            f"(step {self.step}, learning rate {self.learning_rate:g})"
        )


def start_kept(selected: Mapping[str, Any]) -> bool:
    """Whether a choice in provenance.json, and its probe, took no step."""
    return selected["step"] == 0 and (selected.get("probe") is None or start_kept(selected["probe"]))


def select(
    pretrained: nn.Module,
    learning_rates: Sequence[float],
    steps: int,
    checks: int,
    attempt: Callable[[nn.Module, float], Callable[[int], None]],
    validate: Callable[[nn.Module], float],
) -> tuple[nn.Module, Selected]:
    """Train once per learning rate; keep the weights of best validation AUC.

    The pretrained module counts as an attempt of no steps, so labels that do not help on validation change nothing.

    Args:
        pretrained: the module to adapt; not changed.
        learning_rates: the grid.
        steps: steps of each attempt.
        checks: number of validation AUCs during each attempt, evenly spaced, the last after the last step.
        attempt: given a copy of `pretrained` and a rate, returns a function that takes one step (numbered from 0).
        validate: the AUC of a module on validation identities.

    Returns:
        The chosen module and the record of the choice. Among equal AUCs the first one is kept.
    """
    start_auc = validate(pretrained)
    best, chosen = pretrained, Selected(0.0, 0, start_auc, start_auc)
    due = {round(steps * (check + 1) / checks) for check in range(checks)}
    for rate in learning_rates:
        module = copy.deepcopy(pretrained)
        take_step = attempt(module, rate)
        for step in range(steps):
            take_step(step)
            if step + 1 not in due:
                continue
            value = validate(module)
            if value > chosen.val_auc:
                best, chosen = copy.deepcopy(module), Selected(rate, step + 1, value, start_auc)
    return best, chosen
