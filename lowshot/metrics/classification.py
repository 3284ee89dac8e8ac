"""Classification figures: top-k credit with shared ties, balanced accuracy."""

import numpy as np
import numpy.typing as npt

from lowshot.metrics.bootstrap import mean_replicates
from lowshot.metrics.verification import FloatArray, checked_scores


def _rivals(scores: npt.ArrayLike, target: npt.ArrayLike) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Count the classes above and level with the target, [T] each.

    All classes count as above if the target is not one of them. The target counts as level with itself.
    """
    array = checked_scores(scores, ndim=2)
    index = np.asarray(target)
    items, classes = array.shape
    if index.shape != (items,) or index.dtype.kind not in "iu":
        raise ValueError(f"target must hold {items} integers, got {index.dtype} of shape {index.shape}")
    if (index < -1).any() or (index >= classes).any():
        raise ValueError(f"target must lie in -1..{classes - 1}, got {index.min()}..{index.max()}")
    known = index >= 0
    of_target = np.take_along_axis(array, np.where(known, index, 0).astype(np.int64)[:, None], axis=1)
    above = np.where(known, np.count_nonzero(array > of_target, axis=1), classes)
    return above, np.where(known, np.count_nonzero(array == of_target, axis=1), 1)


def top_k_credit(scores: npt.ArrayLike, target: npt.ArrayLike, k: int) -> FloatArray:
    """Credit of each item under random tie-breaking.

    It is the chance that the item's class ranks among the first k.

    Args:
        scores: [T, K] finite real numbers, one row per item and one column per class.
        target: [T] integers in -1..K-1, the column of the right class; -1 if it is none of them.
        k: how many answers are allowed, at least 1.

    Returns:
        [T] 1 if at most k classes reach the target's score; 0 if k or more exceed it or the target is no column.
        Otherwise (k - m) / l, if m classes exceed the score and l share it.

    Raises:
        ValueError: wrong shapes, scores that are not finite, a target that is no column, or no answers.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    above, level = _rivals(scores, target)
    return np.clip((k - above) / level, 0.0, 1.0)


def tied_items(scores: npt.ArrayLike, target: npt.ArrayLike, k: int) -> int:
    """Count the items whose credit depends on a tie.

    Their class shares its score with both the k-th class and a class after it.

    Args:
        scores, target, k: as in `top_k_credit`.

    Raises:
        ValueError: as `top_k_credit`.
    """
    credit = top_k_credit(scores, target, k)
    return int(np.count_nonzero((credit > 0) & (credit < 1)))


def balanced_mean(credit: npt.ArrayLike, classes: npt.ArrayLike) -> float:
    """Mean over classes of the mean credit of their items.

    Chance is 1/K, whatever the sizes of the classes.

    Args:
        credit: [T] in [0, 1].
        classes: [T] integers, the class of each item; [0, K) without gaps.
    """
    of_class = np.asarray(classes, dtype=np.int64)
    return float(np.mean(np.bincount(of_class, np.asarray(credit, dtype=np.float64)) / np.bincount(of_class)))


def balanced_replicates(
    credit: npt.ArrayLike, classes: npt.ArrayLike, identities: npt.ArrayLike, counts: npt.ArrayLike
) -> FloatArray:
    """`balanced_mean` in each resample of identities.

    The mean of a resample skips classes without items in it.

    Args:
        credit, classes: as in `balanced_mean`.
        identities: [T] integers in 0..n-1, the identity of each item.
        counts: [R, n] from `identity_counts`.

    Returns:
        [R] means; NaN for a resample without items.

    Raises:
        ValueError: as `mean_replicates`.
    """
    values, of_class, whose = np.asarray(credit), np.asarray(classes), np.asarray(identities)
    parts = [of_class == name for name in np.unique(of_class)]
    means = np.stack([mean_replicates(values[part], (whose[part],), counts) for part in parts])
    drawn = ~np.isnan(means)
    found = np.count_nonzero(drawn, axis=0)
    return np.where(found > 0, np.where(drawn, means, 0.0).sum(axis=0) / np.maximum(found, 1), np.nan)
