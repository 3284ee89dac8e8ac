"""One vector per video and modality, for what clusters or correlates whole videos."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from lowshot.data.pairs import Videos
from lowshot.data.readers.base import Reader
from lowshot.schema import MODALITIES
from lowshot.settings import EvaluateConfig, FaceConfig, VoiceConfig

_BLOCK = 1024


def rows_of(reader: Reader, modality: str, rows: np.ndarray) -> torch.Tensor:
    """Vectors of some rows as they are, float32 [n, d]."""
    # Front ends and crops are settings of media; vectors have none.
    return reader.views(modality, rows, VoiceConfig(), FaceConfig(), EvaluateConfig()).make(slice(None))


def video_means(reader: Reader, videos: Videos) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Mean voice and mean face of each video, a block of videos at a time.

    Args:
        reader: of vectors.
        videos: which ones.

    Yields:
        Number of the block's first video, voices float32 [b, p], faces float32 [b, q].
    """
    for start in range(0, len(videos), _BLOCK):
        part = videos.select(np.arange(start, min(len(videos), start + _BLOCK)))
        yield start, _mean(reader, "voice", part.voices), _mean(reader, "face", part.faces)


def _mean(reader: Reader, modality: str, rows: list[np.ndarray]) -> torch.Tensor:
    vectors = rows_of(reader, modality, np.concatenate(rows))
    owner = torch.from_numpy(np.repeat(np.arange(len(rows)), [len(each) for each in rows]))
    total = torch.zeros(len(rows), vectors.shape[1]).index_add_(0, owner, vectors)
    return total / torch.bincount(owner)[:, None]


def joint_vectors(reader: Reader, videos: Videos) -> npt.NDArray[np.float32]:
    """Unit vectors of both modalities of each video, side by side.

    Args:
        reader: of vectors; columns are standardised by its statistics of the training rows.
        videos: which ones.

    Returns:
        Unit vectors, float32 [n, p + q]. Both modalities count alike, whatever their widths.
    """
    assert reader.statistics is not None, "vectors have statistics"
    blocks = []
    for _, *sides in video_means(reader, videos):
        units = []
        for modality, vectors in zip(MODALITIES, sides, strict=True):
            statistics = reader.statistics[modality]
            scale = np.divide(1.0, statistics.std, out=np.zeros_like(statistics.std), where=statistics.std > 0)
            scaled = (vectors - torch.from_numpy(statistics.mean)) * torch.from_numpy(scale)
            units.append(functional.normalize(scaled.float(), dim=1))
        blocks.append(functional.normalize(torch.cat(units, dim=1), dim=1))
    joint: npt.NDArray[np.float32] = torch.cat(blocks).numpy()
    return joint
