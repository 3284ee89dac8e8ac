"""Damaged files of every kind: the readers answer with a file's content or with one line, and print nothing."""

import io
import warnings

import numpy as np
import pytest
import soundfile
from PIL import Image

from lowshot.data.face import read_face
from lowshot.data.voice import SAMPLE_RATE, LogMel, read_clip
from lowshot.errors import RequestError
from lowshot.settings import FaceConfig, VoiceConfig

from .films import KINDS, write_film

MUTATIONS = 80
WHOLE, MIDDLE, SQUARE = VoiceConfig(), VoiceConfig(max_seconds=0.2, frames=16), FaceConfig(size=32)


def damaged(content, generator):
    """The bytes of a file after one accident: cut off, a gap, a foreign piece, a wrong header, or flipped bits."""
    out = bytearray(content)
    accident = generator.integers(5)
    place = int(generator.integers(len(out)))
    if accident == 0:
        del out[place:]
    elif accident == 1:
        del out[place : place + int(generator.integers(1, 200))]
    elif accident == 2:
        out[place:place] = generator.bytes(int(generator.integers(1, 64)))
    elif accident == 3:
        for position in generator.integers(min(len(out), 128), size=4):
            out[position] = generator.integers(256)
    else:
        for position in generator.integers(len(out), size=int(generator.integers(1, 9))):
            out[position] ^= 1 << generator.integers(8)
    return bytes(out)


def whole_file(kind, folder):
    """The bytes of a small file that is in order."""
    path = folder / f"whole.{kind}"
    if kind in KINDS:
        pytest.importorskip("av")
        write_film(path, np.stack([0.3 * np.sin(np.arange(KINDS[kind][2]) / 8, dtype=np.float32)] * 2))
        return path.read_bytes()
    if kind in {"wav", "flac", "ogg"}:
        soundfile.write(path, 0.3 * np.sin(np.arange(8000) / 8), SAMPLE_RATE)
        return path.read_bytes()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)).resize((96, 96))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a photograph"
    memory = io.BytesIO()
    extra = {"exif": exif} if kind in {"jpeg", "png", "webp"} else {}
    image.save(memory, format=kind, **extra)
    return memory.getvalue()


def look(path):
    """Read a file in every way that the package does, and hold what comes against what it must be."""
    if path.suffix[1:] in {*KINDS, "wav", "flac", "ogg"}:
        for config in (WHOLE, MIDDLE):
            waveform = read_clip(path, config)
            assert waveform.dtype == np.float32
            assert waveform.ndim == 1
            assert len(waveform)
            assert np.isfinite(waveform).all()
        log_mel, silence = LogMel(MIDDLE)(waveform)
        assert np.isfinite(log_mel).all()
        assert np.isfinite(silence)
    else:
        face = read_face(path, SQUARE)
        assert face.shape == (3, 36, 36)
        assert face.dtype == np.uint8


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "m4a", "webm", "jpeg", "png", "webp", "gif", "tiff"])
def test_a_damaged_file_is_read_or_named(tmp_path, kind, capfd):
    generator = np.random.default_rng(list(kind.encode()))
    content = whole_file(kind, tmp_path)
    path = tmp_path / f"damaged.{kind}"
    path.write_bytes(content)
    look(path)
    named = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(MUTATIONS):
            path.write_bytes(damaged(content, generator))
            try:
                look(path)
            except RequestError as error:
                assert str(error).startswith(f"{path}: ")
                assert "\n" not in str(error)
                named += 1
    # Accidents that nothing noticed would test nothing.
    assert named > MUTATIONS / 20
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
