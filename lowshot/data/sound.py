"""What every decoder of sound offers, and what all share."""

from typing import Protocol

import numpy as np

# By so much may what can be read fall short of what the header promises: encoders round to their frames.
TOLERANCE_S = 0.25
# A decoder that starts in the middle starts so much earlier, for some need a few frames to settle.
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
        """Length: as the header tells it or, where it says nothing exact, as the packets do."""
        ...

    def read(self, first: int = 0, count: int | None = None) -> np.ndarray:
        """The mean of the channels from sample `first` on, float32 [at most count]; to be called once."""
        ...


class Samples:
    """A sound that is in memory already.

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
        """The mean of the channels from sample `first` on, float32 [at most count]."""
        part = self.channels[first:][:count]
        # Channels lie side by side as in a file: in another order their sum could differ in the last bit.
        return np.ascontiguousarray(part) if part.ndim == 1 else mean_of(np.ascontiguousarray(part), 1)


def check_whole(got: int, wanted: float, rate: int) -> None:
    """Refuse a file that ends before what its header promises.

    Args:
        got, wanted: samples that could be read, and that were to be.
        rate: samples per second.

    Raises:
        ValueError: more than `TOLERANCE_S` is missing.
    """
    if wanted - got > TOLERANCE_S * rate:
        raise ValueError(f"it is truncated: {got / rate:.1f} of {wanted / rate:.1f} s are there")


def mean_of(channels: np.ndarray, axis: int) -> np.ndarray:
    """The mean along the channels, float32; values that are not finite stay so, without a warning."""
    with np.errstate(over="ignore", invalid="ignore"):
        return channels.astype(np.float32, copy=False).mean(axis=axis)
