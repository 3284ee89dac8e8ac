"""Choose the reader for a dataset, and check that towers suit it."""

from collections.abc import Mapping

from lowshot.data.dataset import Dataset
from lowshot.data.readers.base import Reader
from lowshot.data.readers.features import FeatureReader
from lowshot.data.readers.media import CACHE_BYTES, MediaReader
from lowshot.errors import RequestError
from lowshot.settings import FaceConfig, ModelConfig, VoiceConfig


def check_towers(dataset: Dataset, model: ModelConfig) -> None:
    """Refuse towers of media for vectors, and towers of vectors for media.

    Raises:
        RequestError: the towers do not suit the dataset.
    """
    takes_vectors = model.tower == "mlp"
    if dataset.has_features and not takes_vectors:
        raise RequestError(
            f"{dataset.root}: holds feature vectors, and the towers {model.tower} take voice and face files; omit "
            "model.tower, or score the vectors as they are with `lowshot evaluate` (`embeddings`)"
        )
    if takes_vectors and not dataset.has_features:
        raise RequestError(
            f"{dataset.name}: holds voice and face files, and the towers mlp take feature vectors; name a directory "
            "with features.safetensors, or other towers"
        )


def open_reader(
    dataset: Dataset,
    model: ModelConfig,
    voice: VoiceConfig,
    face: FaceConfig,
    widths: Mapping[str, int] | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> Reader:
    """Open the reader of a dataset for some towers.

    Args:
        dataset: of media files or vectors.
        model: the towers.
        voice, face: settings of decoding.
        widths: widths of the vectors that the towers take, by modality; None if the towers are still to be made.
        cache_bytes: how much decoded media to keep, bytes.

    Raises:
        RequestError: the towers do not suit the dataset, or take vectors of other widths.
    """
    check_towers(dataset, model)
    if dataset.has_features:
        return FeatureReader(dataset, widths)
    return MediaReader(dataset, voice, face, cache_bytes)
