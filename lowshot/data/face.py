"""A face image as a square of bytes."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lowshot.errors import RequestError
from lowshot.settings import FaceConfig

# Pixels beyond the tower's square that are kept, so that augmentation can shift without black borders.
MARGIN = 1.125


def stored_size(config: FaceConfig) -> int:
    """Side of the square kept for a tower: with a margin, or as the tower sees it where that is the whole image."""
    return config.size if config.front_end == "released" else round(config.size * MARGIN)


def read_face(path: Path, config: FaceConfig, content: bytes | None = None) -> np.ndarray:
    """Read an image as a square.

    Args:
        path: an image file; grey, palette, CMYK and EXIF-rotated images are turned to upright RGB.
        config: side of the square that the tower sees, and the front end. `centred`: the image's largest centred
            square, margin included. `released`: all of the image, squeezed to the square that the tower sees.
        content: the file's bytes where they are at hand; then the path is a name.

    Returns:
        uint8 [3, stored_size(config), stored_size(config)].

    Raises:
        RequestError: the file is missing or is no image that can be decoded.

    Source:
        `released`: the released code (commit 760b65f), which takes Pillow 9.0.1, whose default is bicubic.

    Deviation:
        `released`: the released code does not turn EXIF-rotated images upright.
    """
    side = stored_size(config)
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
            if config.front_end == "released":
                fitted = upright.resize((side, side), Image.Resampling.BICUBIC)
            else:
                fitted = ImageOps.fit(upright, (side, side), Image.Resampling.BILINEAR)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RequestError(f"{path}: cannot be read as an image ({error})") from error
    return np.ascontiguousarray(np.asarray(fitted).transpose(2, 0, 1))
