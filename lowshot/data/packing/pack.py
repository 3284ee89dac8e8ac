"""A pack: a dataset whose media were decoded once and are mapped into memory by every process that reads them."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import ValidationError

from lowshot.data.face import stored_size
from lowshot.data.features import map_features
from lowshot.errors import RequestError
from lowshot.files import write_text
from lowshot.schema import MODALITIES, PACK, PACK_INDEX
from lowshot.settings import FaceConfig, Section, VoiceConfig

"""Name of the file that says what a pack holds; it makes a directory one."""
STORE = "pack"
"""Name of the folder of shards."""
"""Name of the file, in the store, that says how long each row is."""

FaceForm = Literal["pixels", "jpeg"]


class Shard(Section):
    """One file of the store.

    Attributes:
        name: of the file.
        modality: of its rows.
        rows: how many.
        bytes: size of the file.
        sha256: of the file.
    """

    name: str
    modality: Literal["voice", "face"]
    rows: int
    bytes: int
    sha256: str


class PackRecord(Section):
    """What pack.json says.

    Attributes:
        version: of the form.
        manifest_sha256: of the manifest that was packed, before any row was left out.
        voice, face: the settings that media were decoded with.
        faces: `pixels` as `read_face` gives them, or `jpeg`, the files' own bytes.
        voice_type: NumPy's name of the spectrograms' type.
        voice_order: their layout, F where a frame's bands lie together. It is that of `LogMel`: what adds up a batch
            adds in the order of its memory, and bits depend on it.
        shard_rows: rows of each shard but the last, by modality, before any was left out.
        finished: whether all is there. What follows is known then only.
        rows_sha256: of the order of the rows; see `rows_digest`.
        index_sha256: of the index.
        shards: in the order of their rows.
    """

    version: Literal[1] = 1
    manifest_sha256: str
    voice: VoiceConfig
    face: FaceConfig
    faces: FaceForm
    voice_type: str
    voice_order: Literal["C", "F"]
    shard_rows: dict[str, int]
    finished: bool = False
    rows_sha256: str = ""
    index_sha256: str = ""
    shards: tuple[Shard, ...] = ()

    def write(self, root: Path) -> None:
        """Write pack.json, atomically."""
        write_text(root / PACK, self.model_dump_json(indent=1) + "\n")


def read_record(root: Path) -> PackRecord:
    """What the pack.json of a directory says.

    Raises:
        RequestError: it is damaged, or of another version.
    """
    try:
        return PackRecord.model_validate_json((root / PACK).read_bytes())
    except (ValidationError, OSError) as error:
        raise RequestError(f"{root / PACK}: not a pack that this version of lowshot reads; pack anew") from error


def open_record(root: Path) -> PackRecord:
    """The same of a pack that is whole.

    Raises:
        RequestError: it was not packed to the end, or as `read_record`.
    """
    record = read_record(root)
    if not record.finished:
        raise RequestError(f"{root}: was not packed to the end; the same `lowshot data pack` command goes on")
    return record


def rows_digest(manifest: pd.DataFrame) -> str:
    """Hash of which file each row of a manifest names, in their order; labels and splits take no part."""
    digest = hashlib.sha256()
    for modality in MODALITIES:
        paths = manifest.loc[manifest["modality"] == modality, "path"]
        digest.update("\0".join([modality, str(len(paths)), *paths]).encode())
    return digest.hexdigest()


def damaged_files(root: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> list[Path]:
    """The files of a pack that are not what was written, by their hashes.

    Args:
        root: the dataset's directory.
        progress: called with (bytes read, bytes in all).

    Raises:
        RequestError: as `open_record`.
    """
    record = open_record(root)
    files = {PACK_INDEX: record.index_sha256} | {shard.name: shard.sha256 for shard in record.shards}
    total = sum(shard.bytes for shard in record.shards)
    damaged, done = [], 0
    for name, sha in files.items():
        path = root / STORE / name
        if not path.is_file() or file_sha256(path) != sha:
            damaged.append(path)
        done += path.stat().st_size if path.is_file() and name != PACK_INDEX else 0
        progress(done, total)
    return damaged


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def other_setting(record: PackRecord, voice: VoiceConfig, face: FaceConfig) -> tuple[str, Any, Any] | None:
    """The first setting in which media are wanted otherwise than they were packed: its key, packed, wanted.

    The length of a voice crop counts only where the front end pads to it, and where a crop is longer than what is read
    of a clip otherwise. Of faces that are kept as their files' bytes no setting counts.
    """
    kept = None if voice.front_end == "released" else {"frames"}
    pairs = {"voice": (record.voice.model_dump(exclude=kept), voice.model_dump(exclude=kept))}
    if record.faces == "pixels":
        pairs["face"] = record.face.model_dump(), face.model_dump()
    for section, (packed, wanted) in pairs.items():
        for key in sorted(packed):
            if packed[key] != wanted[key]:
                return f"{section}.{key}", packed[key], wanted[key]
    if record.voice.longest_seconds != voice.longest_seconds:
        return "voice.frames", record.voice.frames, voice.frames
    return None


class Pack:
    """The media of a pack, by row. Safe to use from several threads.

    What is read stays in the operating system's memory for files, one copy for all processes.

    Args:
        root: the dataset's directory.
        manifest: its rows.
        voice, face: how the media are wanted.

    Raises:
        RequestError: the pack was made with other settings, which are named, or of other rows, or is damaged.
    """

    def __init__(self, root: Path, manifest: pd.DataFrame, voice: VoiceConfig, face: FaceConfig) -> None:
        record = open_record(root)
        self.pixels = record.faces == "pixels"
        if other := other_setting(record, voice, face):
            key, packed, wanted = other
            raise RequestError(
                f"{root}: packed with {key}={packed}, wanted with {key}={wanted}; pack anew with `lowshot data pack "
                f"--set {key}={wanted}`, or read the files themselves"
            )
        if record.rows_sha256 != rows_digest(manifest):
            raise RequestError(
                f"{root}: the manifest names other files than were packed, or in another order; pack anew, or take "
                "back the pack's own manifest.csv (identities, splits and other columns may change, rows may not)"
            )
        index = map_features(root / STORE / PACK_INDEX)
        shards = {modality: [shard for shard in record.shards if shard.modality == modality] for modality in MODALITIES}
        self._bands = voice.mel_bands
        self._order = record.voice_order
        self._silence = index["silence"]
        self._side = stored_size(record.face)
        self._voices = _Rows(root, shards["voice"], np.dtype(record.voice_type), index["voice"])
        self._faces = _Rows(root, shards["face"], np.dtype("u1"), index["face"])

    def voice(self, row: int) -> tuple[np.ndarray, float]:
        """Spectrogram and silence of a voice, as `LogMel` gives them; read-only."""
        return self._voices[row].reshape((self._bands, -1), order=self._order), float(self._silence[row])

    def face(self, row: int) -> np.ndarray:
        """Image of a face as `read_face` gives it; read-only. Of a pack of pixels."""
        return self._faces[row].reshape(3, self._side, self._side)

    def face_file(self, row: int) -> bytes:
        """The bytes of a face's file. Of a pack that keeps files as they are."""
        return self._faces[row].tobytes()


