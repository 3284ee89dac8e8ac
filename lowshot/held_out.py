"""Held-out clusters: a judge of representations that needs no labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from lowshot.clustering import kmeans, nearest_prototype
from lowshot.metrics.verification import auc

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
# Average size of a cluster. A person with more videos falls into several, which are held out together.
VIDEOS_PER_CLUSTER = 6
# One in so many videos is held out, of an archive of millions no more than the judge can look at.
FOLDS, MOST_HELD_OUT = 7, 1_500
MOST_CLUSTERED = 4_000
_ITERATIONS = 30
# Clusters join if their mean similarity has come so far from the usual one between clusters to that within clusters,
# and as long as their family holds at most this share of all videos.
NEAR, LARGEST_FAMILY = 0.7, 0.1


@dataclass(frozen=True)
class Judgement:
    """How well held-out clusters are told apart.

    Attributes:
        auc: area under the ROC curve over voice-face pairs of different videos, in [0, 1].
        influence: what each cluster adds to its deviation from the truth, float64 [clusters].
    """

    auc: float
    influence: npt.NDArray[np.float64]

    @property
    def error(self) -> float:
        """Standard error of `auc` over clusters."""
        return float(np.sqrt((self.influence**2).sum()))

    def error_against(self, other: "Judgement") -> float:
        """Standard error of the difference to another model's AUC on the same clusters."""
        return float(np.sqrt(((self.influence - other.influence) ** 2).sum()))


def pooled(parts: Sequence[tuple[Judgement, int]]) -> Judgement:
    """The mean of judgements on disjoint folds, weighted by their numbers of videos.

    Args:
        parts: judgement and number of videos of each fold.
    """
    total = sum(videos for _, videos in parts)
    return Judgement(
        sum(found.auc * videos for found, videos in parts) / total,
        np.concatenate([found.influence * (videos / total) for found, videos in parts]),
    )


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


def hold_out(
    joint: FloatArray, seed: int, parts: int = 1, most: int = MOST_HELD_OUT
) -> list[tuple[IntArray, IntArray]]:
    """Set clusters of videos aside, with near clusters, as people that nothing trains on.

    Of more than `MOST_CLUSTERED` videos, clusters of a sample decide which regions are held out, and the videos of each
    region are clustered anew: the cost grows with the number of videos, not with its square.

    Args:
        joint: as in `cluster_videos`.
        seed: of the clusters, and of the choice.
        parts: number of disjoint parts to hold out, each in turn.
        most: videos of a part, about, at most.

    Returns:
        For each part the numbers of its videos, rising, int64 [h], and the cluster of each, int64 [h]. One part has
        about one video in `FOLDS`; several parts share all videos out, if `most` allows. No near clusters are in two
        parts.
    """
    n = len(joint)
    if n <= MOST_CLUSTERED:
        clusters = cluster_videos(joint, seed)
    else:
        sample = np.random.Generator(np.random.Philox(key=seed)).permutation(n)[:MOST_CLUSTERED]
        k = round(MOST_CLUSTERED / VIDEOS_PER_CLUSTER)
        prototypes = kmeans(torch.from_numpy(joint[sample]), k, seed, _ITERATIONS).prototypes
        clusters = nearest_prototype(torch.from_numpy(joint), prototypes)[1].numpy()
    # A judge of a few clusters says little: of few videos a quarter is held out.
    fewest = FOLDS if parts == 1 else parts
    folds = max(4, parts, min(max(fewest, round(n / most)), len(np.unique(clusters)) // 6))
    fold = fold_clusters(joint, clusters, folds, seed)
    # Families differ in size: the folds that are closest to the wanted share are held out.
    wanted = n / max(fewest, n / most)
    order = np.abs(np.bincount(fold, minlength=folds) - wanted).argsort(kind="stable")
    found = []
    for part in order[:parts]:
        held = np.flatnonzero(fold == part)
        fine = clusters[held] if n <= MOST_CLUSTERED or not len(held) else cluster_videos(joint[held], seed)
        found.append((held, fine))
    return found


def fold_clusters(joint: FloatArray, clusters: IntArray, folds: int, seed: int) -> IntArray:
    """Deal clusters into folds, near ones together.

    K-means cuts people with many videos into several clusters. If a model trained on one of them and were judged by
    another, a model that has learned people by heart would be preferred. So clusters join families: each joins its
    nearest, and further pairs join if they are nearly as alike as videos of one cluster are.

    Args:
        joint: unit vectors of both modalities, float32 [n, d].
        clusters: as `cluster_videos` gives them.
        folds: number of folds, >= 2.
        seed: decides which families of clusters go into which fold.

    Returns:
        Fold of each video, int64 [n], 0..folds-1. Folds hold equally many families of clusters, give or take one.
    """
    # Clusters that no video is nearest to have no centre.
    clusters = np.unique(clusters, return_inverse=True)[1]
    names, place = np.unique(_families(joint, clusters), return_inverse=True)
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(names))
    dealt = np.empty(len(names), np.int64)
    dealt[order] = np.arange(len(names)) % folds
    return dealt[place][clusters]


def _families(joint: FloatArray, clusters: IntArray) -> IntArray:
    """Family of each cluster, [k]."""
    counts = np.bincount(clusters)
    k, n = len(counts), len(clusters)
    sums = np.zeros((k, joint.shape[1]))
    np.add.at(sums, clusters, joint)
    means = sums / counts[:, None]
    between = means @ means.T
    parent, size = np.arange(k), counts.copy()

    def root(i: int) -> int:
        while parent[i] != i:
            i = int(parent[i])
        return i

    def join(i: int, j: int, most: float) -> None:
        a, b = root(i), root(j)
        if a != b and size[a] + size[b] <= most:
            parent[a] = b
            size[b] += size[a]

    if k > 1:
        norms = np.linalg.norm(means, axis=1).clip(1e-12)
        cosine = between / norms / norms[:, None]
        np.fill_diagonal(cosine, -np.inf)
        for i, nearest in enumerate(cosine.argmax(axis=1)):
            join(i, int(nearest), n)
    several = counts > 1
    if k > 2 and several.any():
        within = ((sums**2).sum(axis=1) - counts)[several] / (counts * (counts - 1))[several]
        rows, columns = np.triu_indices(k, 1)
        alike = between[rows, columns]
        usual = np.median(alike)
        close = np.flatnonzero(alike > usual + NEAR * (np.average(within, weights=counts[several]) - usual))
        for pair in close[np.argsort(-alike[close], kind="stable")]:
            join(int(rows[pair]), int(columns[pair]), n * LARGEST_FAMILY)
    return np.array([root(i) for i in range(k)])


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
    return Judgement(value, _influence(scores, positive, negative, clusters, value))


def _influence(
    scores: FloatArray, positive: np.ndarray, negative: np.ndarray, clusters: IntArray, value: float
) -> npt.NDArray[np.float64]:
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
    return np.asarray(influence, np.float64)
