"""Names of adaptations in runs, weights and results.

Models that were adapted in different ways get different names, and so different rows.
"""

from typing import Literal

from lowshot.settings import AdaptConfig

Adaptation = Literal["finetune", "probe"]


def recipe(settings: AdaptConfig) -> list[str]:
    """Non-default strategy and objective; empty for default fine-tuning."""
    usual = AdaptConfig()
    chosen = ((settings.strategy, usual.strategy), (settings.objective, usual.objective))
    return [name for name, default in chosen if name != default]


def adaptation_name(adaptation: str, settings: AdaptConfig) -> str:
    """Name of an adaptation: `probe`, `finetune` or like `finetune-lp-ft-classifier`."""
    return "-".join([adaptation, *recipe(settings)]) if adaptation == "finetune" else adaptation
