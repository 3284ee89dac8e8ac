"""Checkpoints of a run: written atomically, read without executing code."""

import pickle
from pathlib import Path
from typing import Any

import torch

from lowshot.errors import RequestError, RunError
from lowshot.files import atomic_path


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain values only), atomically.

    Raises:
        RunError: the file cannot be written; the checkpoint before it is intact.
    """
    try:
        with atomic_path(path) as temporary:
            torch.save(state, temporary)
    except (OSError, RuntimeError) as error:
        raise RunError(f"{path}: the checkpoint cannot be written ({error}); the one before it is intact") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of `save_checkpoint` onto the CPU.

    Raises:
        RequestError: the file is damaged or holds more than tensors and plain values.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        fault = str(error).partition("\n")[0] or type(error).__name__
        raise RequestError(f"{path}: not a readable checkpoint ({fault})") from error
