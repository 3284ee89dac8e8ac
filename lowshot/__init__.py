"""lowshot: voice-face representations learned without identity labels, adapted with few, measured honestly.

The verbs of the command line are functions here: `lowshot.pretrain`, `finetune`, `probe`, `embed`, `evaluate`,
`compare`, `match` and `report`; `lowshot.load` gives a model, and `open_data` a dataset (docs/api.md).
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lowshot.api import (
        compare,
        embed,
        evaluate,
        finetune,
        load_model,
        match,
        open_data,
        pretrain,
        probe,
        probe_within,
        report,
    )
    from lowshot.models.loaded import LoadedModel
    from lowshot.models.loaded import load_model as load
    from lowshot.workflows.evaluate import Evaluation

# Public name -> module and name there.
_PLACES = {
    **{
        name: ("lowshot.api", name)
        for name in (
            "compare",
            "embed",
            "evaluate",
            "finetune",
            "load_model",
            "match",
            "open_data",
            "pretrain",
            "probe",
            "probe_within",
            "report",
        )
    },
    "Evaluation": ("lowshot.workflows.evaluate", "Evaluation"),
    "LoadedModel": ("lowshot.models.loaded", "LoadedModel"),
    "load": ("lowshot.models.loaded", "load_model"),
}

__all__ = [
    "Evaluation",
    "LoadedModel",
    "compare",
    "embed",
    "evaluate",
    "finetune",
    "load",
    "load_model",
    "match",
    "open_data",
    "pretrain",
    "probe",
    "probe_within",
    "report",
]


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: `import lowshot` alone stays quick.
    if name in _PLACES:
        import importlib

        module, there = _PLACES[name]
        return getattr(importlib.import_module(module), there)
    raise AttributeError(f"module 'lowshot' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
