"""What an adaptation is called in runs, weights and results: models adapted in different ways are never one row."""

from typing import Literal

from lowshot.settings import AdaptConfig

Adaptation = Literal["finetune", "probe"]


def recipe(settings: AdaptConfig) -> list[str]:
    """What of strategy and objective departs from the defaults; empty for the usual fine-tuning."""
    usual = AdaptConfig()
    chosen = ((settings.strategy, usual.strategy), (settings.objective, usual.objective))
    return [name for name, default in chosen if name != default]


def adaptation_name(adaptation: str, settings: AdaptConfig) -> str:
    """`probe`, `finetune`, or fine-tuning with what departs from the defaults, as in `finetune-lp-ft-classifier`."""
    return "-".join([adaptation, *recipe(settings)]) if adaptation == "finetune" else adaptation
