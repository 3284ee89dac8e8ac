"""Embedding of dataset rows without augmentation, in batches that fit into memory."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from lowshot.data.readers.base import Reader, Views
from lowshot.errors import RunError
from lowshot.models.two_tower import TwoTower, tower_layout
from lowshot.settings import EvaluateConfig

BATCH = 128
USUAL = EvaluateConfig()
"""Default crops and mirror images."""


@dataclass(frozen=True)
class Embeddings:
    """Unit embeddings of a dataset's rows.

    Attributes:
        voice, face: float32 [rows of the modality, d]; rows that were not requested hold NaN.
    """

    voice: np.ndarray
    face: np.ndarray


def embed(
    model: TwoTower, reader: Reader, voices: np.ndarray, faces: np.ndarray, settings: EvaluateConfig = USUAL
) -> Embeddings:
    """Embed rows of a dataset.

    Args:
        model: the towers; their mode does not change.
        reader: decoded media.
        voices, faces: row numbers; repeats are embedded once.
        settings: number of crops of a voice, and whether faces are mirrored too.

    Returns:
        Embeddings over all rows of the dataset, NaN for rows that were not requested.
    """
    found = {}
    for modality, rows in (("voice", np.unique(voices)), ("face", np.unique(faces))):
        found[modality] = np.full((len(reader.dataset.rows(modality)), model.model_config.dim), np.nan, np.float32)
        found[modality][rows] = embed_rows(model, reader, modality, rows, settings)
    return Embeddings(**found)


def embed_rows(
    model: TwoTower,
    reader: Reader,
    modality: str,
    rows: np.ndarray,
    settings: EvaluateConfig = USUAL,
    advance: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Embed rows of one modality into a new array.

    Args:
        model, reader, settings: as in `embed`.
        modality: `voice` or `face`.
        rows: row numbers, each one once.
        advance: called with the number of media done since the last call.

    Returns:
        Unit embeddings in the order of `rows`, float32 [n, d].
    """
    out = np.empty((len(rows), model.model_config.dim), dtype=np.float32)
    done = 0
    for block in embed_blocks(model, reader, modality, rows, settings):
        out[done : done + len(block)] = block
        done += len(block)
        if advance is not None:
            advance(len(block))
    return out


def embed_blocks(
    model: TwoTower, reader: Reader, modality: str, rows: np.ndarray, settings: EvaluateConfig = USUAL
) -> Iterator[np.ndarray]:
    """Embed rows of one modality block by block, to save memory.

    Args:
        model, reader, modality, settings: as in `embed_rows`.
        rows: row numbers, each one once.

    Yields:
        Unit embeddings of the next rows, float32 [at most BATCH, d].

    Raises:
        RunError: not even one medium at a time fits into the memory.
    """
    parts = (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
    views = (
        (len(part), reader.views(modality, part, model.voice_config, model.face_config, settings)) for part in parts
    )
    yield from embed_views(model, modality, views)


def embed_views(model: TwoTower, modality: str, views: Iterable[tuple[int, Views]]) -> Iterator[np.ndarray]:
    """Embed blocks of media, one after the other.

    Args:
        model: the towers.
        modality: `voice` or `face`.
        views: for each block, the number of its media, and the inputs of the tower.

    Yields:
        Unit embeddings of the next block, float32 [media, d].

    Raises:
        RunError: not even one medium at a time fits into the memory.
    """
    encoder = _Encoder(model)
    encode = model.encode_voice if modality == "voice" else model.encode_face
    for count, shown in views:
        vectors = encoder(encode, shown.count, shown.make)
        if shown.owner is not None:
            total = torch.zeros(count, vectors.shape[1]).index_add_(0, shown.owner, vectors)
            vectors = torch.nn.functional.normalize(total, dim=1)
        yield vectors.numpy()


class _Encoder:
    """Encoder that uses smaller batches after memory runs out."""

    def __init__(self, model: TwoTower) -> None:
        self.model = model
        self.batch = BATCH

    def __call__(
        self, encode: Callable[[torch.Tensor], torch.Tensor], count: int, inputs: Callable[[slice], torch.Tensor]
    ) -> torch.Tensor:
        """Encode `count` inputs to float32 [count, d], on the CPU.

        `inputs` makes any part of them.
        """
        parts: list[torch.Tensor] = []
        done = 0
        while done < count:
            encoded = self._tried(encode, inputs(slice(done, min(count, done + self.batch))))
            if encoded is None:
                self.batch //= 2
            else:
                parts.append(encoded)
                done += len(encoded)
        return torch.cat(parts)

    def _tried(self, encode: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor) -> torch.Tensor | None:
        """The embeddings; None if memory ran out but smaller batches may fit."""
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                device = next(self.model.parameters()).device
                return encode(tower_layout(inputs.to(device))).cpu()
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
            # The failed inputs may themselves have been less than a batch.
            self.batch = min(self.batch, len(inputs))
            if self.batch == 1:
                raise RunError(
                    "one file at a time does not fit into memory; free some memory, or use a smaller model"
                ) from error
            return None
        finally:
            self.model.train(was_training)


def _out_of_memory(error: Exception) -> bool:
    # On a CPU torch raises a plain RuntimeError with its allocator's words.
    worded = "can't allocate memory" in str(error) or "not enough memory" in str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or worded