class _Rows:
    """Rows of one modality, one after the other in the files of their shards.

    Args:
        root: the dataset's directory.
        shards: in the order of their rows.
        kind: type of an item.
        sizes: items of each row, [n].

    Raises:
        RequestError: a shard is missing, or its size is not what it was.
    """

    def __init__(self, root: Path, shards: Sequence[Shard], kind: np.dtype, sizes: np.ndarray) -> None:
        self._paths = [root / STORE / shard.name for shard in shards]
        self._kind = kind
        self._ends = np.cumsum(sizes)
        # Rows and items before each shard.
        self._rows = np.cumsum([0, *(shard.rows for shard in shards)])
        self._items = np.concatenate([[0], self._ends])[self._rows]
        self._maps: dict[int, np.ndarray] = {}
        sizes_in_bytes = np.diff(self._items) * kind.itemsize
        for path, shard, expected in zip(self._paths, shards, sizes_in_bytes, strict=True):
            if not path.is_file() or not path.stat().st_size == shard.bytes == expected:
                raise RequestError(f"{path}: missing or damaged; the same `lowshot data pack` command mends it")

    def __getitem__(self, row: int) -> np.ndarray:
        shard = int(np.searchsorted(self._rows, row, side="right")) - 1
        if shard not in self._maps:
            self._maps[shard] = np.asarray(np.memmap(self._paths[shard], self._kind, mode="r"))
        start = self._ends[row - 1] if row else 0
        return self._maps[shard][start - self._items[shard] : self._ends[row] - self._items[shard]]
