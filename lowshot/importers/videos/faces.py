"""Faces in a picture: where they are, how sharp, and cut out."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

# Side of the cut-out square, in sides of the detector's box: the box ends at brows and chin.
MARGIN = 1.4
# Longest side of a stored cut-out; larger ones are made smaller.
STORED_SIDE = 256
# Side at which sharpness is judged, whatever the face's own.
_JUDGED_SIDE = 64
# Side of the least face that the cascade is shown: it looks through windows of 20 pixels.
_SHOWN_SIDE = 24
_CASCADE = "haarcascade_frontalface_alt2.xml"


class Box(NamedTuple):
    """A square around a face, in pixels."""

    left: int
    top: int
    side: int


@dataclass(frozen=True)
class Face:
    """A face found in a picture.

    Attributes:
        box: where.
        sharpness: as `sharpness` gives it.
        crop: the cut-out, uint8 [side, side, 3].
    """

    box: Box
    sharpness: float
    crop: np.ndarray


class FaceDetector(Protocol):
    """What finds faces.

    Attributes:
        name: what tells its findings from another detector's.
    """

    name: str

    def __call__(self, grey: np.ndarray, smallest: int) -> list[Box]:
        """The faces in a picture, uint8 [height, width], whose side is at least `smallest` pixels."""
        ...


class FrontalFaces:
    """Faces seen from the front, by OpenCV's cascade, whose weights come with the package.

    Source:
        Viola and Jones, Rapid object detection using a boosted cascade of simple features, CVPR 2001; the cascade by
        Lienhart, Kuranov and Pisarevsky, DAGM 2003.
    """

    def __init__(self) -> None:
        import cv2

        self.name = f"opencv {_CASCADE}"
        self._cv2 = cv2
        self._cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / _CASCADE))

    def __call__(self, grey: np.ndarray, smallest: int) -> list[Box]:
        scale = min(1.0, _SHOWN_SIDE / smallest)
        if scale < 1:
            grey = self._cv2.resize(grey, None, fx=scale, fy=scale, interpolation=self._cv2.INTER_AREA)
        least = round(smallest * scale)
        found = self._cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(least, least))
        return [Box(round(x / scale), round(y / scale), round(w / scale)) for x, y, w, _ in found]


def faces_in(picture: np.ndarray, boxes: list[Box], most: int) -> list[Face]:
    """Cut faces out of a picture.

    Args:
        picture: uint8 [height, width, 3].
        boxes: where faces are.
        most: how many to keep, the largest: a crowd's faces are none that anybody asks for.
    """
    kept = sorted(boxes, key=lambda box: -box.side)[:most]
    return [Face(box, sharpness(_square(picture, box, 1.0)), _stored(_square(picture, box, MARGIN))) for box in kept]


def sharpness(face: np.ndarray) -> float:
    """How much fine detail a face has, whatever its size and contrast.

    Args:
        face: uint8 [height, width, 3].

    Returns:
        Variance of the Laplacian over the variance of the grey values, at 64 x 64 pixels; 0 for an even area.
    """
    small = Image.fromarray(face).convert("L").resize((_JUDGED_SIDE, _JUDGED_SIDE), Image.Resampling.BILINEAR)
    grey = np.asarray(small, dtype=np.float64)
    centre = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * centre
    contrast = grey.var()
    return float(laplacian.var() / contrast) if contrast else 0.0


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    across = min(one.left + one.side, other.left + other.side) - max(one.left, other.left)
    down = min(one.top + one.side, other.top + other.side) - max(one.top, other.top)
    if across <= 0 or down <= 0:
        return 0.0
    return across * down / (one.side**2 + other.side**2 - across * down)


def _square(picture: np.ndarray, box: Box, margin: float) -> np.ndarray:
    """The square about a box, moved and shrunk as far as it takes to lie in the picture."""
    height, width = picture.shape[:2]
    side = max(1, min(round(box.side * margin), height, width))
    left = min(max(0, round(box.left + (box.side - side) / 2)), width - side)
    top = min(max(0, round(box.top + (box.side - side) / 2)), height - side)
    return picture[top : top + side, left : left + side]


def _stored(square: np.ndarray) -> np.ndarray:
    if len(square) <= STORED_SIDE:
        # A copy: a view would keep the whole picture.
        return square.copy()
    return np.asarray(Image.fromarray(square).resize((STORED_SIDE, STORED_SIDE), Image.Resampling.LANCZOS))
