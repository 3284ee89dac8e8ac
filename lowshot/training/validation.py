"""Validation AUC, which selects adaptations and is logged in pretraining."""

import numpy as np

from lowshot.data.pairs import Videos
from lowshot.data.readers.base import Reader
from lowshot.metrics.verification import auc
from lowshot.models.embedding import embed
from lowshot.models.two_tower import TwoTower

# All pairs of this many videos are scored at once, in a few seconds and half a gigabyte.
MOST_VIDEOS = 4096


def validation_auc(model: TwoTower, reader: Reader, videos: Videos) -> float:
    """AUC over all voice-face pairs of different videos.

    Each video gives one voice and one face.

    Args:
        model: not changed.
        reader: of the dataset.
        videos: validation videos; those without a known identity are skipped.

    Returns:
        Area under the ROC curve, 0..1; NaN if no identity has two videos.
    """
    voices = np.array([rows[0] for rows in videos.voices])
    faces = np.array([rows[0] for rows in videos.faces])
    vectors = embed(model, reader, voices, faces)
    return auc_of_embeddings(vectors.voice[voices], vectors.face[faces], np.array(videos.identities))


def auc_of_embeddings(voice: np.ndarray, face: np.ndarray, identities: np.ndarray) -> float:
    """AUC over all pairs of different videos.

    Args:
        voice, face: unit embeddings of n videos, float32 [n, d].
        identities: identity of each video, [n]; videos with "" are skipped. If there are more than `MOST_VIDEOS`,
            whole identities are used up to that number of videos, always in the same order.
    """
    known = _some_identities(identities)
    scores = voice[known] @ face[known].T
    same = identities[known][:, None] == identities[known][None, :]
    # A video's own pair shares more than the person: room, age and mood.
    other_video = ~np.eye(len(scores), dtype=bool)
    if not same[other_video].any() or same[other_video].all():
        return float("nan")
    return auc(scores[other_video], same[other_video])


def _some_identities(identities: np.ndarray) -> np.ndarray:
    """Mask [n] of the videos to use.

    They are those of all known identities, or of as many identities as `MOST_VIDEOS` allows, at least two.
    """
    known = identities != ""
    if known.sum() <= MOST_VIDEOS:
        return known
    names, videos = np.unique(identities[known], return_counts=True)
    order = np.random.Generator(np.random.Philox(key=0)).permutation(len(names))
    count = max(2, int((videos[order].cumsum() <= MOST_VIDEOS).sum()))
    return np.isin(identities, names[order[:count]])
