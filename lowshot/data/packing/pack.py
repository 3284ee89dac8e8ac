"""A pack: a dataset of media that were decoded once. Every process maps them into memory."""

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

STORE = "pack"
"""Name of the folder of shards."""

FaceForm = Literal["pixels", "jpeg"]


class Shard(Section):
    """One file of the store.

    Attributes:
        name: of the file.
        modality: of its rows.
        rows: their number.
        bytes: size of the file.
        sha256: of the file.
    """

    name: str
    modality: Literal["voice", "face"]
    rows: int
    bytes: int
    sha256: str


class PackRecord(Section):
    """Content of pack.json.

    Attributes:
        version: of the format.
        manifest_sha256: of the packed manifest, before any row was skipped.
        voice, face: settings of decoding.
        faces: `pixels` as of `read_face`, or `jpeg`, the bytes of the files.
        voice_type: NumPy's name of the spectrograms' type.
        voice_order: their layout; F if a frame's bands lie together. It is that of `LogMel`, because sums over a batch
            follow the order in memory, and their last bits depend on it.
        shard_rows: rows of each shard but the last, by modality, before any was skipped.
        finished: whether the pack is whole. Only then are the following attributes known.
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
    """Read the pack.json of a directory.

    Raises:
        RequestError: it is damaged, or has another version.
    """
    try:
        return PackRecord.model_validate_json((root / PACK).read_bytes())
    except (ValidationError, OSError) as error:
        raise RequestError(f"{root / PACK}: damaged, or written by another version of lowshot; pack anew") from error


def open_record(root: Path) -> PackRecord:
    """Read the pack.json of a whole pack.

    Raises:
        RequestError: packing did not end, or as `read_record`.
    """
    record = read_record(root)
    if not record.finished:
        raise RequestError(f"{root}: packing did not end; the same `lowshot data pack` command goes on")
    return record


def rows_digest(manifest: pd.DataFrame) -> str:
    """Hash the files that the rows of a manifest name, in their order; labels and splits do not matter."""
    digest = hashlib.sha256()
    for modality in MODALITIES:
        paths = manifest.loc[manifest["modality"] == modality, "path"]
        digest.update("\0".join([modality, str(len(paths)), *paths]).encode())
    return digest.hexdigest()


def damaged_files(root: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> list[Path]:
    """Find the files of a pack that are missing or whose hash differs.

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
    """Hash the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def other_setting(record: PackRecord, voice: VoiceConfig, face: FaceConfig) -> tuple[str, Any, Any] | None:
    """Return the first setting that differs from that of a pack: its key, the packed value, the wanted value.

    The length of a voice crop matters only if the front end pads to it, or if a crop is longer than the part of a clip
    that is read otherwise. Faces that are kept as bytes of files suit any settings.
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
    """The media of a pack by row. Several threads may use it.

    The operating system keeps what was read in memory, one copy for all processes.

    Args:
        root: the dataset's directory.
        manifest: its rows.
        voice, face: wanted settings of decoding.

    Raises:
        RequestError: the pack has other settings, which are named, or other rows, or is damaged.
    """

    def __init__(self, root: Path, manifest: pd.DataFrame, voice: VoiceConfig, face: FaceConfig) -> None:
        record = open_record(root)
        self.pixels = record.faces == "pixels"
        if other := other_setting(record, voice, face):
            key, packed, wanted = other
            raise RequestError(
                f"{root}: packed with {key}={packed}, wanted with {key}={wanted}; pack anew with "
                f"`settings={key}={wanted}`, or use the dataset of the files"
            )
        if record.rows_sha256 != rows_digest(manifest):
            raise RequestError(
                f"{root}: the manifest names other files than the pack holds, or in another order; pack anew, or "
                "restore the pack's manifest.csv (identities, splits and other columns may change, rows may not)"
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
        """Return the spectrogram of a voice and its padding value, as of `LogMel`; read-only."""
        return self._voices[row].reshape((self._bands, -1), order=self._order), float(self._silence[row])

    def face(self, row: int) -> np.ndarray:
        """Return the image of a face as of `read_face`; read-only. Only for a pack of pixels."""
        return self._faces[row].reshape(3, self._side, self._side)

    def face_file(self, row: int) -> bytes:
        """Return the bytes of a face's file. Only for a pack that keeps files."""
        return self._faces[row].tobytes()


class _Rows:
    """Rows of one modality, one after the other in the files of their shards.

    Args:
        root: the dataset's directory.
        shards: in the order of their rows.
        kind: type of an item.
        sizes: number of items of each row, [n].

    Raises:
        RequestError: a shard is missing, or its size has changed.
    """

    def __init__(self, root: Path, shards: Sequence[Shard], kind: np.dtype, sizes: np.ndarray) -> None:
        self._paths = [root / STORE / shard.name for shard in shards]
        self._kind = kind
        self._ends = np.cumsum(sizes)
        # Numbers of rows and items before each shard.
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
