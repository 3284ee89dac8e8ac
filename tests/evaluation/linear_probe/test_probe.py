"""Logistic regression on frozen vectors: it finds what is there, and nothing where there is nothing."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lowshot.evaluation.linear_probe.probe import FOLDS, GRID, UNTRIED, deal_folds, fit_probe, fits_of


def names(codes, prefix="c"):
    return np.array([f"{prefix}{code}" for code in codes], dtype=object)


def people(identities=20, videos=4, classes=2, dim=12, strength=3.0, seed=0):
    """Vectors whose classes lie along axes of their own, each identity of one class."""
    generator = np.random.default_rng(seed)
    whose = np.repeat(np.arange(identities), videos)
    of_class = whose % classes
    vectors = generator.normal(size=(len(whose), dim))
    vectors[np.arange(len(whose)), of_class] += strength
    return vectors, names(of_class), names(whose, "id")


@pytest.mark.parametrize("classes", [2, 4])
def test_a_linear_signal_is_found_in_people_never_seen(classes):
    probe = fit_probe(*people(classes=classes), seed=0)
    vectors, right, _ = people(classes=classes, seed=1, identities=100)
    scores = probe.scores(vectors)
    assert scores.shape == (400, classes)
    assert (probe.classes[scores.argmax(axis=1)] == right).mean() > 0.9
    assert (probe.folds, probe.converged) == (5, True)
    assert probe.log_loss < 0.5 * np.log(classes)
    assert probe.regularisation > min(GRID)


@pytest.mark.parametrize("classes", [2, 4])
def test_in_noise_nothing_is_found_and_the_penalty_is_strong(classes):
    probe = fit_probe(*people(classes=classes, strength=0.0, identities=100), seed=0)
    vectors, right, _ = people(classes=classes, strength=0.0, seed=1, identities=500)
    accuracy = (probe.classes[probe.scores(vectors).argmax(axis=1)] == right).mean()
    assert abs(accuracy - 1 / classes) < 0.05
    assert probe.regularisation <= 0.01
    assert probe.log_loss == pytest.approx(np.log(classes), abs=0.03)


def test_axes_of_any_length_are_alike():
    vectors, right, groups = people()
    stretched = vectors * np.logspace(-6, 6, vectors.shape[1]) + 1e3
    probes = [fit_probe(part, right, groups, 0) for part in (vectors, stretched)]
    assert probes[0].regularisation == probes[1].regularisation
    assert probes[0].scores(vectors) == pytest.approx(probes[1].scores(stretched), rel=1e-3, abs=1e-3)


def test_the_penalty_is_that_of_a_grid_search_over_the_same_folds():
    vectors, right, groups = people(strength=1.0, classes=3, identities=30, seed=3)
    folds = deal_folds(right, groups, 7)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(tol=1e-6, max_iter=1000)),
        {"logisticregression__C": list(GRID)},
        scoring="neg_log_loss",
        cv=PredefinedSplit(folds),
    )
    search.fit(vectors, right.astype(str))
    probe = fit_probe(vectors, right, groups, 7)
    assert probe.regularisation == search.best_params_["logisticregression__C"]
    assert probe.log_loss == pytest.approx(-search.best_score_)
    best = search.best_estimator_
    assert log_loss(right.astype(str), best.predict_proba(vectors)) == pytest.approx(
        log_loss(right.astype(str), np.exp(probe.scores(vectors)) / np.exp(probe.scores(vectors)).sum(1)[:, None])
    )


def test_collapsed_vectors_tell_nothing_apart():
    _, right, groups = people(classes=4)
    probe = fit_probe(np.ones((80, 12)), right, groups, 0)
    scores = probe.scores(np.ones((3, 12)))
    assert (scores == scores[0, 0]).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sizes", [(10, 10), (30, 2), (3, 3, 1), (7, 4, 2, 1, 1), (2, 2)])
def test_folds_keep_groups_together_and_leave_two_classes(seed, sizes):
    of_group = np.repeat(np.arange(len(sizes)), sizes)
    groups = np.repeat(np.arange(len(of_group)), 3)
    folds = deal_folds(names(of_group[groups]), names(groups, "g"), seed)
    count = min(FOLDS, sorted(sizes)[-2])
    assert set(folds) == set(range(count))
    of_fold = [set(folds[groups == group]) for group in set(groups)]
    assert all(len(found) == 1 for found in of_fold)
    groups_in = np.bincount([found.pop() for found in of_fold])
    assert groups_in.max() - groups_in.min() <= 1
    for fold in range(count):
        assert len(set(of_group[groups][folds != fold])) >= 2


def test_folds_hang_on_the_seed_and_not_on_the_order_of_items():
    _, right, groups = people()
    folds = deal_folds(right, groups, 0)
    assert (folds == deal_folds(right, groups, 0)).all()
    assert (folds != deal_folds(right, groups, 1)).any()
    order = np.random.default_rng(0).permutation(len(groups))
    assert (folds[order] == deal_folds(right[order], groups[order], 0)).all()


@pytest.mark.parametrize("sizes", [(1, 1), (20, 1)])
def test_where_no_folds_can_be_dealt_the_penalty_is_that_of_scikit_learn(sizes):
    of_group = np.repeat([0, 1], sizes)
    groups = names(np.repeat(np.arange(len(of_group)), 4), "g")
    right = names(np.repeat(of_group, 4))
    assert deal_folds(right, groups, 0) is None
    vectors = np.random.default_rng(0).normal(size=(len(right), 5))
    probe = fit_probe(vectors, right, groups, 0)
    assert (probe.regularisation, probe.folds, fits_of(right, groups)) == (UNTRIED, 0, 1)
    assert np.isnan(probe.log_loss)


def test_as_many_fits_are_counted_as_were_foretold():
    vectors, right, groups = people(identities=6)
    done = []
    fit_probe(vectors, right, groups, 0, done.append)
    assert sum(done) == fits_of(right, groups) == 1 + 3 * len(GRID)


def test_one_class_is_refused():
    vectors, _, groups = people()
    with pytest.raises(ValueError, match="at least two classes"):
        fit_probe(vectors, names(np.zeros(80, dtype=int)), groups, 0)
