"""Where an adaptation or an evaluation takes its weights from: `--from` and `--model`."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lowshot.config import Config
from lowshot.data.dataset import Dataset
from lowshot.data.features import ColumnStatistics
from lowshot.data.readers.base import Reader
from lowshot.data.readers.choice import open_reader
from lowshot.data.readers.media import CACHE_BYTES
from lowshot.errors import RequestError
from lowshot.models.pretrained import PREFIX, checked_weights, find_entry, read_registry
from lowshot.models.two_tower import TwoTower
from lowshot.models.weights import load_model
from lowshot.runs import newest_run, read_config
from lowshot.schema import CONFIG, MODEL, TRAINED

# Facts written with weights, and by `lowshot embed` with what they made, that together name a model.
_SAME_MODEL = ("method", "adaptation", "fraction", "train_seed", "data_sha", "config_sha")


@dataclass(frozen=True)
class LoadedModel:
    """A model, and what is known of it.

    Attributes:
        model: in evaluation mode.
        name: of the run or file it came from, `pretrained:NAME`, or `scratch`.
        facts: what was written with the weights; `method`, `adaptation`, `fraction`, `train_seed` and others.
        config: settings it was trained with; None for a bare weights file.
        path: of that run or file; None for fresh weights.
    """

    model: TwoTower
    name: str
    facts: dict[str, str]
    config: Config | None
    path: Path | None = None

    @property
    def scratch(self) -> bool:
        """Whether the weights are fresh."""
        return self.facts["method"] == "scratch" and self.facts["adaptation"] == "none"

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
        for name, value in sorted(self.model.state_dict().items()):
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
        model = self.model
        if dataset.has_features and all(
            self.facts.get(key) and dataset.feature_facts.get(key) == self.facts[key] for key in _SAME_MODEL
        ):
            raise RequestError(
                f"{dataset.root}: holds the embeddings that {self.name} made; score them with "
                "`lowshot evaluate --embeddings`, or name the data they were made of"
            )
        return open_reader(
            dataset, model.model_config, model.voice_config, model.face_config, model.widths, cache_bytes
        )


def find_model(source: str | None, kinds: tuple[str, ...]) -> LoadedModel:
    """Load the model that a person named, or the newest one.

    Args:
        source: a run directory, a weights file, `pretrained:NAME`, or None for the newest finished run of one of
            `kinds`.
        kinds: verbs whose runs count when nothing was named.

    Raises:
        RequestError: nothing is there, it is no model, or it is not the one that the registry speaks of.
    """
    if source is not None and source.startswith(PREFIX):
        return _pretrained(source)
    path = newest_run(kinds) if source is None else Path(source)
    if path.is_dir():
        weights, name = path / MODEL, path.resolve().name
        if not weights.is_file():
            raise RequestError(f"{path}: no {MODEL} there; name a finished run or a .safetensors file")
    elif path.is_file():
        weights, name = path, path.name
    else:
        hint = f"; did you mean {PREFIX}{source}?" if source in read_registry() else ""
        raise RequestError(f"{path}: no such run or weights file{hint}")
    model, facts = load_model(weights)
    config = read_config(path) if path.is_dir() and (path / CONFIG).is_file() else None
    return LoadedModel(model, name, {"method": "unknown", "adaptation": "none", **facts}, config, path)


def _pretrained(source: str) -> LoadedModel:
    entry = find_entry(source)
    path = checked_weights(entry)
    model, facts = load_model(path)
    return LoadedModel(model, source, facts, entry.config(), path)


def fresh_model(config: Config, statistics: Mapping[str, ColumnStatistics] | None = None) -> LoadedModel:
    """Towers with fresh weights: what learning from the labels alone starts from.

    Args:
        config, statistics: as of `TwoTower.from_config`.
    """
    facts = {"method": "scratch", "adaptation": "none", "fraction": "0", "train_seed": str(config.seed)}
    return LoadedModel(TwoTower.from_config(config, statistics).eval(), "scratch", facts, config)
