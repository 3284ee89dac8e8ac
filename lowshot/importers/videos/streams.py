"""Decode pictures and sound of a video file by PyAV, a little at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lowshot.data.voice import SAMPLE_RATE

# Formats that are read. A playlist with the name of a video could make FFmpeg open any file or address.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
# If time stamps of sound jump by more seconds, the sound continues at the new time.
_JUMP = 0.1


class Unreadable(Exception):
    """A file, or the rest of it, cannot be decoded."""


class Video:
    """A video file.

    Args:
        path: MP4, MKV or WebM.

    Raises:
        Unreadable: the file is in no such format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opened(path) as container:
            self.has_picture = bool(container.streams.video)
            self.has_sound = bool(container.streams.audio)
            self.seconds = float(container.duration or 0) / 1_000_000

    def pictures(self, per_second: float) -> Iterator[tuple[float, np.ndarray]]:
        """Give pictures at about equal distances.

        Args:
            per_second: how many; a file with fewer gives all of its own.

        Yields:
            Time in seconds, and the picture upright, uint8 [height, width, 3].

        Raises:
            Unreadable: decoding fails from here on.
        """
        due = -np.inf
        with _opened(self.path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                if frame.time is None or frame.time < due:
                    continue
                due = max(due, frame.time) + 1 / per_second
                yield frame.time, np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))

    def sound(self, spans: Sequence[tuple[float, float]]) -> Iterator[np.ndarray]:
        """Give the sound of stretches of the file.

        Args:
            spans: start and end in seconds, in order and without overlap.

        Yields:
            As much as there is of each stretch, int16 [n], 16 kHz, one channel.

        Raises:
            Unreadable: decoding fails from here on.
        """
        bounds = [(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)) for start, end in spans]
        heard: list[list[np.ndarray]] = [[] for _ in bounds]
        due = 0
        for at, samples in self._sound_blocks():
            while due < len(bounds) and bounds[due][1] <= at:
                yield _joined(heard[due])
                heard[due] = []
                due += 1
            if due == len(bounds):
                return
            for number in range(due, len(bounds)):
                start, end = bounds[number]
                if start >= at + len(samples):
                    break
                heard[number].append(samples[max(0, start - at) : max(0, end - at)])
        for blocks in heard[due:]:
            yield _joined(blocks)

    def _sound_blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Give the position of each block, in samples of 16 kHz from time 0, and the block."""
        from av import AudioResampler

        with _opened(self.path) as container:
            stream = container.streams.audio[0]
            resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            place, ends = 0, -np.inf
            for frame in container.decode(stream):
                if frame.time is not None and abs(frame.time - ends) > _JUMP:
                    for block in resampler.resample(None):
                        yield place, block.to_ndarray()[0]
                    resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
                    place, ends = round(frame.time * SAMPLE_RATE), frame.time
                ends += frame.samples / frame.sample_rate
                for block in resampler.resample(frame):
                    samples = block.to_ndarray()[0]
                    yield place, samples
                    place += len(samples)
            for block in resampler.resample(None):
                yield place, block.to_ndarray()[0]


def _joined(blocks: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int16), *blocks])


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import av

    try:
        # An open file, not its name: FFmpeg takes some names for addresses. Metadata may be in any encoding.
        with (
            path.open("rb") as file,
            av.open(file, "r", container_options={"format_whitelist": FORMATS}, metadata_errors="ignore") as container,
        ):
            yield container
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Unreadable(str(error)) from error
