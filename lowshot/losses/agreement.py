"""Agreement with cluster neighbours, which finds deviating pairs."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lowshot.clustering import NO_DIRECTION, UNASSIGNED, sum_by_cluster


@torch.no_grad()
def neighbour_agreement(voice: Tensor, face: Tensor, voice_assignments: Tensor, face_assignments: Tensor) -> Tensor:
    """Agreement of each video with its cluster neighbours, at one granularity.

    The cluster neighbours of a video are the other members of its cluster. The video itself does not count, so that a
    memorised pair cannot confirm itself. If voice and face belong to one person, the faces of the voice's neighbours
    resemble the video's face as much as the faces of the face's neighbours do. If the voice is another person's, they
    are faces of that person. The same is true with the modalities exchanged; both differences are added.

    Args:
        voice, face: unit embeddings of all videos, [n, d] each, from the memory banks.
        voice_assignments, face_assignments: cluster of each video in each modality, int64 [n], or -1 for none.

    Returns:
        [n], in -4..4; low if the pair deviates. NaN for a video without a cluster, or without neighbours, in either
        modality. The cost is n * d additions.

    Raises:
        ValueError: the shapes do not fit together.

    Source:
        This project. CMPC (Zhu et al., IJCAI 2022) compares the pair itself with the prototypes of its two clusters.
        The prototypes of a deviating pair disagree with each other as well, so the difference is uninformative.
    """
    if voice.ndim != 2 or voice.shape != face.shape:
        raise ValueError(f"voices and faces must both be [n, d], got {[*voice.shape]} and {[*face.shape]}")
    if voice_assignments.shape != (len(voice),) or face_assignments.shape != (len(voice),):
        raise ValueError(f"one cluster per video is needed, for {len(voice)} videos in both modalities")
    by_voice = _fit(face, voice_assignments) - _fit(face, face_assignments)
    by_face = _fit(voice, face_assignments) - _fit(voice, voice_assignments)
    return by_voice + by_face


def _fit(x: Tensor, assignments: Tensor) -> Tensor:
    """Cosine of each vector with the mean of its cluster neighbours, [n].

    It is NaN without neighbours.

    Args:
        x: unit vectors, [n, d].
        assignments: cluster of each, int64 [n], or -1 for none.
    """
    clustered = assignments != UNASSIGNED
    neighbours = torch.full_like(x, torch.nan)
    own = assignments[clustered]
    if len(own):
        k = int(own.max()) + 1
        neighbours[clustered] = sum_by_cluster(x[clustered], own, k)[own] - x[clustered]
    known = neighbours.norm(dim=1) > NO_DIRECTION
    return (x * F.normalize(neighbours, dim=1)).sum(dim=1).masked_fill(~known, torch.nan)
