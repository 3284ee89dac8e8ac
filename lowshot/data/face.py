"""A face image as a square of bytes."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lowshot.errors import RequestError

# Pixels beyond the tower's square that are kept, so that augmentation can shift without black borders.
MARGIN = 1.125


def stored_size(size: int) -> int:
    """Side of the square kept for a tower that sees `size` pixels."""
    return round(size * MARGIN)


def read_face(path: Path, size: int) -> np.ndarray:
    """Read an image as a centred square, margin included.

    Args:
        path: an image file; grey, palette, CMYK and EXIF-rotated images are turned to upright RGB.
        size: side of the square that the tower sees, pixels.

    Returns:
        uint8 [3, stored_size(size), stored_size(size)].

    Raises:
        RequestError: the file is missing or is no image that can be decoded.
    """
    side = stored_size(size)
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
            fitted = ImageOps.fit(upright, (side, side), Image.Resampling.BILINEAR)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RequestError(f"{path}: cannot be read as an image ({error})") from error
    return np.ascontiguousarray(np.asarray(fitted).transpose(2, 0, 1))
