"""A trained model with what is known of it: where adaptation and evaluation take their weights from."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from lowshot.config import Config
from lowshot.data.dataset import Dataset
from lowshot.data.features import ColumnStatistics
from lowshot.data.readers.base import Reader
from lowshot.data.readers.choice import open_reader
from lowshot.data.readers.media import CACHE_BYTES
from lowshot.errors import RequestError
from lowshot.models.device import choose_device
from lowshot.models.pretrained import PREFIX, checked_weights, find_entry, read_registry
from lowshot.models.two_tower import TwoTower
from lowshot.models.weights import read_model
from lowshot.runs import newest_run, read_config
from lowshot.schema import CONFIG, MODEL, TRAINED

# Metadata of weights, and of embeddings that `lowshot embed` wrote, that together name a model.
_SAME_MODEL = ("method", "adaptation", "fraction", "train_seed", "data_sha", "config_sha")


@dataclass(frozen=True)
class LoadedModel:
    """A model, and what is known of it.

    Attributes:
        towers: the two towers, in evaluation mode.
        name: of the run or file it came from, `pretrained:NAME`, or `scratch`.
        metadata: what was written with the weights; `method`, `adaptation`, `fraction`, `train_seed` and others.
        config: settings it was trained with; None for a bare weights file.
        path: of that run or file; None for fresh weights.
    """

    towers: TwoTower
    name: str
    metadata: dict[str, str]
    config: Config | None
    path: Path | None = None

    @property
    def model(self) -> TwoTower:
        """Old name of `towers`."""
        return self.towers

    @property
    def facts(self) -> dict[str, str]:
        """Old name of `metadata`."""
        return self.metadata

    @property
    def scratch(self) -> bool:
        """Whether the weights are fresh."""
        return self.metadata["method"] == "scratch" and self.metadata["adaptation"] == "none"

    @property
    def trained(self) -> Path | None:
        """The list of the videos that the model learned from, where one lies beside its weights."""
        if self.path is None or not (self.path.is_dir() or self.path.name == MODEL):
            return None
        path = (self.path if self.path.is_dir() else self.path.parent) / TRAINED
        return path if path.is_file() else None

    @property
    def sha(self) -> str:
        """Hash of the weights: 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for name, value in sorted(self.towers.state_dict().items()):
            digest.update(f"{name} {list(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def open_reader(self, dataset: Dataset, cache_bytes: int = CACHE_BYTES) -> Reader:
        """What reads a dataset for this model.

        Args:
            dataset: what the model is to see.
            cache_bytes: how much decoded media to keep.

        Raises:
            RequestError: the model takes something else, or the dataset holds what this very model made.
        """
        towers = self.towers
        if dataset.has_features and all(
            self.metadata.get(key) and dataset.feature_facts.get(key) == self.metadata[key] for key in _SAME_MODEL
        ):
            raise RequestError(
                f"{dataset.root}: holds the embeddings that {self.name} made; score them with "
                "`lowshot evaluate --embeddings`, or name the data they were made of"
            )
        return open_reader(
            dataset, towers.model_config, towers.voice_config, towers.face_config, towers.widths, cache_bytes
        )


def load_model(
    source: str | Path | None = None,
    device: str | torch.device | None = None,
    *,
    kinds: tuple[str, ...] = ("pretrain", "finetune", "probe"),
) -> LoadedModel:
    """Load a model.

    Args:
        source: `pretrained:NAME`, a run directory, a weights file, or None for the newest finished run of `kinds`.
        device: where to compute, as in `cpu` or `cuda:1`; the first GPU if there is one when not given.
        kinds: verbs whose runs count if no source is named.

    Raises:
        RequestError: there is no such model or device, or the file is damaged.
    """
    place = choose_device(device)
    found = _pretrained(source) if isinstance(source, str) and source.startswith(PREFIX) else _own(source, kinds)
    found.towers.to(place)
    return found


def _own(source: str | Path | None, kinds: tuple[str, ...]) -> LoadedModel:
    path = newest_run(kinds) if source is None else Path(source)
    if path.is_dir():
        weights, name = path / MODEL, path.resolve().name
        if not weights.is_file():
            raise RequestError(f"{path}: no {MODEL} there; name a finished run or a .safetensors file")
    elif path.is_file():
        weights, name = path, path.name
    else:
        hint = f"; did you mean {PREFIX}{source}?" if str(source) in read_registry() else ""
        raise RequestError(f"{path}: no such run or weights file{hint}")
    towers, metadata = read_model(weights)
    config = read_config(path) if path.is_dir() and (path / CONFIG).is_file() else None
    return LoadedModel(towers, name, {"method": "unknown", "adaptation": "none", **metadata}, config, path)


def _pretrained(source: str) -> LoadedModel:
    entry = find_entry(source)
    path = checked_weights(entry)
    towers, metadata = read_model(path)
    return LoadedModel(towers, source, metadata, entry.config(), path)


def model_from_scratch(config: Config, statistics: Mapping[str, ColumnStatistics] | None = None) -> LoadedModel:
    """Build a model with random weights: the baseline that learns from labels alone.

    Args:
        config, statistics: as of `TwoTower.from_config`.
    """
    metadata = {"method": "scratch", "adaptation": "none", "fraction": "0", "train_seed": str(config.seed)}
    return LoadedModel(TwoTower.from_config(config, statistics).eval(), "scratch", metadata, config)


def find_model(source: str | None, kinds: tuple[str, ...]) -> LoadedModel:
    """Old name of `load_model`."""
    return load_model(source, kinds=kinds)


fresh_model = model_from_scratch
