"""Held-out clusters: a judge of representations that needs no labels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from lowshot.clustering import kmeans
from lowshot.metrics.verification import auc

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
# Average size of a cluster. People have more videos in the archives of the field; a person cut in two is harmless,
# because near clusters are held out together.
VIDEOS_PER_CLUSTER = 6
_ITERATIONS = 30


@dataclass(frozen=True)
class Judgement:
    """How well held-out clusters are told apart.

    Attributes:
        auc: area under the ROC curve over voice-face pairs of different videos, in [0, 1].
        error: its standard error over clusters.
    """

    auc: float
    error: float


def cluster_videos(voice: FloatArray, face: FloatArray, seed: int) -> tuple[IntArray, FloatArray]:
    """Cluster videos on both modalities together.

    Args:
        voice, face: vectors of n videos in which columns are comparable, [n, p] and [n, q].
        seed: of k-means.

    Returns:
        Cluster of each video, int64 [n], and the unit vectors that were clustered, float32 [n, p + q]: both modalities
        at unit length, side by side, so that they count alike.
    """
    parts = [functional.normalize(torch.from_numpy(np.ascontiguousarray(x, np.float32)), dim=1) for x in (voice, face)]
    joint = functional.normalize(torch.cat(parts, dim=1), dim=1)
    k = max(1, round(len(joint) / VIDEOS_PER_CLUSTER))
    return kmeans(joint, k, seed, _ITERATIONS).assignments.numpy(), joint.numpy()


def fold_clusters(joint: FloatArray, clusters: IntArray, folds: int, seed: int) -> IntArray:
    """Deal clusters into folds, those that are each other's nearest together.

    A person whose videos fell into two clusters would else be trained on in one of them and judged by in the other, and
    a model that has learned people by heart would be preferred.

    Args:
        joint, clusters: as `cluster_videos` gives them.
        folds: number of folds, >= 2.
        seed: decides which families of clusters go into which fold.

    Returns:
        Fold of each video, int64 [n], 0..folds-1. Folds hold equally many families of clusters, give or take one.
    """
    k = int(clusters.max()) + 1
    centres = np.zeros((k, joint.shape[1]), np.float64)
    np.add.at(centres, clusters, joint)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True).clip(1e-12)
    nearest = _nearest_other(centres)
    # Mutual nearest neighbours are a family of two; every other cluster is one by itself.
    mutual = nearest[nearest] == np.arange(k)
    family = np.where(mutual, np.minimum(np.arange(k), nearest), np.arange(k))
    names, place = np.unique(family, return_inverse=True)
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(names))
    dealt = np.empty(len(names), np.int64)
    dealt[order] = np.arange(len(names)) % folds
    return dealt[place][clusters]


def _nearest_other(centres: npt.NDArray[np.float64], block: int = 1024) -> IntArray:
    nearest = np.empty(len(centres), np.int64)
    for start in range(0, len(centres), block):
        similarity = centres[start : start + block] @ centres.T
        rows = np.arange(len(similarity))
        similarity[rows, start + rows] = -np.inf
        nearest[start : start + block] = similarity.argmax(axis=1)
    return nearest


def judge(voice: FloatArray, face: FloatArray, clusters: IntArray) -> Judgement | None:
    """Measure how well clusters that nothing trained on are told apart across modalities.

    Args:
        voice, face: unit embeddings of n held-out videos, [n, d].
        clusters: whose pseudo-identity each video is, [n].

    Returns:
        None if no cluster has two videos, or there is only one cluster.

    Source:
        The variance of the AUC by the projection of Hajek, for clustered pairs: Obuchowski, Biometrics 53, 1997,
        here with clusters on both sides of a pair.
    """
    scores = voice @ face.T
    same = clusters[:, None] == clusters[None, :]
    # A video's own pair shares the room and the recording, not only the person.
    other = ~np.eye(len(scores), dtype=bool)
    positive, negative = same & other, ~same
    if not positive.any() or not negative.any():
        return None
    value = float(auc(scores[other], same[other]))
    return Judgement(value, _standard_error(scores, positive, negative, clusters, value))


def _standard_error(
    scores: FloatArray, positive: np.ndarray, negative: np.ndarray, clusters: IntArray, value: float
) -> float:
    pos, neg = np.sort(scores[positive]), np.sort(scores[negative])
    rows, columns = np.nonzero(positive)
    beaten = (np.searchsorted(neg, scores[positive], "left") + np.searchsorted(neg, scores[positive], "right")) / 2
    _, code = np.unique(clusters, return_inverse=True)
    influence = np.bincount(code[rows], beaten / len(neg) - value, code.max() + 1) / len(pos)
    rows, columns = np.nonzero(negative)
    below = (np.searchsorted(pos, scores[negative], "left") + np.searchsorted(pos, scores[negative], "right")) / 2
    excess = (1 - below / len(pos) - value) / len(neg)
    for side in (rows, columns):
        influence += np.bincount(code[side], excess, code.max() + 1)
    return float(np.sqrt((influence**2).sum()))
