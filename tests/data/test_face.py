"""Faces: any image becomes an upright RGB square."""

import numpy as np
import pytest
from PIL import Image

from lowshot.data.face import read_face, stored_size
from lowshot.errors import RequestError


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "P", "1"])
def test_any_mode_becomes_rgb(tmp_path, mode):
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.new("RGB", (50, 70), (200, 10, 10)).convert(mode).save(tmp_path / f"a.{suffix}")
    face = read_face(tmp_path / f"a.{suffix}", 32)
    assert face.shape == (3, stored_size(32), stored_size(32))
    assert face.dtype == np.uint8


def test_channels_come_first_and_rows_run_down(tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32, :, 0] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    face = read_face(tmp_path / "a.png", 32)
    assert face[0, 2].mean() > 250
    assert face[0, -2].mean() < 5
    assert face[1:].max() == 0


def test_a_rotated_photograph_is_turned_upright(tmp_path):
    image = Image.new("RGB", (64, 64))
    image.paste((255, 255, 255), (0, 0, 32, 64))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    face = read_face(tmp_path / "a.png", 32)
    assert face[0, 2].mean() > 250
    assert face[0, -2].mean() < 5


@pytest.mark.parametrize("content", [b"", b"text in a picture's clothes", b"\xff\xd8\xff\xe0" + bytes(20)])
def test_an_unreadable_file_is_named(tmp_path, content):
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(RequestError, match=r"bad\.jpg: cannot be read as an image"):
        read_face(tmp_path / "bad.jpg", 32)
    with pytest.raises(RequestError, match=r"none\.jpg: cannot be read"):
        read_face(tmp_path / "none.jpg", 32)
