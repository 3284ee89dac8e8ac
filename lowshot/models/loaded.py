"""Loaded models: embeddings, similarities and rankings of voices and faces."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from lowshot.config import Config
from lowshot.data.dataset import Dataset
from lowshot.data.features import ColumnStatistics
from lowshot.data.readers.base import Reader
from lowshot.data.readers.choice import open_reader
from lowshot.data.readers.items import ItemDecoder, Items, as_list, item_views
from lowshot.data.readers.media import CACHE_BYTES, Decoder
from lowshot.errors import RequestError
from lowshot.metrics.cosine import cosine_matrix
from lowshot.models.calibration import RunCalibration, read_calibration
from lowshot.models.card import ModelCard, make_card
from lowshot.models.device import choose_device
from lowshot.models.embedding import BATCH, USUAL, embed_views
from lowshot.models.match import Matches, calibration_warning, data_warning, file_of, probe_modality, rank
from lowshot.models.pretrained import PREFIX, Entry, FittedMap, checked_weights, find_entry, read_registry
from lowshot.models.two_tower import TwoTower
from lowshot.models.weights import read_model
from lowshot.progress import Event, Report, Terminal, quiet
from lowshot.runs import newest_run, read_config
from lowshot.schema import CONFIG, MODALITIES, MODEL, TRAINED, WORLD_FILES
from lowshot.settings import EvaluateConfig

# Metadata of weights, and of embeddings that `lowshot embed` wrote, that together name a model.
_SAME_MODEL = ("method", "adaptation", "fraction", "train_seed", "data_sha", "config_sha")

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False, repr=False)
class LoadedModel:
    """A model that embeds voices and faces in one space.

    `lowshot.load` returns it.

    Attributes:
        towers: the two towers, in evaluation mode.
        name: name of its run or file, `pretrained:NAME`, or `scratch`.
        metadata: metadata of the weights: `method`, `adaptation`, `fraction`, `train_seed` and others.
        config: settings of its training; None for a bare weights file.
        path: path of its run or file; None for random weights.

    Example:
        >>> import lowshot
        >>> model = lowshot.load("pretrained:cmpc-compact", device="cpu")
        >>> model
        LoadedModel('pretrained:cmpc-compact', compact towers, 128 dimensions, on cpu)
        >>> voices = model.encode_voice(["a.wav", "b.wav"])
        >>> faces = model.encode_face(["a.jpg", "b.jpg", "c.jpg"])
        >>> model.similarity(voices, faces).shape
        (2, 3)
    """

    towers: TwoTower
    name: str
    metadata: dict[str, str]
    config: Config | None
    path: Path | None = None

    def __repr__(self) -> str:
        tower = self.towers.model_config.tower
        return f"LoadedModel({self.name!r}, {tower} towers, {self.dim} dimensions, on {self.device})"

    @property
    def dim(self) -> int:
        """Size of an embedding.

        Example:
            >>> import lowshot
            >>> lowshot.load("pretrained:cmpc-compact").dim
            128
        """
        return self.towers.model_config.dim

    @property
    def device(self) -> torch.device:
        """Device of the towers.

        Example:
            >>> import lowshot
            >>> lowshot.load("pretrained:cmpc-compact", device="cpu").device
            device(type='cpu')
        """
        return next(self.towers.parameters()).device

    def to(self, device: str | torch.device) -> "LoadedModel":
        """Move the towers to another device.

        Args:
            device: as in `cpu`, `cuda` or `cuda:1`.

        Returns:
            The model itself.

        Raises:
            RequestError: there is no such device.

        Example:
            >>> import lowshot
            >>> model = lowshot.load("pretrained:cmpc-compact").to("cpu")
        """
        self.towers.to(choose_device(device))
        return self

    @property
    def card(self) -> ModelCard:
        """The model card: method, labels, data, inputs, licence and intended use.

        Example:
            >>> import lowshot
            >>> card = lowshot.load("pretrained:cmpc-compact").card
            >>> print(card.method, card.data, card.licence, card.intended_use, sep="; ")
            cmpc; synth:bench; Apache-2.0; trying lowshot, teaching and tests; not for real voices and faces
        """
        data, synthetic = self._training_data()
        return make_card(self.name, self.towers, self.metadata, data, synthetic, self._entry)

    def encode_voice(self, items: Any, *, rate: int | None = None, progress: bool | Report = False) -> Vectors:
        """Encode voices as unit vectors, like evaluation does.

        Crops and front end are those of evaluation.

        Args:
            items: one voice or many, in a list or any iterator, which is read on demand. A voice is a path, a
                pair (samples, rate), or an array or tensor of samples [n]: floats in [-1, 1], int16 or int32. A
                pair may hold several channels, [n, channels] or [channels, n]. An array [clips, n] is many voices.
                Rates from 2 to 768 kHz are resampled to 16 kHz. Models of vectors take arrays [d] or [n, d].
            rate: samples per second of arrays.
            progress: show a bar, or a callback that takes `lowshot.progress.Event`.

        Returns:
            float32 [voices, dim], rows of length 1; [0, dim] without voices.

        Raises:
            RequestError: an item is not a voice or cannot be read; names it.

        Example:
            >>> import lowshot
            >>> import numpy as np
            >>> model = lowshot.load("pretrained:cmpc-compact")
            >>> model.encode_voice("a.wav").shape
            (1, 128)
            >>> hum = np.sin(np.arange(48_000) / 40).astype(np.float32)
            >>> model.encode_voice([hum, hum[:20_000]], rate=48_000).shape
            (2, 128)
            >>> model.encode_voice(["a.wav", (hum, 48_000)]).dtype
            dtype('float32')
        """
        return self._encode(self._items("voice", items, "items", rate), self.settings, progress)

    def encode_face(self, items: Any, *, progress: bool | Report = False) -> Vectors:
        """Encode face images as unit vectors.

        Crop the faces first, because this does not detect faces in a picture.

        Args:
            items: one face or many, in a list or any iterator, which is read on demand. A face is a path, a
                PIL image, or an array or tensor of bytes (uint8): H x W x 3, 3 x H x W, or H x W for grey. An array
                of four axes is many faces. Models of vectors take arrays [d] or [n, d].
            progress: as of `encode_voice`.

        Returns:
            float32 [faces, dim], rows of length 1; [0, dim] without faces.

        Raises:
            RequestError: an item is not an image or cannot be read; names it.

        Example:
            >>> import lowshot
            >>> import numpy as np
            >>> from PIL import Image
            >>> model = lowshot.load("pretrained:cmpc-compact")
            >>> model.encode_face(["a.jpg", Image.open("b.jpg"), np.zeros((80, 64, 3), np.uint8)]).shape
            (3, 128)
        """
        return self._encode(self._items("face", items, "items"), self.settings, progress)

    def similarity(self, voices: npt.ArrayLike | torch.Tensor, faces: npt.ArrayLike | torch.Tensor) -> Vectors:
        """Cosines of all voices with all faces, the scores of `evaluate`.

        Args:
            voices: vectors [n, dim] of `encode_voice`, or one, [dim]; arrays or tensors of any length.
            faces: vectors [m, dim] of `encode_face`, or one.

        Returns:
            float32 [n, m], from -1 to 1; 0 for a zero vector.

        Raises:
            RequestError: the arguments are not vectors of the model's size.

        Example:
            >>> import lowshot
            >>> model = lowshot.load("pretrained:cmpc-compact")
            >>> cosines = model.similarity(model.encode_voice("a.wav"), model.encode_face(["a.jpg", "b.jpg"]))
            >>> cosines.shape, bool(abs(cosines).max() <= 1)
            ((1, 2), True)
        """
        return cosine_matrix(self._vectors("voices", voices), self._vectors("faces", faces))

    def match(
        self,
        probe: Any,
        candidates: Any,
        *,
        modality: Literal["voice", "face"] | None = None,
        rate: int | None = None,
        progress: bool | Report = False,
    ) -> Matches:
        """Rank faces by similarity to a voice, or voices to a face.

        Args:
            probe: a voice or a face, as `encode_voice` and `encode_face` take it.
            candidates: items of the other modality, at least one.
            modality: modality of the probe; detected unless the model takes vectors.
            rate: samples per second of arrays.
            progress: as of `encode_voice`.

        Returns:
            The ranking, with probabilities if the model is calibrated, and warnings about its reliability: read them.

        Raises:
            RequestError: an item cannot be read, or is of the wrong modality.

        Example:
            >>> import lowshot
            >>> found = lowshot.load("pretrained:cmpc-compact").match("a.wav", ["a.jpg", "b.jpg"])
            >>> [each.rank for each in found.ranking]
            [1, 2]
            >>> found.warnings[0]
            'pretrained:cmpc-compact was trained on invented people (synth:bench): it is not made for real ...'
        """
        given = as_list(candidates, self.takes_vectors)
        if not given:
            raise RequestError("`candidates` is empty; name at least one item")
        if modality is None:
            if self.takes_vectors:
                raise RequestError(
                    f"{self.name}: takes vectors, not voice and face files; give the argument `modality` if the probe "
                    "is a vector"
                )
            modality = "voice" if probe_modality(probe, given) == "voice" else "face"
        elif modality not in MODALITIES:
            raise RequestError(f"`modality={modality}`: name voice or face")
        calibration, settings = self.calibration, self.settings
        if isinstance(calibration, RunCalibration):
            settings = calibration.apply(settings)
        short: list[str] = []
        vectors = {}
        for argument, side, items in (
            ("probe", modality, [probe]),
            ("candidates", "face" if modality == "voice" else "voice", given),
        ):
            names = [str(file_of(item) or f"`{argument}[{place}]`") for place, item in enumerate(items)]
            found = self._items(side, items, argument, rate)
            vectors[side] = self._encode(found, settings, progress)
            short += [names[place] for place in found.short]
        cosines = self.similarity(vectors["voice"], vectors["face"]).ravel()
        least = self.towers.voice_config.frames * self.towers.voice_config.hop_ms / 1000
        data, synthetic = self._training_data()
        warnings = [
            data_warning(self.name, data, bool(synthetic)),
            *(f"{name}: is shorter than the {least:.1f} s that the model is made for" for name in short),
            calibration_warning(self.name, calibration),
        ]
        return Matches(self.name, file_of(probe), modality, rank(cosines, given, calibration), tuple(warnings))

    @property
    def takes_vectors(self) -> bool:
        """Whether the towers take vectors instead of voice and face files."""
        return self.towers.model_config.tower == "mlp"

    @property
    def settings(self) -> EvaluateConfig:
        """Number of voice crops, and whether faces are mirrored too."""
        return self.config.evaluate if self.config else USUAL

    @property
    def scratch(self) -> bool:
        """Whether the weights are random."""
        return self.metadata["method"] == "scratch" and self.metadata["adaptation"] == "none"

    @property
    def trained(self) -> Path | None:
        """The list of training videos, if it lies beside the weights."""
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

    @property
    def calibration(self) -> FittedMap | None:
        """The map from cosines to probabilities; None without one.

        Bundled models and calibrated runs have one.

        Raises:
            RequestError: the file of the run is damaged, or belongs to other weights.
        """
        if self._entry is not None:
            return self._entry.calibration
        return read_calibration(self.path, lambda: self.sha) if self.path else None

    def open_reader(self, dataset: Dataset, cache_bytes: int = CACHE_BYTES) -> Reader:
        """Open a reader of a dataset for this model.

        Args:
            dataset: the dataset.
            cache_bytes: size of the cache of decoded media, in bytes.

        Raises:
            RequestError: the model takes other inputs, or the dataset holds embeddings of this model.
        """
        towers = self.towers
        if dataset.has_features and all(
            self.metadata.get(key) and dataset.feature_facts.get(key) == self.metadata[key] for key in _SAME_MODEL
        ):
            raise RequestError(
                f"{dataset.root}: holds the embeddings that {self.name} made; score them with "
                f"`lowshot evaluate` by `embeddings={dataset.root}`, or name the data they were made of"
            )
        return open_reader(
            dataset, towers.model_config, towers.voice_config, towers.face_config, towers.widths, cache_bytes
        )

    @cached_property
    def _entry(self) -> Entry | None:
        return find_entry(self.name) if self.name.startswith(PREFIX) else None

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self.towers.voice_config, self.towers.face_config)

    def _training_data(self) -> tuple[str | None, bool | None]:
        """Training data, and whether the people are invented; None if unknown."""
        if self._entry is not None:
            return self._entry.data.name, self._entry.data.synthetic
        if self.config is None:
            return None, None
        data = self.config.data
        return data, data.startswith("synth:") or all((Path(data) / name).is_file() for name in WORLD_FILES)

    def _items(self, modality: str, items: Any, argument: str, rate: int | None = None) -> Items:
        widths = self.towers.widths
        if self.takes_vectors:
            decoder = ItemDecoder(modality, None, widths[modality] if widths else None)
        else:
            decoder = ItemDecoder(modality, self._decoder, rate=rate)
        return Items(decoder, items, argument)

    def _encode(self, items: Items, settings: EvaluateConfig, progress: bool | Report) -> Vectors:
        terminal = Terminal() if progress is True else None
        report = terminal or (quiet if isinstance(progress, bool) else progress)
        text, unit, done = f"encode {items.decoder.modality}s", items.decoder.modality, 0
        found = [np.empty((0, self.dim), np.float32)]
        views = ((len(block), item_views(items.decoder, block, settings)) for block in items.blocks(BATCH))
        try:
            report(Event("steps", text, 0, items.total, unit))
            for vectors in embed_views(self.towers, items.decoder.modality, views):
                found.append(vectors)
                done += len(vectors)
                report(Event("steps", text, done, items.total, unit))
            # The length of an iterator is known only now.
            if items.total is None:
                report(Event("steps", text, done, done, unit))
        finally:
            if terminal is not None:
                terminal.close()
        return np.concatenate(found)

    def _vectors(self, argument: str, vectors: npt.ArrayLike | torch.Tensor) -> npt.NDArray[Any]:
        """Vectors as an array [n, dim]."""
        array = vectors.detach().cpu().float().numpy() if isinstance(vectors, torch.Tensor) else np.asarray(vectors)
        array = array[None] if array.ndim == 1 else array
        if array.ndim != 2 or array.shape[1] != self.dim or array.dtype.kind not in "fiu":
            raise RequestError(
                f"`{argument}`: {array.dtype} of the shape {list(array.shape)}; give vectors [n, {self.dim}], as "
                "encode_voice and encode_face return them"
            )
        return array


def load_model(
    source: str | Path | None = None,
    device: str | torch.device | None = None,
    *,
    kinds: tuple[str, ...] = ("pretrain", "finetune", "probe"),
) -> LoadedModel:
    """Load a model.

    Args:
        source: `pretrained:NAME`, a run directory, a weights file, or None for the newest finished run of `kinds`.
        device: where to compute, as in `cpu` or `cuda:1`; by default the first GPU, or the CPU.
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
    """Build a model with random weights, the baseline without pretraining.

    Args:
        config, statistics: as of `TwoTower.from_config`.
    """
    metadata = {"method": "scratch", "adaptation": "none", "fraction": "0", "train_seed": str(config.seed)}
    return LoadedModel(TwoTower.from_config(config, statistics).eval(), "scratch", metadata, config)
