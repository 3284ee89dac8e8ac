"""Held-out clusters: a judge of representations that needs no labels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from lowshot.clustering import kmeans, nearest_prototype
from lowshot.metrics.verification import auc

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
# Average size of a cluster. People have more videos in the archives of the field; a person cut in two is harmless,
# because near clusters are held out together.
VIDEOS_PER_CLUSTER = 6
# One in so many videos is held out, of an archive of millions no more than the judge can look at.
FOLDS, MOST_HELD_OUT = 7, 1_500
MOST_CLUSTERED = 4_000
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


def cluster_videos(joint: FloatArray, seed: int) -> IntArray:
    """Cluster videos on both modalities together.

    Args:
        joint: unit vectors of both modalities, float32 [n, d]; see `data.video_vectors.joint_vectors`.
        seed: of k-means.

    Returns:
        Cluster of each video, int64 [n]; a cluster has `VIDEOS_PER_CLUSTER` videos on average.
    """
    k = max(1, round(len(joint) / VIDEOS_PER_CLUSTER))
    return kmeans(torch.from_numpy(joint), k, seed, _ITERATIONS).assignments.numpy()


def hold_out(joint: FloatArray, seed: int) -> tuple[IntArray, IntArray]:
    """Set clusters of videos aside, with near clusters, as people that nothing trains on.

    Of more than `MOST_CLUSTERED` videos, clusters of a part decide which regions are held out, and the videos of those
    regions are clustered anew: the cost grows with the number of videos, not with its square.

    Args:
        joint: as in `cluster_videos`.
        seed: of the clusters, and of the choice.

    Returns:
        Numbers of the held-out videos, rising, int64 [h], and the cluster of each, int64 [h]. About one video in
        `FOLDS`, at most about `MOST_HELD_OUT`.
    """
    n = len(joint)
    if n <= MOST_CLUSTERED:
        clusters = cluster_videos(joint, seed)
    else:
        part = np.random.Generator(np.random.Philox(key=seed)).permutation(n)[:MOST_CLUSTERED]
        k = round(MOST_CLUSTERED / VIDEOS_PER_CLUSTER)
        prototypes = kmeans(torch.from_numpy(joint[part]), k, seed, _ITERATIONS).prototypes
        clusters = nearest_prototype(torch.from_numpy(joint), prototypes)[1].numpy()
    # A judge of a few clusters says little: of few videos a quarter is held out.
    folds = max(4, min(max(FOLDS, round(n / MOST_HELD_OUT)), len(np.unique(clusters)) // 6))
    fold = fold_clusters(joint, clusters, folds, seed)
    # Families differ in size: the fold that is closest to the wanted share is held out.
    wanted = n / max(FOLDS, n / MOST_HELD_OUT)
    held = np.flatnonzero(fold == np.abs(np.bincount(fold) - wanted).argmin())
    return held, clusters[held] if n <= MOST_CLUSTERED else cluster_videos(joint[held], seed)


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
    # Clusters that no video is nearest to have no centre.
    clusters = np.unique(clusters, return_inverse=True)[1]
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
