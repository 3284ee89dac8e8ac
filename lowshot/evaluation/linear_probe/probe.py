"""Logistic regression on frozen embeddings, with a cross-validated penalty."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from lowshot.metrics.verification import FloatArray

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Values of C, scikit-learn's inverse of the L2 penalty; the strongest comes first."""
UNTRIED = 1.0
"""C if too little is labelled for cross-validation: scikit-learn's default."""
FOLDS = 5
# The gradient of the mean loss spreads over all classes. At the usual 1e-4, many classes would stop the fit too early.
_TOLERANCE, _ITERATIONS = 1e-6, 1000
_FOLD_STREAM = 3

Names = npt.NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class FittedProbe:
    """A fitted classifier, and how it was chosen.

    Attributes:
        model: standardisation and logistic regression.
        classes: [K] its classes, in the order of its scores.
        regularisation: C.
        folds: of the cross-validation; 0 without one.
        log_loss: mean over the held-out items, nats; NaN without cross-validation. It skips items of a class that was
            wholly held out.
        converged: true if the final fit converged.
    """

    model: Pipeline
    classes: Names
    regularisation: float
    folds: int
    log_loss: float
    converged: bool

    def scores(self, vectors: FloatArray) -> FloatArray:
        """Return the logit of each class: [n, K]."""
        return _decisions(self.model, vectors)


def fit_probe(
    vectors: FloatArray, classes: Names, groups: Names, seed: int, advance: Callable[[int], object] = lambda fits: None
) -> FittedProbe:
    """Fit a classifier; cross-validation chooses its C.

    C has the least log-loss on held-out groups; among equals, it is the least C.

    Args:
        vectors: [n, d] frozen embeddings of the labelled items.
        classes: [n] their classes; at least two.
        groups: [n] groups that a fold keeps together: identities, or videos if identities are the classes.
        seed: of the folds.
        advance: called with the number of fits done since the last call, `fits_of` in all.

    Returns:
        The classifier, fitted on all items. If folds are not possible, C is `UNTRIED`.

    Raises:
        ValueError: fewer than two classes.
    """
    if len(set(classes.tolist())) < 2:
        raise ValueError("a classifier needs at least two classes")
    folds = deal_folds(classes, groups, seed)
    chosen, least, count = UNTRIED, float("nan"), 0
    if folds is not None:
        count = int(folds.max()) + 1
        losses = np.full((len(GRID), len(classes)), np.nan)
        for fold in range(count):
            held_out = folds == fold
            for place, value in enumerate(GRID):
                model, _ = _fit(vectors[~held_out], classes[~held_out], value)
                losses[place, held_out] = _log_loss(model, vectors[held_out], classes[held_out])
                advance(1)
        means = np.nanmean(losses, axis=1)
        chosen, least = GRID[int(means.argmin())], float(means.min())
    model, converged = _fit(vectors, classes, chosen)
    advance(1)
    return FittedProbe(model, np.asarray(model.classes_, dtype=object), chosen, count, least, converged)


def fits_of(classes: Names, groups: Names) -> int:
    """Return the number of fits that `fit_probe` makes."""
    folds = deal_folds(classes, groups, 0)
    return 1 if folds is None else 1 + len(GRID) * (int(folds.max()) + 1)


def deal_folds(classes: Names, groups: Names, seed: int) -> npt.NDArray[np.int64] | None:
    """Split groups into folds, stratified by class.

    Args:
        classes: [n] classes of the items. A group counts for the class of most of its items.
        groups: [n] groups of items that stay together.
        seed: of the order of the groups in a class.

    Returns:
        [n] the fold of each item, 0 to k - 1. k is at most `FOLDS`, and at most the number of groups of the second
        largest class. So the training folds always have two classes. None if that class has a single group.
    """
    names, place = np.unique(groups.astype(str), return_inverse=True)
    labels, label = np.unique(classes.astype(str), return_inverse=True)
    votes = np.zeros((len(names), len(labels)), dtype=np.int64)
    np.add.at(votes, (place, label), 1)
    of_group = votes.argmax(axis=1)
    sizes = np.sort(np.bincount(of_group, minlength=len(labels)))
    count = min(FOLDS, int(sizes[-2]))
    if count < 2:
        return None
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, len(names), _FOLD_STREAM])))
    order = np.concatenate([generator.permutation(np.flatnonzero(of_group == name)) for name in range(len(labels))])
    fold = np.empty(len(names), dtype=np.int64)
    # All classes share one round, so the folds differ by at most one group.
    fold[order] = np.arange(len(order)) % count
    return fold[place]


def _fit(vectors: FloatArray, classes: Names, regularisation: float) -> tuple[Pipeline, bool]:
    regression = LogisticRegression(C=regularisation, tol=_TOLERANCE, max_iter=_ITERATIONS)
    model = make_pipeline(StandardScaler(), regression)
    with warnings.catch_warnings():
        # `converged` reports it instead.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(vectors, classes.astype(str))
    return model, bool(np.max(regression.n_iter_) < _ITERATIONS)


def _decisions(model: Pipeline, vectors: FloatArray) -> FloatArray:
    """Return logits, [n, K]; classes that the model cannot separate are equal."""
    found: FloatArray = np.asarray(model.decision_function(vectors), dtype=np.float64)
    # With two classes there is one logit, that of the second.
    return found if found.ndim == 2 else np.stack([np.zeros_like(found), found], axis=1)


def _log_loss(model: Pipeline, vectors: FloatArray, classes: Names) -> FloatArray:
    """Return the log-loss of each item, [n]; NaN for unfitted classes."""
    known = {name: place for place, name in enumerate(model.classes_)}
    column = np.array([known.get(str(name), -1) for name in classes])
    found: FloatArray = log_softmax(_decisions(model, vectors), axis=1)
    of_class = np.take_along_axis(found, np.maximum(column, 0)[:, None], axis=1)[:, 0]
    return np.where(column >= 0, -of_class, np.nan)
