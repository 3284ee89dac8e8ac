"""Pictures and sound of a video file, by PyAV, a little at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lowshot.data.voice import SAMPLE_RATE

# What is read: a playlist by the name of a film would have FFmpeg open whatever files and addresses it lists.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
# Sound whose time stamps jump by more than this is set anew instead of strung together, seconds.
_JUMP = 0.1


class Unreadable(Exception):
    """A file, or the rest of it, cannot be decoded.

    Args:
        reason: why.
    """


class Video:
    """A video file.

    Args:
        path: MP4, MKV, WebM or whatever else FFmpeg reads.

    Raises:
        Unreadable: there is no such thing in the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opened(path) as container:
            self.has_picture = bool(container.streams.video)
            self.has_sound = bool(container.streams.audio)
            self.seconds = float(container.duration or 0) / 1_000_000

    def pictures(self, per_second: float) -> Iterator[tuple[float, np.ndarray]]:
        """Pictures at about equal distances.

        Args:
            per_second: how many; all there are where a file has fewer.

        Yields:
            Time in seconds, and the picture upright, uint8 [height, width, 3].

        Raises:
            Unreadable: from here on nothing can be decoded.
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
        """The sound of stretches of the file.

        Args:
            spans: from when to when, seconds; in order and without overlap.

        Yields:
            Of each stretch as much as there is, int16 [n], 16 kHz, one channel.

        Raises:
            Unreadable: from here on nothing can be decoded.
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
        """The place of each block, in samples of 16 kHz from time 0, and the block."""
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
        # A file and no name: FFmpeg takes some names for addresses. What a file says of itself is not asked for.
        with (
            path.open("rb") as file,
            av.open(file, "r", container_options={"format_whitelist": FORMATS}, metadata_errors="ignore") as container,
        ):
            yield container
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Unreadable(str(error)) from error
