"""1:N matching: which of N candidates belongs to the probe?

Ties at the top are shared, not won by position.
"""

import numpy as np
import numpy.typing as npt

from lowshot.metrics.verification import FloatArray, checked_scores


def _rivals(scores: npt.ArrayLike, target: npt.ArrayLike) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Count the candidates above and level with the target, [T] each.

    The target counts as level with itself.
    """
    array = checked_scores(scores, ndim=2)
    trials, candidates = array.shape
    if candidates < 2:
        raise ValueError("matching needs at least 2 candidates per trial, got 1")
    index = np.asarray(target)
    if index.shape != (trials,) or index.dtype.kind not in "iu":
        raise ValueError(f"target must hold {trials} integers, got {index.dtype} of shape {index.shape}")
    if (index < 0).any() or (index >= candidates).any():
        raise ValueError(f"target must lie in 0..{candidates - 1}, got {index.min()}..{index.max()}")
    of_target = np.take_along_axis(array, index.astype(np.int64)[:, None], axis=1)
    return np.count_nonzero(array > of_target, axis=1), np.count_nonzero(array == of_target, axis=1)


def trial_credit(scores: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
    """Credit of each trial: the chance of naming the target.

    Ties at the top are broken at random.

    Args:
        scores: [T, N] finite real numbers, one row per trial and one column per candidate, N >= 2.
        target: [T] integers in 0..N-1, the column of the right candidate.

    Returns:
        [T] 1 when the target is alone at the top, 1/m when it shares it with m-1 others, 0 when it is beaten.

    Raises:
        ValueError: wrong shapes, scores that are not finite, or a target that is no column.

    Deviation:
        The released CMPC code takes the first of the best candidates, and lists the target first. A collapsed
        model then scores 100 %.
    """
    above, level = _rivals(scores, target)
    return np.where(above > 0, 0.0, 1.0 / level)


def accuracy(scores: npt.ArrayLike, target: npt.ArrayLike) -> float:
    """Accuracy of 1:N matching: the mean of `trial_credit`.

    Args:
        scores: [T, N] finite real numbers, one row per trial and one column per candidate, N >= 2.
        target: [T] integers in 0..N-1, the column of the right candidate.

    Returns:
        Accuracy in [0, 1]; 1/N is chance.

    Raises:
        ValueError: wrong shapes, scores that are not finite, or a target that is no column.
    """
    return float(trial_credit(scores, target).mean())


def tied_trials(scores: npt.ArrayLike, target: npt.ArrayLike) -> int:
    """Count the trials whose target shares the top score with another candidate.

    Args:
        scores: [T, N] finite real numbers, one row per trial and one column per candidate, N >= 2.
        target: [T] integers in 0..N-1, the column of the right candidate.

    Returns:
        Number of such trials, from 0 to T.

    Raises:
        ValueError: wrong shapes, scores that are not finite, or a target that is no column.
    """
    above, level = _rivals(scores, target)
    return int(np.count_nonzero((above == 0) & (level > 1)))
