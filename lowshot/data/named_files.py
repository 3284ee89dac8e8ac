"""Voices and faces that a person names one by one, as a dataset: no folder holds them, and no manifest lists them."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from PIL import Image

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.schema import MANIFEST, MANIFEST_COLUMNS, MODALITIES


class NamedFiles(Dataset):
    """Files as voices and faces, numbered in the order given.

    Args:
        voices, faces: the files; nothing is known of whose they are.
    """

    def __init__(self, voices: Sequence[Path], faces: Sequence[Path]) -> None:
        files = dict(zip(MODALITIES, (voices, faces), strict=True))
        # Nothing lies there: no vectors and no pack can stand for the files.
        self.root = Path("files named one by one")
        self.name = "named files"
        self.manifest_path = self.root / MANIFEST
        rows = [(str(path), modality, str(path), "", "") for modality in MODALITIES for path in files[modality]]
        self.manifest = pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS), dtype=str)
        self.voices = self._rows("voice")
        self.faces = self._rows("face")

    def path(self, modality: str, index: int) -> Path:
        """The file, as it was named."""
        return Path(self.rows(modality)["path"].iloc[index])

    def _rows(self, modality: str) -> pd.DataFrame:
        return self.manifest[self.manifest["modality"] == modality].reset_index(drop=True)


def is_face(path: Path) -> bool:
    """Whether a file is an image; its content says so, not its name.

    Raises:
        RequestError: there is no such file.
    """
    if path.is_dir():
        raise RequestError(f"{path}: is a folder; name the files in it")
    if not path.is_file():
        raise RequestError(f"{path}: no such file")
    try:
        with Image.open(path):
            return True
    # Pillow raises whatever a damaged header makes it run into.
    except Exception:
        return False
