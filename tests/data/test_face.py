"""Faces: any image becomes an upright RGB square, of its middle or of all of it."""

import numpy as np
import pytest
import torch
from PIL import Image

from lowshot.data.augment import FACE_UNIFORMS, VOICE_UNIFORMS, augment_faces, centre_crop
from lowshot.data.face import read_face, stored_size
from lowshot.errors import RequestError
from lowshot.settings import AugmentConfig, FaceConfig

from .films import png_16

CENTRED, RELEASED = FaceConfig(size=32), FaceConfig(size=32, front_end="released")


@pytest.mark.parametrize("config", [CENTRED, RELEASED])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "P", "1"])
def test_any_mode_becomes_rgb(tmp_path, mode, config):
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.new("RGB", (50, 70), (200, 10, 10)).convert(mode).save(tmp_path / f"a.{suffix}")
    face = read_face(tmp_path / f"a.{suffix}", config)
    assert face.shape == (3, stored_size(config), stored_size(config))
    assert face.shape[1] == (32 if config is RELEASED else 36)
    assert face.dtype == np.uint8


def test_channels_come_first_and_rows_run_down(tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32, :, 0] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    face = read_face(tmp_path / "a.png", CENTRED)
    assert face[0, 2].mean() > 250
    assert face[0, -2].mean() < 5
    assert face[1:].max() == 0


def test_a_rotated_photograph_is_turned_upright(tmp_path):
    image = Image.new("RGB", (64, 64))
    image.paste((255, 255, 255), (0, 0, 32, 64))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    face = read_face(tmp_path / "a.png", CENTRED)
    assert face[0, 2].mean() > 250
    assert face[0, -2].mean() < 5


@pytest.mark.parametrize("content", [b"", b"text in a picture's clothes", b"\xff\xd8\xff\xe0" + bytes(20)])
def test_an_unreadable_file_is_named(tmp_path, content):
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(RequestError, match=r"bad\.jpg: cannot be read as an image"):
        read_face(tmp_path / "bad.jpg", CENTRED)
    with pytest.raises(RequestError, match=r"none\.jpg: cannot be read"):
        read_face(tmp_path / "none.jpg", CENTRED)


@pytest.mark.parametrize("colours", [1, 2, 3, 4])
def test_16_bits_are_scaled_and_not_clipped(tmp_path, colours):
    values = np.full((40, 40, colours), 0x8000, np.uint16)
    values[:20] = 0x0180
    (tmp_path / "a.png").write_bytes(png_16(values))
    face = read_face(tmp_path / "a.png", CENTRED).astype(int)
    # Half of white is half of white; where the picture is half transparent too, half of that.
    opaque = colours in {1, 3}
    assert abs(face[:, -2] - (128 if opaque else 64)).max() <= 1
    assert face[:, 2].max() <= 2


def test_16_bit_grey_of_another_format_too_and_what_has_no_range_is_named(tmp_path):
    Image.fromarray(np.full((40, 40), 40_000, np.uint16)).save(tmp_path / "a.tif")
    assert (read_face(tmp_path / "a.tif", CENTRED) == 156).all()
    Image.fromarray(np.full((40, 40), 70_000, np.int32)).save(tmp_path / "b.tif")
    Image.fromarray(np.full((40, 40), 0.5, np.float32)).save(tmp_path / "c.tif")
    for name in ("b.tif", "c.tif"):
        with pytest.raises(RequestError, match=rf"{name}: cannot be read as an image .*save it with 8 or 16"):
            read_face(tmp_path / name, CENTRED)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_what_is_transparent_lies_on_black_and_hides_what_is_under_it(tmp_path, suffix):
    pixels = np.full((40, 40, 4), 255, np.uint8)
    pixels[:20, :, 3] = 0
    pixels[20:, :, :3] = (200, 100, 50)
    Image.fromarray(pixels).save(
        tmp_path / f"a.{suffix}", **({"lossless": True, "exact": True} if suffix == "webp" else {})
    )
    face = read_face(tmp_path / f"a.{suffix}", CENTRED)
    assert face[:, 2].max() == 0
    assert (face[:, -2] == np.array([[200], [100], [50]])).all()


def test_a_transparent_entry_of_a_palette_is_black(tmp_path):
    image = Image.new("P", (40, 40), 1)
    image.putpalette([0, 0, 0, 250, 120, 60])
    image.paste(0, (0, 0, 40, 20))
    image.save(tmp_path / "a.png", transparency=bytes([0, 128]))
    face = read_face(tmp_path / "a.png", CENTRED)
    assert face[:, 2].max() == 0
    assert (face[:, -2] == np.array([[125], [60], [30]])).all()


