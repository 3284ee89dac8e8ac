"""Find the faces in a picture, judge their sharpness, and cut them out."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from lowshot.errors import RequestError

# Side of the cut-out square in sides of the detector's box, which ends at brows and chin.
MARGIN = 1.4
# Longest side of a stored cut-out, pixels; larger ones are shrunk.
STORED_SIDE = 256
# Side at which sharpness is judged, pixels.
_JUDGED_SIDE = 64
# Side of the smallest face shown to the cascade, pixels; its windows have 20.
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
        box: where it is.
        sharpness: see the function `sharpness`.
        crop: the cut-out, uint8 [side, side, 3].
    """

    box: Box
    sharpness: float
    crop: np.ndarray


class FaceDetector(Protocol):
    """Finds faces.

    Attributes:
        name: identifies the detector in records of imported files.
    """

    name: str

    def __call__(self, grey: np.ndarray, smallest: int) -> list[Box]:
        """Find the faces in a picture, uint8 [height, width], with sides of `smallest` pixels or more."""
        ...


class FrontalFaces:
    """Finds faces seen from the front by OpenCV's cascade, whose weights come with the package.

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


def find_detector() -> FaceDetector:
    """Return the usual detector.

    Raises:
        RequestError: a package for videos is missing.
    """
    try:
        import av  # noqa: F401

        return FrontalFaces()
    except ImportError as error:
        raise RequestError(f"videos need the package '{error.name}': pip install 'lowshot[video]'") from error
    except AttributeError as error:
        raise RequestError("this OpenCV has no face detector: pip install 'opencv-python-headless<5'") from error


def faces_in(picture: np.ndarray, boxes: list[Box], most: int) -> list[Face]:
    """Cut faces out of a picture.

    Args:
        picture: uint8 [height, width, 3].
        boxes: where faces are.
        most: how many to keep at most. The largest ones are kept: small ones are a crowd in the background.
    """
    kept = sorted(boxes, key=lambda box: -box.side)[:most]
    return [Face(box, sharpness(_square(picture, box, 1.0)), _stored(_square(picture, box, MARGIN))) for box in kept]


def sharpness(face: np.ndarray) -> float:
    """Measure the fine detail of a face, regardless of its size and contrast.

    Args:
        face: uint8 [height, width, 3].

    Returns:
        Variance of the Laplacian over variance of the grey values, at 64 x 64 pixels; 0 for a uniform area.
    """
    small = Image.fromarray(face).convert("L").resize((_JUDGED_SIDE, _JUDGED_SIDE), Image.Resampling.BILINEAR)
    grey = np.asarray(small, dtype=np.float64)
    centre = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * centre
    contrast = grey.var()
    return float(laplacian.var() / contrast) if contrast else 0.0


def overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes, 0..1."""
    across = min(one.left + one.side, other.left + other.side) - max(one.left, other.left)
    down = min(one.top + one.side, other.top + other.side) - max(one.top, other.top)
    if across <= 0 or down <= 0:
        return 0.0
    return across * down / (one.side**2 + other.side**2 - across * down)


def _square(picture: np.ndarray, box: Box, margin: float) -> np.ndarray:
    """Cut out the square around a box, moved and shrunk to lie in the picture."""
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
