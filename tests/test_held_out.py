"""The judge against scikit-learn and a brute-force jackknife, and its folds against people cut in two."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lowshot import held_out
from lowshot.held_out import cluster_videos, fold_clusters, hold_out, judge


def people(n=30, videos=6, width=12, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    identity = np.repeat(np.arange(n), videos)
    shared = rng.normal(size=(n, width))
    x = [shared[identity] + noise * rng.normal(size=(n * videos, width)) for _ in range(2)]
    return *(part.astype(np.float32) for part in x), identity


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def joined(voice, face):
    return unit(np.hstack([unit(voice), unit(face)])).astype(np.float32)


def test_the_value_is_the_auc_over_pairs_of_different_videos():
    voice, face, identity = people(noise=1.5)
    found = judge(unit(voice), unit(face), identity)
    scores, labels = [], []
    for i in range(len(voice)):
        for j in range(len(face)):
            if i != j:
                scores.append(float(unit(voice)[i] @ unit(face)[j]))
                labels.append(identity[i] == identity[j])
    assert found.auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)


def test_the_error_is_that_of_leaving_out_one_cluster_at_a_time():
    voice, face, identity = people(noise=1.5)
    found = judge(unit(voice), unit(face), identity)
    without = [judge(unit(voice[keep]), unit(face[keep]), identity[keep]).auc for c in range(30)
               for keep in [identity != c]]  # fmt: skip
    jackknife = np.sqrt(29 / 30 * ((np.array(without) - np.mean(without)) ** 2).sum())
    assert found.error == pytest.approx(jackknife, rel=0.15)


def test_equal_embeddings_read_as_chance():
    voice, face, identity = people()
    found = judge(np.ones_like(voice), np.ones_like(face), identity)
    assert found.auc == 0.5
    assert found.error == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("clusters", [np.zeros(6, int), np.arange(6)])
def test_it_judges_nothing_without_two_videos_or_two_clusters(clusters):
    assert judge(np.eye(6, dtype=np.float32), np.eye(6, dtype=np.float32), clusters) is None


def test_clusters_of_clear_people_are_people():
    voice, face, identity = people(noise=0.05)
    joint = joined(voice, face)
    clusters = cluster_videos(joint, seed=0)
    mixed = np.mean([len(np.unique(identity[clusters == c])) for c in np.unique(clusters)])
    assert mixed < 1.6
    assert np.array_equal(clusters, cluster_videos(joint, seed=0))


def test_a_cluster_cut_in_two_is_held_out_whole():
    rng = np.random.default_rng(0)
    centres = unit(rng.normal(size=(40, 16)))
    joint = unit(np.repeat(centres, 6, axis=0) + 0.01 * rng.normal(size=(240, 16))).astype(np.float32)
    identity = np.repeat(np.arange(40), 6)
    # Every person's videos fall into two clusters.
    clusters = identity * 2 + np.tile([0, 1], 120)
    folds = fold_clusters(joint, clusters, 5, seed=3)
    assert all(len(np.unique(folds[identity == person])) == 1 for person in range(40))
    assert len(np.unique(folds)) == 5
    assert not np.array_equal(folds, fold_clusters(joint, clusters, 5, seed=4))


def test_held_out_people_are_held_out_whole_and_their_clusters_repeat():
    voice, face, identity = people(n=70, noise=0.05)
    [(held, clusters)] = hold_out(joined(voice, face), seed=1)
    assert 0.08 < len(held) / len(voice) < 0.22
    outside = np.setdiff1d(np.arange(len(voice)), held)
    assert np.isin(identity[held], identity[outside]).mean() < 0.05
    assert (np.bincount(clusters) > 1).sum() >= 5
    assert all(map(np.array_equal, hold_out(joined(voice, face), seed=1)[0], (held, clusters)))


def test_a_large_archive_is_held_out_by_regions(monkeypatch):
    voice, face, identity = people(n=100, noise=0.05)
    monkeypatch.setattr(held_out, "MOST_CLUSTERED", 150)
    [(held, clusters)] = hold_out(joined(voice, face), seed=1)
    assert len(held) == len(clusters)
    assert np.isin(identity[held], np.delete(identity, held)).mean() < 0.3
    assert np.mean([len(np.unique(identity[held][clusters == c])) for c in np.unique(clusters)]) < 3


def test_people_with_many_videos_are_held_out_whole():
    voice, face, identity = people(n=20, videos=40, noise=0.3)
    joint = joined(voice, face)
    clusters = cluster_videos(joint, seed=0)
    assert len(np.unique(clusters)) > 100
    folds = fold_clusters(joint, clusters, 5, seed=0)
    cut = np.mean([np.bincount(folds[identity == person]).max() / 40 for person in range(20)])
    assert cut > 0.97


def test_the_error_of_a_difference_is_that_of_leaving_out_one_cluster_at_a_time():
    voice, face, identity = people(noise=1.5)
    blurred = face + np.random.default_rng(1).normal(size=face.shape).astype(np.float32)

    def both(keep):
        return [judge(unit(voice[keep]), unit(x[keep]), identity[keep]) for x in (face, blurred)]

    one, other = both(slice(None))
    without = [a.auc - b.auc for c in range(30) for a, b in [both(identity != c)]]
    jackknife = np.sqrt(29 / 30 * ((np.array(without) - np.mean(without)) ** 2).sum())
    assert one.error_against(other) == pytest.approx(jackknife, rel=0.15)


def test_folds_are_pooled_by_their_videos():
    parts = [(held_out.Judgement(0.6, np.array([0.1, -0.1])), 30), (held_out.Judgement(0.9, np.array([0.2])), 10)]
    found = held_out.pooled(parts)
    assert found.auc == pytest.approx(0.675)
    assert found.error == pytest.approx(np.sqrt(2 * 0.075**2 + 0.05**2))
