"""Early stopping and the choice of a learning rate, on validation identities only."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

UNCHANGED = "no step of its adaptation raised the validation AUC, and the start was kept"


@dataclass(frozen=True)
class Selected:
    """What was chosen, and by which figure.

    Attributes:
        learning_rate: of the chosen attempt; 0 when no step of any attempt improved on the pretrained model.
        step: after which the chosen weights stood.
        val_auc: validation AUC of the chosen weights.
        start_auc: validation AUC before any step.
        probe: how the probe was chosen that the attempts started from; None where there was none.
    """

    learning_rate: float
    step: int
    val_auc: float
    start_auc: float
    probe: "Selected | None" = None

    def __str__(self) -> str:
        """The choice in a line, for a person."""
        first = f"probe: {self.probe}; then: " if self.probe else ""
        if self.step == 0:
            return f"{first}no step raised the validation AUC of {self.start_auc:.3f}: unchanged"
        return (
            f"{first}validation AUC {self.start_auc:.3f} -> {self.val_auc:.3f} "
            f"(step {self.step}, learning rate {self.learning_rate:g})"
        )


def start_kept(selected: Mapping[str, Any]) -> bool:
    """Whether a choice, as provenance.json holds it, took no step; with a probe before, neither did that."""
    return selected["step"] == 0 and (selected.get("probe") is None or start_kept(selected["probe"]))


def select(
    pretrained: nn.Module,
    learning_rates: Sequence[float],
    steps: int,
    checks: int,
    attempt: Callable[[nn.Module, float], Callable[[int], None]],
    validate: Callable[[nn.Module], float],
) -> tuple[nn.Module, Selected]:
    """Train once per learning rate, look at the validation AUC now and then, keep the best weights seen.

    The pretrained module counts as an attempt of no steps: labels that do not help on validation change nothing.

    Args:
        pretrained: the module to adapt; left as it is.
        learning_rates: the grid.
        steps: steps of each attempt.
        checks: how many validation AUCs during each attempt, evenly spaced, the last after the last step.
        attempt: given a copy of `pretrained` and a rate, returns a function that takes one step (numbered from 0).
        validate: the AUC of a module on validation identities.

    Returns:
        The chosen module and the record of the choice. Of equal AUCs the one met first is kept.
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
