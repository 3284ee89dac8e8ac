"""Decode the sound of formats that libsndfile does not read, as M4A, MP4 and WebM, by PyAV.

PyAV is the extra `codec`. Importing this module fails without it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import av
import numpy as np

from lowshot.data.sound import PREROLL_S, check_whole, mean_of

# Demuxers in use. Left out are those that fetch other files, as playlists do, and formats that libsndfile reads.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,ac3,eac3,amr,asf,avi,flv,mpeg,mpegts"
# Their header tells the length of each stream.
_MOV = "mov,mp4,m4a,3gp,3g2,mj2"


@contextmanager
def open_film(path: Path) -> Iterator["Film"]:
    """Open the first sound track of a file.

    Args:
        path: the file. Its content decides its format, not its name.

    Raises:
        ValueError: it holds no sound.
        av.FFmpegError: it cannot be read.
    """
    with _container(path) as container:
        yield Film(path, container)


@contextmanager
def _container(path: Path) -> Iterator[av.container.InputContainer]:
    # An open file, not its name: FFmpeg takes some names for addresses. Tags may be in any encoding.
    with (
        path.open("rb") as file,
        av.open(file, "r", container_options={"format_whitelist": FORMATS}, metadata_errors="replace") as container,
    ):
        yield container


class Film:
    """The first sound track of an open container: a `Sound`."""

    def __init__(self, path: Path, container: av.container.InputContainer) -> None:
        if not container.streams.audio:
            raise ValueError("it has no sound")
        self.path = path
        self.container = container
        self.stream = container.streams.audio[0]
        self.frames = container.decode(self.stream)
        head = next(self.frames, None)
        if head is None:
            raise ValueError("it holds no samples")
        self.head = head
        # Some headers say half of it: their encoders hide the upper octave from old decoders.
        self.rate = head.sample_rate

    @property
    def promised(self) -> float | None:
        """Length in seconds by the header; None if that may be wrong."""
        if self.container.format.name == _MOV and self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        return None

    @property
    def seconds(self) -> float:
        return self.promised or _counted(self.path)

    def read(self, first: int = 0, count: int | None = None) -> np.ndarray:
        at, frames = self._from(first)
        blocks = [np.empty(0, np.float32)]
        end = np.inf if count is None else first + count
        for frame in frames:
            if frame.sample_rate != self.rate:
                raise ValueError("its sampling rate changes midway")
            mono = _mono(frame)
            blocks.append(mono[max(0, first - at) :])
            at += len(mono)
            if at >= end:
                break
        found = np.concatenate(blocks)[:count]
        if self.promised is not None:
            check_whole(len(found), min(end, self.promised * self.rate) - first, self.rate)
        return found

    def _from(self, first: int) -> tuple[int, Iterable[av.AudioFrame]]:
        """Return the number of a sample at or before `first`, and the frames from there on."""
        start = first - round(PREROLL_S * self.rate)
        if start <= 0 or self.head.pts is None or not self.stream.time_base:
            return 0, chain([self.head], self.frames)
        self._seek(start)
        frames = self.container.decode(self.stream)
        head = next(frames, None)
        at = None if head is None else self._position(head)
        if head is not None and at is not None and at <= first:
            return at, chain([head], frames)
        # The container does not support seeking: decode it from the beginning.
        self._seek(0)
        return 0, self.container.decode(self.stream)

    def _seek(self, sample: int) -> None:
        ticks = round(sample / self.rate / (self.stream.time_base or 1))
        self.container.seek((self.head.pts or 0) + ticks, stream=self.stream)

    def _position(self, frame: av.AudioFrame) -> int | None:
        if frame.pts is None or self.stream.time_base is None:
            return None
        return round((frame.pts - (self.head.pts or 0)) * self.stream.time_base * self.rate)


def _counted(path: Path) -> float:
    """Measure the length in seconds, from the first packet to the last, without decoding."""
    with _container(path) as container:
        stream = container.streams.audio[0]
        spans = [(packet.pts, packet.duration or 0) for packet in container.demux(stream) if packet.pts is not None]
        if not spans or stream.time_base is None:
            raise ValueError("it does not tell its length")
        ticks = max(start + duration for start, duration in spans) - min(start for start, _ in spans)
        return float(ticks * stream.time_base)


def _mono(frame: av.AudioFrame) -> np.ndarray:
    """Return the mean of a frame's channels, float32 in [-1, 1]."""
    samples: np.ndarray = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    if samples.dtype == np.uint8:
        samples = samples.astype(np.float32) / 128 - 1
    elif samples.dtype.kind == "i":
        samples = samples / 2.0 ** (8 * samples.dtype.itemsize - 1)
    return mean_of(samples, 0)