@pytest.mark.parametrize("suffix", ["jpg", "webp", "bmp", "gif", "tif"])
def test_other_formats_whatever_their_name_ends_in(tmp_path, suffix):
    Image.new("RGB", (40, 40), (200, 100, 50)).save(tmp_path / f"a.{suffix}")
    (tmp_path / f"a.{suffix}").rename(tmp_path / "a.png")
    face = read_face(tmp_path / "a.png", CENTRED).astype(int)
    assert abs(face - np.array([200, 100, 50])[:, None, None]).max() < 12


def test_one_pixel_fills_the_square(tmp_path):
    Image.new("RGB", (1, 1), (5, 60, 7)).save(tmp_path / "a.png")
    for config in (CENTRED, RELEASED):
        assert (read_face(tmp_path / "a.png", config) == np.array([5, 60, 7])[:, None, None]).all()


@pytest.mark.parametrize("side", [9_500, 14_000])
def test_a_decompression_bomb_is_named_and_nothing_is_printed(tmp_path, side, recwarn, capfd):
    Image.new("1", (side, side)).save(tmp_path / "a.png")
    recwarn.clear()
    with pytest.raises(RequestError, match=r"a\.png: cannot be read as an image .*pixels"):
        read_face(tmp_path / "a.png", CENTRED)
    assert not recwarn
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif"])
def test_a_truncated_image_is_named(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"a.{suffix}")
    content = (tmp_path / f"a.{suffix}").read_bytes()
    (tmp_path / f"a.{suffix}").write_bytes(content[: len(content) // 2])
    with pytest.raises(RequestError, match=rf"a\.{suffix}: cannot be read as an image"):
        read_face(tmp_path / f"a.{suffix}", CENTRED)


def test_folders_empty_files_and_other_formats_are_named_without_starting_a_program(tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    # Pillow would hand this to Ghostscript.
    (tmp_path / "drawing.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    )
    for name, fault in (("", "it is a folder"), ("empty.jpg", "is empty"), ("drawing.jpg", "unknown format")):
        with pytest.raises(RequestError, match=rf"{name}: cannot be read as an image .*{fault}"):
            read_face(tmp_path / name, CENTRED)


def bicubic(size, length):
    """Weights [size, length] that shrink a line: a cubic with the slope -1/2, stretched over the pixels it replaces."""
    scale = length / size
    distance = np.abs((np.arange(length) + 0.5) - (np.arange(size)[:, None] + 0.5) * scale) / scale
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("height", "width"), [(70, 50), (50, 70), (32, 32), (224, 224)])
def test_the_released_front_end_squeezes_the_whole_image(tmp_path, height, width):
    generator = np.random.default_rng(height)
    coarse = generator.integers(0, 256, (6, 4, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST)
    image.save(tmp_path / "a.png")
    pixels = np.asarray(image).astype(float)
    expected = np.einsum("yh,hwc,xw->cyx", bicubic(32, height), pixels, bicubic(32, width)).clip(0, 255)

    face = read_face(tmp_path / "a.png", RELEASED)
    # Pillow rounds and clips after each of the two directions.
    difference = np.abs(face - expected)
    assert difference.mean() < 1
    assert np.quantile(difference, 0.95) <= 2

    # The tower sees all of it, scaled as (x - 127.5) / 127.5, in evaluation and in training that changes nothing.
    stored = torch.from_numpy(face)[None]
    seen = centre_crop(stored, 32)
    np.testing.assert_allclose(seen[0], (face - 127.5) / 127.5, atol=1e-6)
    off = AugmentConfig(shift=0, scale=0, rotate_degrees=0, brightness=0, contrast=0, flip=False)
    trained = augment_faces(stored, torch.rand(1, VOICE_UNIFORMS + FACE_UNIFORMS), 32, off)
    torch.testing.assert_close(trained, seen, atol=1e-5, rtol=0)


def test_the_released_front_end_keeps_what_the_centred_one_cuts_off(tmp_path):
    pixels = np.zeros((96, 48, 3), np.uint8)
    pixels[:18] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    whole = read_face(tmp_path / "a.png", RELEASED)
    assert whole[:, :4].min() > 250
    assert whole[:, 8:].max() < 5
    assert read_face(tmp_path / "a.png", CENTRED).max() < 5
