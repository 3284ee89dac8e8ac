"""Read a face image as a square of bytes."""

import io
import logging
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lowshot.errors import RequestError, reason
from lowshot.settings import FaceConfig

# Side of the stored square in sides of the tower's: augmentation can then shift without black borders.
MARGIN = 1.125
# Formats that are opened, by content. Pillow knows more, and starts another program for some.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
# Larger images are refused: a small file may unpack to more than the memory. Pillow would warn from here on.
MOST_PIXELS = 89_478_485
_GREY_16 = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
# The filter that `_hush` adds.
_hushed: list[object] = []


def stored_size(config: FaceConfig) -> int:
    """Return the side of the stored square: with a margin, or as the tower sees it if that is the whole image."""
    return config.size if config.front_end == "released" else round(config.size * MARGIN)


def read_face(path: Path, config: FaceConfig, content: bytes | None = None) -> np.ndarray:
    """Read an image as a square.

    Args:
        path: an image file. Grey (8 or 16 bits), palette, CMYK and EXIF-rotated images become upright RGB, transparent
            pixels black. The first of several frames is read.
        config: side of the square that the tower sees, and the front end. `centred`: the image's largest centred
            square, margin included. `released`: the whole image, squeezed to the square that the tower sees.
        content: the file's bytes, if they are at hand; errors then name `path`.

    Returns:
        uint8 [3, stored_size(config), stored_size(config)].

    Raises:
        RequestError: the file is missing, empty, truncated, in none of `FORMATS`, or larger than `MOST_PIXELS`.

    Source:
        `released`: the released code (commit 760b65f) with Pillow 9.0.1, whose default is bicubic.

    Deviation:
        `released`: the released code does not turn EXIF-rotated images upright.
    """
    _hush()
    try:
        if content is None:
            if not path.is_file():
                raise ValueError("it is a folder" if path.is_dir() else "no such file")
            if not path.stat().st_size:
                raise ValueError("the file is empty")
        with Image.open(path if content is None else io.BytesIO(content), formats=_formats()) as image:
            return _square(image, config)
    except UnidentifiedImageError as error:
        raise RequestError(f"{path}: cannot be read as an image (unknown format)") from error
    # A decoder may raise anything at damaged bytes.
    except Exception as error:
        raise RequestError(f"{path}: cannot be read as an image ({reason(error)})") from error


def square_face(name: str, image: Image.Image, config: FaceConfig) -> np.ndarray:
    """Turn an open image into a square, as `read_face` does with a file; errors name `name`."""
    _hush()
    try:
        return _square(image, config)
    except Exception as error:
        raise RequestError(f"{name}: cannot be read as an image ({reason(error)})") from error


def _square(image: Image.Image, config: FaceConfig) -> np.ndarray:
    if not image.width * image.height:
        raise ValueError("it has no pixels")
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels are too many; scale it down")
    side = stored_size(config)
    upright = _rgb(ImageOps.exif_transpose(image))
    if config.front_end == "released":
        fitted = upright.resize((side, side), Image.Resampling.BICUBIC)
    else:
        fitted = ImageOps.fit(upright, (side, side), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(fitted).transpose(2, 0, 1))


def _rgb(image: Image.Image) -> Image.Image:
    """Turn an image of any mode into RGB."""
    if image.mode in _GREY_16:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("its pixels have 32 bits; save it with 8 or 16")
        # Pillow would clip values above 255.
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("its pixels are fractions of unknown range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _hush() -> None:
    """Silence Pillow's warnings and logs about files: they would flood a terminal.

    `warnings.catch_warnings` does not work in several threads.
    """
    if not _hushed or _hushed[0] not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")
        _hushed[:] = warnings.filters[:1]
        logging.getLogger("PIL").addHandler(logging.NullHandler())


@cache
def _formats() -> tuple[str, ...]:
    """Return the `FORMATS` that this Pillow has."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)
