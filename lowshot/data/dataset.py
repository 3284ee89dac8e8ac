"""A dataset: a manifest, and the folder of its voices and faces."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pandas as pd

from lowshot.data.features import map_features, misfit, missing_vectors, write_blocks
from lowshot.data.manifest import read_manifest, write_manifest
from lowshot.data.packing.pack import open_record
from lowshot.data.trust import is_trusted
from lowshot.errors import RequestError
from lowshot.schema import FEATURES, MANIFEST, MODALITIES, PACK, WORLD_FILES, WORLD_PREFIX, WORLD_SIZES

_CHECKED_ROWS = 2**14


class Dataset:
    """Voices and faces by number: voice k is the k-th row of modality `voice` in the manifest; likewise faces.

    Attributes:
        root: the folder that paths of the manifest are relative to.
        name: its name in messages and reports.
        manifest: all rows, as `read_manifest` returns them.
        voices, faces: the rows of one modality, numbered from 0.
    """

    def __init__(self, root: Path, manifest_path: Path, name: str) -> None:
        self.root = root
        self.name = name
        self.manifest_path = manifest_path
        self.manifest = read_manifest(manifest_path)
        self.voices = self._rows("voice")
        self.faces = self._rows("face")

    @classmethod
    def open(cls, source: str | Path) -> "Dataset":
        """Open a dataset that lies on disk; `workflows.datasets.open_dataset` also opens synthetic ones.

        Args:
            source: a directory with manifest.csv, or a manifest.

        Raises:
            RequestError: there is no such dataset, or its manifest breaks a rule.
        """
        path = Path(source)
        if path.is_dir():
            if (path / PACK).is_file():
                open_record(path)
            return cls(path, path / MANIFEST, path.resolve().name)
        if path.is_file():
            return cls(path.parent, path, path.stem)
        raise RequestError(
            f"{path}: no such dataset; give a directory, a manifest, or {WORLD_PREFIX}{'|'.join(WORLD_SIZES)}"
        )

    def rows(self, modality: str) -> pd.DataFrame:
        """Return the manifest rows of one modality, numbered from 0."""
        return {"voice": self.voices, "face": self.faces}[modality]

    def path(self, modality: str, index: int) -> Path:
        """Return the path of the file `index` of `modality`."""
        return self.root / self.rows(modality)["path"].iloc[index]

    def __getstate__(self) -> dict[str, object]:
        """Leave out the vectors: a memory map would travel to another process as a copy."""
        return {name: value for name, value in self.__dict__.items() if name != "features"}

    @property
    def has_features(self) -> bool:
        """Whether its rows are vectors in features.safetensors, not media files."""
        return (self.root / FEATURES).is_file()

    @property
    def has_pack(self) -> bool:
        """Whether its rows are decoded media in a pack, not media files."""
        return (self.root / PACK).is_file()

    @cached_property
    def features(self) -> dict[str, np.ndarray]:
        """The vectors of both modalities, `voice` [n_voice, d_v] and `face` [n_face, d_f], memory-mapped.

        Raises:
            RequestError: the file is unreadable, lacks a modality, has another number of rows than the manifest, or
                holds values that are not finite in float32.
        """
        path = self.root / FEATURES
        tensors = map_features(path)
        for modality in MODALITIES:
            count = len(self.rows(modality))
            if fault := misfit(tensors, modality, count):
                raise RequestError(f"{path}: {fault}")
            # In parts: all rows together may exceed the memory.
            for start in range(0, count, _CHECKED_ROWS):
                block = tensors[modality][start : start + _CHECKED_ROWS]
                with np.errstate(over="ignore"):
                    finite = np.isfinite(block.astype(np.float32, copy=False)).all(axis=1)
                if not finite.all():
                    row = start + int(np.flatnonzero(~finite)[0])
                    raise self.bad_vector(modality, row, "holds values that are not finite")
        return {modality: tensors[modality] for modality in MODALITIES}

    def bad_vector(self, modality: str, index: int, fault: str) -> RequestError:
        """Make the error for the vector `index` of `modality`. Rows are numbered as in `lowshot data check`."""
        row = int(np.flatnonzero(self.manifest["modality"] == modality)[index]) + 2
        return RequestError(
            f"{self.manifest_path}, row {row}: {modality} vector {fault}; "
            "`lowshot data check` writes a manifest without such rows (`write_clean`)"
        )

    @cached_property
    def feature_facts(self) -> dict[str, str]:
        """Metadata of features.safetensors: what is known of the model behind it. It may be empty."""
        from safetensors import safe_open

        with safe_open(self.root / FEATURES, framework="numpy") as file:
            return dict(file.metadata() or {})

    @cached_property
    def sha(self) -> str:
        """Hash that identifies the dataset: 16 hexadecimal digits.

        It covers the manifest, the features and the description of an embedded world: its configuration, the version
        of its renderer, and its truth. It does not cover media files, because even the sizes of millions of files
        would take longer than most runs. If you change media under the same names, write another manifest.

        A pack of all rows has the hash of its dataset, because it gives the same batches: a run on one can resume on
        the other. A pack that skips rows has another manifest and another hash.
        """
        digest = hashlib.sha256(self.manifest_path.read_bytes())
        # Two renderings of one world share a manifest; WORLD_FILES tell them apart.
        for name in (FEATURES, *WORLD_FILES):
            path = self.root / name
            if path.is_file():
                # The name keeps the end of one file apart from the beginning of the next.
                digest.update(f"\0{name}\0".encode())
                with path.open("rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
        return digest.hexdigest()[:16]

    def training_rows(self, split: str = "train") -> dict[str, np.ndarray]:
        """Return the numbers of the rows of `split` by modality; of all rows if the manifest has no splits.

        A manifest without splits is an unlabelled archive: all of it is for pretraining.
        """
        unsplit = split == "train" and (self.manifest["split"] == "").all()
        return {
            modality: np.arange(len(rows)) if unsplit else np.flatnonzero(rows["split"] == split)
            for modality in MODALITIES
            for rows in [self.rows(modality)]
        }

    def check_files(self, modality: str, indices: np.ndarray) -> None:
        """Refuse rows with missing files before any time is spent.

        A pack has all of its rows. Vectors have no files; they are checked when they are opened.

        Raises:
            RequestError: files are missing; names their number and the first few.
        """
        if self.has_features or self.has_pack:
            return
        paths = self.rows(modality)["path"].to_numpy()[indices]
        missing = [path for path in (self.root / relative for relative in paths) if not path.is_file()]
        if missing:
            shown = ", ".join(str(path) for path in missing[:3])
            raise RequestError(
                f"{self.manifest_path}: {len(missing)} of {len(indices)} {modality} files are missing: {shown}"
                f"{', ...' if len(missing) > 3 else ''}"
            )

    def _rows(self, modality: str) -> pd.DataFrame:
        rows = self.manifest[self.manifest["modality"] == modality]
        if not self.has_features and not self.has_pack:
            if fault := missing_vectors(self.root, self.manifest["path"]):
                raise RequestError(f"{self.root / FEATURES}: {fault}")
            self._refuse_paths(rows["path"])
        return rows.reset_index(drop=True)

    def _refuse_paths(self, paths: "pd.Series[str]") -> None:
        # A manifest that somebody else made should not reach into other folders.
        trusted: bool | None = None
        for line, path in zip(paths.index, paths.tolist(), strict=True):
            if path and not leaves_root(path):
                continue
            if path and trusted is None:
                trusted = is_trusted(self.manifest_path)
            if not path or not trusted:
                hint = "; if you trust the author of this manifest, add `trust_paths` once" if path else ""
                raise RequestError(
                    f"{self.manifest_path}, row {line + 2}: path '{path}' "
                    f"must name a file below the manifest's folder{hint}"
                )


def leaves_root(path: str) -> bool:
    """Tell whether a path of a manifest leads out of its folder on any operating system."""
    # Few paths can lead out; parsing millions of others would take minutes.
    if path[:1] not in "/\\" and ":" not in path and ".." not in path:
        return False
    posix, windows = PurePosixPath(path), PureWindowsPath(path)
    return posix.is_absolute() or bool(windows.drive or windows.root) or ".." in windows.parts


def write_features(
    out: Path,
    dataset: Dataset,
    voice: np.ndarray | Iterable[np.ndarray],
    face: np.ndarray | Iterable[np.ndarray],
    facts: Mapping[str, str],
) -> None:
    """Write vectors of a dataset's rows as a new dataset.

    Args:
        out: the directory to make.
        dataset: dataset of the rows. Its manifest is copied, paths included.
        voice, face: [rows of the modality, d], as a whole or as blocks of rows, which are written as they come.
        facts: metadata of the file, str to str.
    """
    write_blocks(out / FEATURES, {"voice": voice, "face": face}, facts)
    write_manifest(dataset.manifest, out / MANIFEST)
