"""Instance contrast across modalities: a video's pair against the batch (CID)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lowshot.losses._numerics import check_pairs, full_precision


def instance_contrast(
    a: Tensor, f: Tensor, temperature: float, excluded_negatives: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Contrast each voice with the batch's faces, and vice versa.

    Args:
        a: L2-normalised voice embeddings, [B, d].
        f: L2-normalised face embeddings, [B, d]; row i belongs to the video of row i of `a`.
        temperature: softmax temperature, > 0 (0.03 in the released configuration).
        excluded_negatives: videos i and j that are not negatives of each other, bool [B, B], symmetric; the
            diagonal is ignored, because a video's own pair is its positive. None: all others are negatives.

    Returns:
        (voice-to-face, face-to-voice) losses of each video, [B] each, in nats, float32 (float64 for float64
        inputs). They are per sample, so that recalibration can weight them.

    Raises:
        ValueError: the shapes differ, or the temperature is not positive.

    Source:
        Zhu et al., IJCAI 2022, cross-modal instance discrimination:
        `l(i) = -log softmax_j(a_i . f_j / temperature)[j = i]`, and symmetrically.

    Deviation:
        With `excluded_negatives`, the softmax runs over the own pair and the videos that are not excluded.
    """
    check_pairs(a, f, temperature)
    if excluded_negatives is not None and excluded_negatives.shape != (len(a), len(a)):
        raise ValueError(f"excluded_negatives must be [{len(a)}, {len(a)}], got {[*excluded_negatives.shape]}")
    with full_precision(a, f) as (voice, face):
        logits = voice @ face.T / temperature
        own = torch.arange(len(a), device=a.device)
        if excluded_negatives is not None:
            logits = logits.masked_fill(excluded_negatives & (own[:, None] != own), -torch.inf)
        v2f = F.cross_entropy(logits, own, reduction="none")
        f2v = F.cross_entropy(logits.T, own, reduction="none")
        return v2f, f2v
