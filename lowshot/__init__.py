"""lowshot: voice-face representations learned without identity labels, adapted with few, measured honestly.

The verbs of the command line are functions here: `lowshot.pretrain`, `finetune`, `probe`, `embed`, `evaluate`, `match`,
`load` and `open_data` (docs/api.md).
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lowshot.api import Evaluation, embed, evaluate, finetune, match, open_data, pretrain, probe
    from lowshot.models.loaded import LoadedModel
    from lowshot.models.loaded import load_model as load

__all__ = [
    "Evaluation",
    "LoadedModel",
    "embed",
    "evaluate",
    "finetune",
    "load",
    "match",
    "open_data",
    "pretrain",
    "probe",
]


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: `import lowshot` alone stays quick.
    if name in ("load", "LoadedModel"):
        from lowshot.models import loaded

        return {"load": loaded.load_model, "LoadedModel": loaded.LoadedModel}[name]
    if name in __all__:
        from lowshot import api

        return getattr(api, name)
    raise AttributeError(f"module 'lowshot' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
