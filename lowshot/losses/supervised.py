"""Supervised contrast across modalities: pairs of one identity are positives."""

import torch
from torch import Tensor

from lowshot.losses._numerics import check_pairs, full_precision


def cross_modal_supervised_contrast(
    a: Tensor, f: Tensor, identity: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Contrast voices with faces; all faces of an identity are positives.

    Args:
        a: L2-normalised voice embeddings, [B, d].
        f: L2-normalised face embeddings, [B, d]; row i belongs to the video of row i of `a`.
        identity: identity code of each video, int64 [B]; any integers.
        temperature: softmax temperature, > 0.

    Returns:
        (voice-to-face, face-to-voice) losses of each video, [B] each, in nats, float32 (float64 for float64
        inputs). If all identities differ, this is the instance contrast.

    Raises:
        ValueError: the shapes do not fit, or the temperature is not positive.

    Source:
        Khosla et al., NeurIPS 2020, eq. 2 (L_out: the mean over positives is outside the logarithm).

    Deviation:
        The anchors of one modality are compared only with the other modality. An anchor is therefore never among its
        own candidates, and its own pair counts as a positive.
    """
    check_pairs(a, f, temperature)
    if identity.shape != (len(a),):
        raise ValueError(f"identity must be [{len(a)}], one code per video, got {[*identity.shape]}")
    with full_precision(a, f) as (voice, face):
        logits = voice @ face.T / temperature
        positive = (identity[:, None] == identity[None, :]).to(logits.dtype)
        # Symmetric, so both directions share it; at least 1 everywhere because of the video's own pair.
        n_positive = positive.sum(dim=1)

        def mean_over_positives(logits: Tensor) -> Tensor:
            return -(positive * torch.log_softmax(logits, dim=1)).sum(dim=1) / n_positive

        return mean_over_positives(logits), mean_over_positives(logits.T)
