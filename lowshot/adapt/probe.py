"""Cross-modal linear probe: one linear map per frozen tower."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from lowshot.adapt.early_stopping import Selected, select
from lowshot.config import Config
from lowshot.data.pairs import Videos, choose, epoch_order, sample_uniforms
from lowshot.data.readers.base import Reader
from lowshot.losses.supervised import cross_modal_supervised_contrast
from lowshot.models.embedding import Embeddings, embed
from lowshot.models.two_tower import TwoTower, with_linear_heads
from lowshot.training.validation import auc_of_embeddings


@dataclass(frozen=True)
class Frozen:
    """Embeddings by manifest row, computed once."""

    voice: torch.Tensor
    face: torch.Tensor


def embed_videos(model: TwoTower, videos: Sequence[Videos], reader: Reader) -> Embeddings:
    """Embed all media of videos, each once."""
    voices = np.concatenate([rows for part in videos for rows in part.voices])
    faces = np.concatenate([rows for part in videos for rows in part.faces])
    return embed(model, reader, voices, faces)


def videos_of_step(count: int, most: int, seed: int, step: int) -> np.ndarray:
    """Videos of a step: all of `count`, or at most `most`.

    Epochs go through more than `most` videos in parts. Embeddings are cheap once computed, but the contrast of all
    with all grows with the square of their number.
    """
    if count <= most:
        return np.arange(count)
    epoch, place = divmod(step, count // most)
    return epoch_order(count, seed, epoch)[place * most : (place + 1) * most]


def probe(
    model: TwoTower,
    labelled: Videos,
    validation: Videos,
    reader: Reader,
    config: Config,
    seed: int,
    vectors: Embeddings | None = None,
) -> tuple[TwoTower, Selected]:
    """Train a linear map after each frozen tower by cross-modal supervised contrast.

    Args:
        model: the frozen towers; not changed.
        labelled: videos of the labelled training identities.
        validation: videos of validation identities, which choose learning rate and stopping step.
        reader: of the dataset.
        config: `config.adapt` has the number of steps and the learning rates.
        seed: seed of the order of samples.
        vectors: embeddings by `model` of at least the media of both; computed here by default.

    Returns:
        The model with its maps, in evaluation mode, and the record of the choice. The maps start as the identity, so
        that a probe of no steps equals the model.
    """
    probed = with_linear_heads(model)
    vectors = vectors or embed_videos(model, [labelled, validation], reader)
    frozen = Frozen(torch.from_numpy(vectors.voice), torch.from_numpy(vectors.face))
    identity = torch.from_numpy(np.unique(labelled.identities, return_inverse=True)[1])
    known = np.array(validation.identities)
    first_voice = torch.tensor([int(rows[0]) for rows in validation.voices])
    first_face = torch.tensor([int(rows[0]) for rows in validation.faces])

    def attempt(module: nn.Module, rate: float) -> Callable[[int], None]:
        towers = cast(TwoTower, module)
        heads = [*towers.voice_head.parameters(), *towers.face_head.parameters()]
        optimizer = torch.optim.AdamW(heads, lr=rate, weight_decay=config.adapt.weight_decay)

        def take_step(step: int) -> None:
            rows = videos_of_step(len(labelled), config.adapt.probe_batch_size, seed, step)
            uniforms = sample_uniforms(len(rows), seed, step)
            voice = towers.map_voice(frozen.voice[choose([labelled.voices[row] for row in rows], uniforms[:, 0])])
            face = towers.map_face(frozen.face[choose([labelled.faces[row] for row in rows], uniforms[:, 2])])
            v2f, f2v = cross_modal_supervised_contrast(voice, face, identity[rows], config.adapt.temperature)
            optimizer.zero_grad(set_to_none=True)
            (v2f.mean() + f2v.mean()).backward()
            optimizer.step()

        return take_step

    def validate(module: nn.Module) -> float:
        towers = cast(TwoTower, module)
        with torch.inference_mode():
            voice = towers.map_voice(frozen.voice[first_voice])
            face = towers.map_face(frozen.face[first_face])
        return auc_of_embeddings(voice.numpy(), face.numpy(), known)

    adapted, chosen = select(
        probed, config.adapt.probe_learning_rates, config.adapt.probe_steps, config.adapt.checks, attempt, validate
    )
    return cast(TwoTower, adapted).eval(), chosen
