"""Cosines that do not depend on the order of summation."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

# Numbers held at once while embeddings are gathered or multiplied.
_BLOCK_ELEMENTS = 2**22
# Unit vectors are rounded to whole multiples of 2**-26.
_GRID = 2.0**26


def cosine_matrix(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Cosines of all rows of `a` with all rows of `b`.

    Args:
        a: [n, d] numbers.
        b: [m, d] numbers.

    Returns:
        float32 [n, m] in [-1, 1]: 0 for a zero vector, NaN for a vector with a NaN or infinite entry.
    """
    # Rounding may carry the cosine of equal vectors past 1.
    return np.clip(unit_rows(a) @ unit_rows(b).T, -1, 1).astype(np.float32)


def unit_rows(embeddings: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Normalise rows and round them so that sums of products are exact.

    Entries become multiples of 2**-26. A product of two is then a multiple of 2**-52, and so is any sum of products.
    Such a sum never reaches 2, so float64 holds it exactly. The rounding changes a cosine less than float32 does.

    Args:
        embeddings: [n, d] numbers.

    Returns:
        [n, d]: zero vectors stay zero; rows that are not all finite become NaN.
    """
    rows = embeddings.astype(np.float64)
    for part in parts(len(rows), rows.shape[1] * 16):
        _to_grid(rows[part])
    return rows


def parts(count: int, width: int) -> Iterator[slice]:
    """Split rows of a given width into parts that fit into memory."""
    step = max(1, _BLOCK_ELEMENTS // max(1, width))
    for start in range(0, count, step):
        yield slice(start, start + step)


def _to_grid(rows: npt.NDArray[np.float64]) -> None:
    """Normalise rows and round them to the grid, in place."""
    # Rows that were never embedded are NaN; they are refused only if a trial needs them.
    rows[~np.isfinite(rows).all(axis=1)] = np.nan
    # Divide by the largest entry first, because the square of a tiny or huge number leaves float64's range.
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    rows /= np.where(largest == 0, 1.0, largest)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    rows *= _GRID / np.where(norm == 0, 1.0, norm)
    np.rint(rows, out=rows)
    rows /= _GRID
