"""Voices, faces and vectors that a person hands over one by one, on disk or in memory, as inputs of towers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from numbers import Real
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lowshot.data.face import square_face
from lowshot.data.media_inputs import MediaInputs
from lowshot.data.readers.base import Views
from lowshot.data.readers.media import Decoder
from lowshot.data.sound import Samples
from lowshot.data.voice import read_middle
from lowshot.errors import RequestError
from lowshot.settings import EvaluateConfig

# Items of an iterator that are held before they are decoded: a long recording takes 100 MB as samples, 1 MB decoded.
_HELD = 16
_THREADS = 4
# More are no channels of one recording, but recordings.
_MOST_CHANNELS = 32
_COLOURS = (1, 3, 4)
# Full scale of samples that are whole numbers, as of files that hold them.
_FULL_SCALE = {"int16": 2.0**15, "int32": 2.0**31}
_ACCEPTED = {
    "voice": "give a path, a pair (samples, rate), or an array of samples together with the argument `rate`",
    "face": "give a path, a PIL image, or an array of H x W x 3 bytes (uint8)",
}

Log = tuple[np.ndarray, float]
"""A spectrogram [mel_bands, frames], and what it is padded with."""


class ItemDecoder:
    """Turns items into what a tower takes.

    Args:
        modality: `voice` or `face`.
        media: decodes files and arrays; None if the towers take vectors.
        width: columns of the vectors, if they take those.
        rate: samples per second of voices that do not bring their own.
    """

    def __init__(self, modality: str, media: Decoder | None, width: int | None = None, rate: int | None = None) -> None:
        self.modality = modality
        self.media = media
        self.width = width
        self.rate = None if rate is None else _whole_rate("`rate`", rate)

    def __call__(self, name: str, item: Any) -> Any:
        """Decode one item; `name` is what errors call it.

        Returns:
            `Log`; an image, uint8 [3, side, side]; or a vector, float32 [width].

        Raises:
            RequestError: it is no such item, or cannot be read.
        """
        if self.media is None:
            return self._vector(name, item)
        if isinstance(item, str | PathLike):
            path = Path(fspath(item))
            return self.media.voice(path) if self.modality == "voice" else self.media.face(path)
        return self._voice(name, item, self.media) if self.modality == "voice" else self._face(name, item, self.media)

    def is_short(self, decoded: Any) -> bool:
        """Whether a decoded item is a voice of less than a crop."""
        return (
            self.media is not None and self.modality == "voice" and decoded[0].shape[1] < self.media.voice_config.frames
        )

    def _voice(self, name: str, item: Any, media: Decoder) -> Log:
        samples, rate = item if is_pair(item) else (item, self.rate)
        values = _as_array(samples)
        if values is None or values.ndim not in (1, 2):
            raise self._refusal(name, item)
        if rate is None:
            raise RequestError(f"{name}: samples without their rate; give the argument `rate`, or (samples, rate)")
        sound = Samples(_samples(name, values), _whole_rate(name, rate))
        return media.log_mel(read_middle(name, sound, media.voice_config))

    def _face(self, name: str, item: object, media: Decoder) -> np.ndarray:
        image = item if isinstance(item, Image.Image) else _image(name, item)
        if image is None:
            raise self._refusal(name, item)
        return square_face(name, image, media.face_config)

    def _vector(self, name: str, item: object) -> np.ndarray:
        values = np.asarray(item) if _is_numbers(item) else _as_array(item)
        if values is None or values.ndim != 1 or values.dtype.kind != "f":
            raise self._refusal(name, item)
        if len(values) != self.width:
            raise RequestError(
                f"{name}: has {len(values)} columns; the model takes {self.modality} vectors of {self.width}"
            )
        if not np.isfinite(values).all():
            raise RequestError(f"{name}: holds values that are not finite")
        if not values.any():
            raise RequestError(f"{name}: is all zeros, which encoders leave for what they could not read")
        return values.astype(np.float32, copy=False)

    def _refusal(self, name: str, item: object) -> RequestError:
        if self.media is None:
            accepted = f"give an array of {self.width} floating-point numbers, or [n, {self.width}] of them"
            return RequestError(f"{name}: is {_described(item)}; the model takes vectors: {accepted}")
        return RequestError(f"{name}: is {_described(item)}, which is no {self.modality}; {_ACCEPTED[self.modality]}")


class Items:
    """Some items, decoded as they are needed.

    Args:
        decoder: of one item.
        items: one item or many, as a list, an array or an iterator.
        argument: name of the argument that they came as; errors name it.

    Raises:
        RequestError: these are no items.
    """

    def __init__(self, decoder: ItemDecoder, items: object, argument: str = "items") -> None:
        self.decoder = decoder
        found = _many(items, decoder)
        self.single = found is None
        self._items: Iterable[object] = [items] if found is None else found
        self._name = f"`{argument}`" if found is None else f"`{argument}[{{}}]`"
        self.total = len(self._items) if isinstance(self._items, Sized) else None
        """How many there are; None for an iterator."""
        self.short: list[int] = []
        """Places of the voices, among those decoded so far, that are shorter than a crop."""

    def blocks(self, size: int) -> Iterator[list[Any]]:
        """Decoded items, at most `size` at a time, each decoded once and in order."""
        numbered = enumerate(self._items)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="lowshot-decode") as pool:
            done = 0
            while block := list(self._decoded(islice(numbered, size), pool)):
                self.short += [done + place for place, item in enumerate(block) if self.decoder.is_short(item)]
                done += len(block)
                yield block

    def _decoded(self, numbered: Iterator[tuple[int, object]], pool: ThreadPoolExecutor) -> Iterator[Any]:
        def decode(pair: tuple[int, object]) -> Any:
            return self.decoder(self._name.format(pair[0]), pair[1])

        # A vector costs less than handing it to a thread.
        mapped: Callable[..., Iterable[Any]] = map if self.decoder.media is None else pool.map
        while held := list(islice(numbered, _HELD)):
            yield from mapped(decode, held) if len(held) > 1 else map(decode, held)


class DecodedItems(MediaInputs):
    """Decoded items of one modality, as `MediaInputs`.

    Args:
        modality: `voice` or `face`.
        decoded: of `Items.blocks`.
    """

    def __init__(self, modality: str, decoded: Sequence[Any]) -> None:
        self._decoded = {modality: decoded}

    def voices(self, indices: Iterable[int]) -> list[Log]:
        """Spectrograms of voices."""
        return [self._decoded["voice"][index] for index in indices]

    def faces(self, indices: Iterable[int]) -> list[np.ndarray]:
        """Images of faces."""
        return [self._decoded["face"][index] for index in indices]


def item_views(decoder: ItemDecoder, decoded: Sequence[Any], settings: EvaluateConfig) -> Views:
    """What a tower is shown of decoded items: the same as of files and vectors of a dataset.

    Args:
        decoder: that decoded them.
        decoded: at least one, of `Items.blocks`.
        settings: how many crops of a voice, and whether faces are mirrored too.
    """
    if decoder.media is None:
        vectors = torch.from_numpy(np.stack(decoded))
        return Views(len(vectors), lambda part: vectors[part])
    media, rows = decoder.media, np.arange(len(decoded))
    return DecodedItems(decoder.modality, decoded).views(
        decoder.modality, rows, media.voice_config, media.face_config, settings
    )


def as_list(items: object, vectors: bool) -> list[Any]:
    """Items of either modality as a list; a single one is a list of one.

    Args:
        items: one item or many.
        vectors: whether arrays are vectors.
    """
    if isinstance(items, str | PathLike | Image.Image) or is_pair(items) or (vectors and _is_numbers(items)):
        return [items]
    values = _as_array(items)
    if values is not None:
        many = values.ndim == 2 if vectors else values.ndim == 4 or (values.ndim == 2 and values.dtype != np.uint8)
        return list(items) if many else [items]  # type: ignore[call-overload]
    return list(items) if isinstance(items, Iterable) else [items]


def is_pair(item: object) -> bool:
    """Whether an item is (samples, rate)."""
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], Real) and _as_array(item[0]) is not None


def modality_of(name: str, item: object) -> str:
    """Whether an item is a voice or a face; of a file the content says so, not the name.

    Args:
        name: what errors call it.
        item: of any kind but vectors.

    Raises:
        RequestError: it is neither, or there is no such file.
    """
    if isinstance(item, str | PathLike):
        return "face" if _is_image(Path(fspath(item))) else "voice"
    if isinstance(item, Image.Image):
        return "face"
    if is_pair(item):
        return "voice"
    values = _as_array(item)
    if values is None or not 1 <= values.ndim <= 3:
        raise RequestError(f"{name}: is {_described(item)}, which is neither a voice nor a face")
    return "voice" if values.ndim == 1 or (values.ndim == 2 and values.dtype != np.uint8) else "face"


def _is_image(path: Path) -> bool:
    if path.is_dir():
        raise RequestError(f"{path}: is a folder; name the files in it")
    if not path.is_file():
        raise RequestError(f"{path}: no such file")
    try:
        with Image.open(path):
            return True
    # Pillow raises whatever a damaged header makes it run into.
    except Exception:
        return False


def _many(items: object, decoder: ItemDecoder) -> Iterable[object] | None:
    """The items of a collection; None for a single item."""
    if isinstance(items, str | PathLike | Image.Image) or (decoder.modality == "voice" and is_pair(items)):
        return None
    values = _as_array(items)
    if values is not None:
        single = 1 if decoder.media is None or decoder.modality == "voice" else 3
        # A grey image has two axes, and is one item.
        # Rows of a tensor stay tensors: their colours are first.
        return items if values.ndim == single + 1 else None  # type: ignore[return-value]
    if decoder.media is None and _is_numbers(items):
        return None
    if isinstance(items, Iterable) and not isinstance(items, bytes | bytearray | Mapping):
        return items
    return None


def _as_array(item: object) -> np.ndarray | None:
    """An array or a tensor as an array; None for anything else."""
    if isinstance(item, np.ndarray):
        return item
    if isinstance(item, torch.Tensor):
        tensor = item.detach().cpu()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return None


def _is_numbers(item: object) -> bool:
    return isinstance(item, list | tuple) and bool(item) and isinstance(item[0], Real)


def _whole_rate(name: str, rate: object) -> int:
    value = 0.0 if isinstance(rate, bool) or not isinstance(rate, Real) else float(rate)
    if value < 1 or not value.is_integer():
        raise RequestError(f"{name}: a sampling rate of {rate!r}; give a whole number of hertz, as 16000")
    return int(value)


def _samples(name: str, values: np.ndarray) -> np.ndarray:
    """Samples of any usual type, float32 [n] or [n, channels], in [-1, 1]."""
    if values.ndim == 2:
        if min(values.shape) > _MOST_CHANNELS:
            raise RequestError(
                f"{name}: is an array of {' x '.join(map(str, values.shape))}; its channels cannot be told from its "
                "samples. Give one recording at a time"
            )
        # Some libraries put channels first, others last; there are fewer of them than of samples.
        values = values.T if values.shape[0] < values.shape[1] else values
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(np.float32, copy=False)
    if str(values.dtype) == "uint8":
        return (values.astype(np.float32) - 128) / 128
    if full_scale := _FULL_SCALE.get(str(values.dtype)):
        return (values / full_scale).astype(np.float32)
    raise RequestError(f"{name}: samples of type {values.dtype}; give floats in [-1, 1], int16 or int32")


def _image(name: str, item: object) -> Image.Image | None:
    """An array of bytes as an image; None if it is no array."""
    values = _as_array(item)
    if values is None or values.ndim not in (2, 3):
        return None
    if values.dtype != np.uint8:
        raise RequestError(f"{name}: an image of type {values.dtype}; give bytes (uint8) from 0 to 255")
    if values.ndim == 3:
        first, last = values.shape[0] in _COLOURS, values.shape[2] in _COLOURS
        # Tensors have colours first. An array of three rows is a very flat image; a tensor of three columns a thin one.
        if first and (not last or isinstance(item, torch.Tensor)):
            values = values.transpose(1, 2, 0)
        elif not last:
            raise RequestError(f"{name}: an image of {' x '.join(map(str, values.shape))}; give H x W x 3 bytes")
        values = values[..., 0] if values.shape[2] == 1 else values
    if not values.size:
        raise RequestError(f"{name}: an image without pixels")
    return Image.fromarray(np.ascontiguousarray(values))


def _described(item: object) -> str:
    """What an item is, in a few words."""
    values = _as_array(item)
    if values is not None:
        kind = "a tensor" if isinstance(item, torch.Tensor) else "an array"
        return f"{kind} of {values.dtype} of the shape {list(values.shape)}"
    if isinstance(item, str | PathLike):
        return "a path"
    return "None" if item is None else f"of type {type(item).__name__}"
