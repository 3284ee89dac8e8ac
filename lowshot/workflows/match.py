"""Rank faces by similarity to a voice, or voices to a face."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lowshot.models.match import Matches


def match(probe: str | Path, candidates: Iterable[str | Path], *, model: str | Path | None = None) -> "Matches":
    """Rank files by similarity to a file of the other modality.

    Args:
        probe: a voice file or a face image; its content says which.
        candidates: files of the other modality.
        model: a run directory, a weights file or `pretrained:NAME`; the newest model if None.

    Returns:
        The ranking, and warnings about its limits.

    Raises:
        RequestError: a file is missing, unreadable or of the wrong modality, or the model takes no such files.
    """
    from lowshot.models.loaded import load_model

    return load_model(model).match(Path(probe), [Path(path) for path in candidates])
