"""Write and read files of vectors, one per row of a dataset, in safetensors.

Writing goes block by block and reading maps the file, because millions of rows may exceed the memory.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lowshot.errors import RequestError
from lowshot.files import atomic_path
from lowshot.schema import FEATURES, WORLD_PREFIX

# Names of tensors or files shown in a message.
_SHOWN = 3
# Numbers processed at a time.
_BLOCK_ELEMENTS = 2**22
# Rounding to float32 leaves a spread below this share of the mean in a constant column.
_CONSTANT = 1e-7
# The inverse of a smaller one overflows float32.
_LEAST_STD = 1e-30

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}
# Room for the sizes of tensors, which are known after all are written.
_SPARE_HEADER = 512


def write_blocks(
    path: Path, tensors: Mapping[str, np.ndarray | Iterable[np.ndarray]], facts: Mapping[str, str]
) -> None:
    """Write vectors as a safetensors file, atomically.

    Args:
        path: the file.
        tensors: by name, float32 [n, d] as a whole or as blocks of rows, which are written as they come.
        facts: metadata of the file, str to str.

    Raises:
        ValueError: blocks of several widths.
    """
    header: dict[str, Any] = {"__metadata__": dict(sorted(facts.items()))} if facts else {}
    room = -(-(len(_as_text(header)) + _SPARE_HEADER) // 8) * 8
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.seek(8 + room)
        end = 0
        for name, blocks in tensors.items():
            rows, width, start = 0, 0, end
            for block in [blocks] if isinstance(blocks, np.ndarray) else blocks:
                if rows and block.shape[1] != width:
                    raise ValueError(f"blocks of '{name}' have {width} and {block.shape[1]} columns")
                width = block.shape[1]
                end += file.write(np.ascontiguousarray(block, dtype="<f4").data)
                rows += len(block)
            header[name] = {"dtype": "F32", "shape": [rows, width], "data_offsets": [start, end]}
        file.seek(0)
        file.write(room.to_bytes(8, "little") + _as_text(header).ljust(room))


def _as_text(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()


def map_features(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Map the tensors of a safetensors file, so that only the parts in use are read.

    Args:
        path: the file.

    Returns:
        Arrays by name, in the stored type; read-only.

    Raises:
        RequestError: the file is unreadable, or holds a type that numpy lacks.
    """
    from safetensors import SafetensorError, safe_open

    try:
        # The library checks the header, and that it fits the file.
        with safe_open(path, framework="numpy"):
            pass
        with path.open("rb") as file:
            start = 8 + int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(start - 8))
    except (SafetensorError, OSError) as error:
        raise RequestError(f"{path}: not a readable safetensors file ({error})") from error
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _TYPES:
            raise RequestError(f"{path}: tensor '{name}' is of type {entry['dtype']}; write it as F32 or F16")
        shape, kind = tuple(entry["shape"]), np.dtype(_TYPES[entry["dtype"]])
        if 0 in shape:
            tensors[name] = np.empty(shape, dtype=kind)
        else:
            tensors[name] = np.memmap(path, kind, mode="r", offset=start + entry["data_offsets"][0], shape=shape)
    return tensors


def misfit(tensors: Mapping[str, npt.NDArray[Any]], modality: str, count: int) -> str:
    """Say why a file's tensors do not fit the manifest's rows of a modality; "" if they do.

    Args:
        tensors: as `map_features` returns them.
        modality: `voice` or `face`.
        count: its number of rows.
    """
    if modality not in tensors:
        # A file of weights has hundreds of tensors.
        found = ", ".join([f"'{name}'" for name in tensors][:_SHOWN]) + (", ..." if len(tensors) > _SHOWN else "")
        return (
            f"tensor '{modality}' is missing; tensors there: {found or 'none'}; needed: 'voice' and 'face', with one "
            "row per manifest row of that modality"
        )
    shape = list(tensors[modality].shape)
    if len(shape) != 2:
        return (
            f"tensor '{modality}' has shape {shape}; needed: rows x dimensions, one row for each of the {count} "
            f"{modality} rows of the manifest"
        )
    if shape[0] == count:
        return ""
    return f"tensor '{modality}' has shape {shape}, but the manifest has {count} {modality} rows"


def holds_features(source: str) -> bool:
    """Tell whether a dataset, by the name that `data` takes, holds vectors; no if there is none."""
    if source.startswith(WORLD_PREFIX):
        return False
    path = Path(source)
    return ((path if path.is_dir() else path.parent) / FEATURES).is_file()


def missing_vectors(root: Path, paths: Iterable[str]) -> str:
    """Say why rows without files have no vectors either; "" if a row names a file.

    Args:
        root: the dataset's folder, without a file of vectors of the right name.
        paths: the column `path` of its manifest.
    """
    if any(paths):
        return ""
    others = ", ".join(sorted(path.name for path in root.glob("*.safetensors"))[:_SHOWN])
    found = f"; perhaps {others} needs that name" if others else ""
    return f"is missing; no row of the manifest names a file, so its vectors must lie there, beside the manifest{found}"


@dataclass(frozen=True)
class ColumnStatistics:
    """Mean and standard deviation of the columns of vectors.

    Attributes:
        mean: float32 [d].
        std: float32 [d]; exactly 0 for a column that is constant up to rounding.
    """

    mean: npt.NDArray[np.float32]
    std: npt.NDArray[np.float32]


def column_statistics(vectors: npt.NDArray[Any], rows: npt.NDArray[Any]) -> ColumnStatistics:
    """Compute mean and standard deviation of each column over some rows, in float64 and block by block.

    Args:
        vectors: [n, d], of any floating type, all finite; may be memory-mapped.
        rows: numbers of the rows, rising, at least one.
    """
    # Relative to the first row: columns far from 0 lose no digits, and constant ones get a spread of exactly 0.
    origin = vectors[rows[0]].astype(np.float64)
    total, squares = np.zeros_like(origin), np.zeros_like(origin)
    size = max(1, _BLOCK_ELEMENTS // max(1, len(origin)))
    for start in range(0, len(rows), size):
        block = vectors[rows[start : start + size]] - origin
        total += block.sum(axis=0)
        squares += np.square(block).sum(axis=0)
    shift = total / len(rows)
    mean = origin + shift
    std = np.sqrt(np.maximum(squares / len(rows) - np.square(shift), 0))
    std[std <= np.maximum(_CONSTANT * np.abs(mean), _LEAST_STD)] = 0
    return ColumnStatistics(mean.astype(np.float32), std.astype(np.float32))
