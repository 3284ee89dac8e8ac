"""Logistic regression on frozen embeddings, with a penalty chosen by cross-validation on what is labelled."""

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
"""Values of C, scikit-learn's inverse strength of the L2 penalty, from the strongest penalty on."""
UNTRIED = 1.0
"""C where too little is labelled to try any: scikit-learn's own."""
FOLDS = 5
# The gradient of the mean loss spreads over all classes: at the usual 1e-4, many classes would stop it half way.
_TOLERANCE, _ITERATIONS = 1e-6, 1000
_FOLD_STREAM = 3

Names = npt.NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class FittedProbe:
    """A fitted classifier, and how it was chosen.

    Attributes:
        model: standardisation and logistic regression.
        classes: [K] what it tells apart, in the order of its scores.
        regularisation: C.
        folds: of the cross-validation; 0 where there was none.
        log_loss: mean over the held-out items, nats; NaN without cross-validation. Items of a class of which nothing
            was left to fit on are no part of it.
        converged: whether the final fit came to its end.
    """

    model: Pipeline
    classes: Names
    regularisation: float
    folds: int
    log_loss: float
    converged: bool

    def scores(self, vectors: FloatArray) -> FloatArray:
        """[n, K] the logit of each class."""
        return _decisions(self.model, vectors)


def fit_probe(
    vectors: FloatArray, classes: Names, groups: Names, seed: int, advance: Callable[[int], object] = lambda fits: None
) -> FittedProbe:
    """Fit a classifier; its C is that of the least log-loss on held-out groups, of equal ones the least.

    Args:
        vectors: [n, d] frozen embeddings of the labelled items.
        classes: [n] what they are; at least two.
        groups: [n] what may not be parted by a fold: the identity, or the video where identities are told apart.
        seed: of the folds.
        advance: called with the number of fits done since the last call, `fits_of` in all.

    Returns:
        The classifier, fitted on all items. Where no folds can be dealt, C is `UNTRIED`.

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
    """How many fits `fit_probe` makes."""
    folds = deal_folds(classes, groups, 0)
    return 1 if folds is None else 1 + len(GRID) * (int(folds.max()) + 1)


def deal_folds(classes: Names, groups: Names, seed: int) -> npt.NDArray[np.int64] | None:
    """Deal groups into folds, class after class, so that every fold has its share of each.

    Args:
        classes: [n] what the items are. A group counts for the class that most of its items have.
        groups: [n] which items stay together.
        seed: of the order in which the groups of a class are dealt.

    Returns:
        [n] the fold of each item, 0 to k - 1. k is `FOLDS`, or as many as the second largest class has groups: what is
        left to fit on then has two classes whichever fold is held out. None where that class has a single group.
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
    # One deal around the table for all classes: the folds differ by one group at most.
    fold[order] = np.arange(len(order)) % count
    return fold[place]


def _fit(vectors: FloatArray, classes: Names, regularisation: float) -> tuple[Pipeline, bool]:
    regression = LogisticRegression(C=regularisation, tol=_TOLERANCE, max_iter=_ITERATIONS)
    model = make_pipeline(StandardScaler(), regression)
    with warnings.catch_warnings():
        # Said in a line of our own where it concerns the outcome.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(vectors, classes.astype(str))
    return model, bool(np.max(regression.n_iter_) < _ITERATIONS)


def _decisions(model: Pipeline, vectors: FloatArray) -> FloatArray:
    """[n, K] logits, equal to each other wherever nothing tells two classes apart."""
    found: FloatArray = np.asarray(model.decision_function(vectors), dtype=np.float64)
    # Of two classes there is a single logit, that of the second.
    return found if found.ndim == 2 else np.stack([np.zeros_like(found), found], axis=1)


def _log_loss(model: Pipeline, vectors: FloatArray, classes: Names) -> FloatArray:
    """[n] minus the log-probability of the right class; NaN of a class that was not fitted on."""
    known = {name: place for place, name in enumerate(model.classes_)}
    column = np.array([known.get(str(name), -1) for name in classes])
    found: FloatArray = log_softmax(_decisions(model, vectors), axis=1)
    of_class = np.take_along_axis(found, np.maximum(column, 0)[:, None], axis=1)[:, 0]
    return np.where(column >= 0, -of_class, np.nan)
