"""How well a model tells validation identities apart: what adaptation is selected by, and what is logged."""

import numpy as np

from lowshot.data.pairs import Videos
from lowshot.data.reading import Reader
from lowshot.evaluation.embed import embed
from lowshot.metrics.verification import auc
from lowshot.models.two_tower import TwoTower


def validation_auc(model: TwoTower, reader: Reader, videos: Videos) -> float:
    """AUC over all voice-face pairs of different videos, one voice and one face a video.

    Args:
        model: left as it is.
        reader: of the dataset.
        videos: validation videos with known identities; those without one are left out.

    Returns:
        Area under the ROC curve, 0..1; NaN when no identity has two videos.
    """
    voices = np.array([rows[0] for rows in videos.voices])
    faces = np.array([rows[0] for rows in videos.faces])
    vectors = embed(model, reader, voices, faces)
    return auc_of_embeddings(vectors.voice[voices], vectors.face[faces], np.array(videos.identities))


def auc_of_embeddings(voice: np.ndarray, face: np.ndarray, identities: np.ndarray) -> float:
    """AUC over all pairs of different videos.

    Args:
        voice, face: unit embeddings of n videos, float32 [n, d].
        identities: whose they are, [n]; videos with "" are left out.
    """
    known = identities != ""
    scores = voice[known] @ face[known].T
    same = identities[known][:, None] == identities[known][None, :]
    # A video's own pair shares more than the person: the room, the age, the mood.
    other_video = ~np.eye(len(scores), dtype=bool)
    if not same[other_video].any() or same[other_video].all():
        return float("nan")
    return auc(scores[other_video], same[other_video])
