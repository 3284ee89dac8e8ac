"""Check the vectors of a dataset: their issues, and the hash of each."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.checking.issues import Issue
from lowshot.data.features import map_features, misfit
from lowshot.errors import RequestError
from lowshot.progress import Event, Report, quiet
from lowshot.schema import FEATURES, MODALITIES

_ROWS_AT_ONCE = 2**14


def check_vectors(root: Path, table: pd.DataFrame, report: Report = quiet) -> tuple[list[Issue], dict[int, bytes]]:
    """Opened at every vector.

    Args:
        root: the dataset's folder.
        table: the manifest's rows, their numbers as index; row k of a tensor is the k-th row of its modality.
        report: takes progress events.

    Returns:
        The issues, and the hash of each vector without one.
    """
    path = root / FEATURES
    try:
        tensors = map_features(path)
    except RequestError as error:
        return [Issue("unreadable", str(error).removeprefix(f"{path}: "), path=FEATURES)], {}
    issues: list[Issue] = []
    digests: dict[int, bytes] = {}
    done = 0
    for modality in MODALITIES:
        rows = table.index[table["modality"] == modality]
        fault = _misfit(tensors, modality, len(rows))
        if fault:
            issues.append(Issue("shape", fault, path=FEATURES))
            continue
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            block = tensors[modality][start : start + _ROWS_AT_ONCE]
            numbers = rows[start : start + _ROWS_AT_ONCE].tolist()
            issues += _of_block(block, numbers, modality, digests)
            done += len(block)
            report(Event("steps", "check", done, len(table), "vector"))
    return issues, digests


def _misfit(tensors: dict[str, npt.NDArray], modality: str, count: int) -> str:
    if fault := misfit(tensors, modality, count):
        return fault
    if tensors[modality].dtype.kind != "f":
        return f"tensor '{modality}' is of type {tensors[modality].dtype}; write it as float32 or float16"
    return "" if tensors[modality].shape[1] else f"tensor '{modality}' has no columns"


def _of_block(block: npt.NDArray, numbers: list[int], modality: str, digests: dict[int, bytes]) -> list[Issue]:
    with np.errstate(over="ignore"):
        # In the type that a run reads.
        finite = np.asarray(np.isfinite(block.astype(np.float32, copy=False)).all(axis=1))
    # NaN is not zero, so no row is both.
    zero = (block == 0).all(axis=1)
    issues = []
    for place, number in enumerate(numbers):
        if not finite[place]:
            issues.append(Issue("not-finite", f"{modality} vector holds values that are not finite", (number,)))
        elif zero[place]:
            issues.append(Issue("zero", f"{modality} vector is all zeros", (number,)))
        else:
            digests[number] = hashlib.blake2b(block[place].tobytes(), digest_size=16).digest()
    return issues
