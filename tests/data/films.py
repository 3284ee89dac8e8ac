"""Sound files that soundfile does not write, and images that Pillow does not, made on the spot."""

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

# What each is: the container's and the codec's name, and the sampling rate.
KINDS = {
    "m4a": ("ipod", "aac", 44_100),
    "mp4": ("mp4", "aac", 48_000),
    "mov": ("mov", "pcm_s16le", 22_050),
    "webm": ("webm", "libopus", 48_000),
    "mkv": ("matroska", "aac", 44_100),
    "aac": ("adts", "aac", 44_100),
    "avi": ("avi", "pcm_u8", 16_000),
}


def write_film(path: Path, samples: np.ndarray | None, rate: int = 0, pictures: Iterable[np.ndarray] = ()) -> None:
    """Write sound, pictures or both by PyAV, in the way the name's end says.

    Args:
        path: ends in one of `KINDS`.
        samples: float32 [channels, n], or None for a film without sound.
        rate: of the samples; the kind's own where it is 0.
        pictures: uint8 [h, w, 3] each, 25 a second.
    """
    import av

    name, codec, usual = KINDS[path.suffix[1:]]
    with av.open(str(path), "w", format=name) as container:
        shown = list(pictures)
        if shown:
            video = container.add_stream("mpeg4", rate=25)
            video.height, video.width = shown[0].shape[:2]
            video.pix_fmt = "yuv420p"
        if samples is not None:
            layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
            sound = container.add_stream(codec, rate=rate or usual, layout=layout)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
            frame.sample_rate = rate or usual
            frame.pts = 0
            size = sound.codec_context.frame_size or 1024
            fitting = av.AudioResampler(sound.codec_context.format, layout, rate or usual, frame_size=size)
            for part in [*fitting.resample(frame), *fitting.resample(None), None]:
                container.mux(sound.encode(part))
        for picture in [*(av.VideoFrame.from_ndarray(each, format="rgb24") for each in shown), None]:
            if shown:
                container.mux(video.encode(picture))


def png_16(values: np.ndarray) -> bytes:
    """A PNG of 16 bits: values of uint16 [h, w, 1 | 2 | 3 | 4]."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, channels = values.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
