"""The interface of decoders of sound, and what they share."""

from typing import Protocol

import numpy as np

# A file may be so much shorter than its header says, seconds: encoders round to their frames.
TOLERANCE_S = 0.25
# A decoder starts so much before the wanted sample, seconds: some need a few frames to settle.
PREROLL_S = 0.5
# Peak of a silent clip: -60 dB of full scale.
SILENT_PEAK = 1e-3


class Sound(Protocol):
    """An open sound file.

    Attributes:
        rate: samples per second, of each channel.
    """

    rate: int

    @property
    def seconds(self) -> float:
        """Length by the header, or by the packets if the header is not exact."""
        ...

    def read(self, first: int = 0, count: int | None = None) -> np.ndarray:
        """Return the mean of the channels from sample `first` on, float32 [at most count]. Call it once."""
        ...


class Samples:
    """A sound in memory.

    Args:
        channels: float32 [n] or [n, channels], in [-1, 1].
        rate: samples per second, of each channel.
    """

    def __init__(self, channels: np.ndarray, rate: int) -> None:
        self.channels = channels
        self.rate = rate

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.channels) / self.rate

    def read(self, first: int = 0, count: int | None = None) -> np.ndarray:
        """Return the mean of the channels from sample `first` on, float32 [at most count]."""
        part = self.channels[first:][:count]
        # Channels side by side, as in a file: in another order the last bit of their sum could differ.
        return np.ascontiguousarray(part) if part.ndim == 1 else mean_of(np.ascontiguousarray(part), 1)


def check_whole(got: int, wanted: float, rate: int) -> None:
    """Refuse a file that is shorter than its header says.

    Args:
        got, wanted: numbers of samples that were read and that were to be read.
        rate: samples per second.

    Raises:
        ValueError: more than `TOLERANCE_S` is missing.
    """
    if wanted - got > TOLERANCE_S * rate:
        raise ValueError(f"it is truncated: {got / rate:.1f} of {wanted / rate:.1f} s are there")


def mean_of(channels: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean over the channels, float32. Values that are not finite stay so, without a warning."""
    with np.errstate(over="ignore", invalid="ignore"):
        return channels.astype(np.float32, copy=False).mean(axis=axis)
