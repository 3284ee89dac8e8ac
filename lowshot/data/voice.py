"""Read a voice clip as a log-mel spectrogram."""

from fractions import Fraction
from math import ceil, isqrt
from pathlib import Path

import numpy as np
import torch
import torchaudio

from lowshot.data.codec import open_sound
from lowshot.data.sound import Sound
from lowshot.errors import RequestError
from lowshot.settings import VoiceConfig

SAMPLE_RATE = 16_000
# Hz. Other rates come from wrong headers, or from files that are not recordings of voices.
LOWEST_RATE, HIGHEST_RATE = 2_000, 768_000
# Times full scale. A louder file is not a recording, and the power of its bands overflows float32.
LOUDEST = 1e12
# A resampled sample depends on fewer neighbours on either side, samples at 16 kHz.
_NEIGHBOURS = 32
# Values of a resampling kernel. torchaudio has a filter for each phase: gigabytes for odd rates.
_LARGEST_KERNEL = 1 << 21
# Least power of a mel band: that of digital silence.
POWER_FLOOR = 1e-7
# Typical spread of log power in speech. Dividing by it brings inputs of the tower near unit scale.
LOG_POWER_SCALE = 4.0
# Of the released code: least power, and the range in dB below a clip's loudest value.
RELEASED_FLOOR = 1e-10
RELEASED_RANGE = 80.0
# A silent clip has no spread to divide by.
_LEAST_SPREAD = 1e-3
# torch sums fewer values in one thread.
_ONE_THREAD = 2**15


def read_waveform(path: Path, start_s: float = 0.0, seconds: float | None = None) -> np.ndarray:
    """Read a clip, or only a part of it, as 16 kHz mono.

    Args:
        path: a file that `open_sound` takes, of any depth and number of channels, at 2 to 768 kHz.
        start_s: where to begin, seconds.
        seconds: greatest length to read; None for all that follows.

    Returns:
        Samples, float32 [n], n >= 1: in [-1, 1] unless a file of floats holds more. A part equals that part of the
        whole clip, up to rounding: to float32, and to milliseconds in WebM and MKV.

    Raises:
        RequestError: the file is missing, unreadable, truncated or empty, or holds values that are not finite or
            above `LOUDEST`.
    """
    with open_sound(path) as sound:
        return _read_part(path, sound, start_s, seconds)


def read_clip(path: Path, config: VoiceConfig) -> np.ndarray:
    """Read a clip, or its middle if it is longer than the settings allow.

    The spectrogram of an hour takes seconds to compute and 50 MB to keep. The middle is always the same stretch, so
    that time and process of reading do not matter.

    Args:
        path: as of `read_waveform`.
        config: `max_seconds`; at least a crop is read.

    Returns:
        As `read_waveform`.

    Raises:
        RequestError: as `read_waveform`.
    """
    with open_sound(path) as sound:
        return read_middle(path, sound, config)


def read_middle(name: Path | str, sound: Sound, config: VoiceConfig) -> np.ndarray:
    """Read an open sound as `read_clip` reads a file; errors name `name`."""
    longest = config.longest_seconds
    if sound.seconds <= longest:
        return _read_part(name, sound, 0.0, None)
    return _read_part(name, sound, (sound.seconds - longest) / 2, longest)


def _read_part(name: Path | str, sound: Sound, start_s: float, seconds: float | None) -> np.ndarray:
    check_rate(name, sound.rate)
    first = round(start_s * SAMPLE_RATE)
    count = None if seconds is None else max(1, round(seconds * SAMPLE_RATE))
    if sound.rate == SAMPLE_RATE:
        return _usable(name, sound.read(first, count))
    # `given` samples of the file are exactly `made` samples of the result. A part consists of such blocks, and a few
    # blocks beside it are read too, because a resampled value depends on its neighbours.
    given, made = _ratio(sound.rate)
    beside = ceil(_NEIGHBOURS * max(1.0, sound.rate / SAMPLE_RATE) / given)
    block = max(0, first // made - beside)
    blocks = None if count is None else ceil((first + count) / made) + beside - block
    mono = _usable(name, sound.read(block * given, None if blocks is None else blocks * given))
    resampled = torchaudio.functional.resample(torch.from_numpy(mono), given, made).numpy()
    return _usable(name, resampled[first - block * made :][:count])


def check_rate(name: Path | str, rate: int) -> None:
    """Refuse an implausible sampling rate.

    Raises:
        RequestError: it is below `LOWEST_RATE` or above `HIGHEST_RATE`.
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise RequestError(f"{name}: a sampling rate of {rate} Hz; voices have {LOWEST_RATE} to {HIGHEST_RATE} Hz")


def _usable(name: Path | str, mono: np.ndarray) -> np.ndarray:
    if not len(mono):
        raise RequestError(f"{name}: holds no samples")
    if not np.isfinite(mono).all():
        raise RequestError(f"{name}: holds samples that are not finite")
    if (loudest := float(np.abs(mono).max())) > LOUDEST:
        raise RequestError(f"{name}: holds samples of {loudest:.0e} times full scale")
    return mono


def _ratio(rate: int) -> tuple[int, int]:
    """Return how many samples at `rate` become how many at 16 kHz; to 0.03 % for odd rates as 44,099 Hz."""
    exact = Fraction(rate, SAMPLE_RATE)
    if exact.numerator * exact.denominator > _LARGEST_KERNEL:
        exact = exact.limit_denominator(isqrt(_LARGEST_KERNEL * SAMPLE_RATE // rate))
    return exact.numerator, exact.denominator


class LogMel:
    """Turns a waveform into a log-mel spectrogram by one of two front ends.

    `centred`: natural-log power minus the mean of the clip. Centring removes the recording level and keeps the shape
    of the spectrum, which tells speakers apart.

    `released`: decibels without normalisation, the input of the released checkpoints. A clip shorter than a crop gets
    zeros at both ends; if an odd number of frames is missing, it gets one more than needed. Values are computed in
    float64, because they match librosa's to 1e-5 dB.

    `normalise`, in either front end: the mean and standard deviation of each clip become 0 and 1.

    Args:
        config: front end, bands, window and hop, normalisation and padding. The released front end pads to its frames.

    Source:
        `released`: the released code (commit 760b65f) with librosa 0.6.2: Slaney's mel scale with filters of unit area,
        a periodic Hann window as long as the transform, mirrored ends, and decibels relative to 1.

    Deviation:
        `released`: torchaudio, not librosa, resamples files of another rate than 16 kHz.
    """

    def __init__(self, config: VoiceConfig) -> None:
        window = round(SAMPLE_RATE * config.window_ms / 1000)
        hop = round(SAMPLE_RATE * config.hop_ms / 1000)
        self.window = window
        self.frames = config.frames
        self.normalise = config.normalise
        self.zeros_beside = not config.normalise and config.padding == "front-end"
        self.released = config.front_end == "released"
        if self.released:
            self.transform = torchaudio.transforms.Spectrogram(
                n_fft=window, hop_length=hop, center=False, wkwargs={"dtype": torch.float64}
            )
            self.filters = torch.from_numpy(slaney_filters(window, config.mel_bands))
        else:
            self.transform = torchaudio.transforms.MelSpectrogram(
                sample_rate=SAMPLE_RATE,
                n_fft=max(512, 1 << (window - 1).bit_length()),
                win_length=window,
                hop_length=hop,
                n_mels=config.mel_bands,
                center=True,
                pad_mode="constant",
            )

    def __call__(self, waveform: np.ndarray) -> tuple[np.ndarray, float]:
        """Transform one clip.

        Args:
            waveform: float32 [n] at 16 kHz in [-1, 1].

        Returns:
            The spectrogram [mel_bands, frames], and the value of digital silence in it, which `pad_to` pads shorter
            clips with. `centred`: float16. `released`: float32, because float16 would round loud decibels to steps of
            0.06. Unless the settings ask for the floor, it is never shorter than a crop, and the padding value is 0.
        """
        with torch.inference_mode():
            return self._released(waveform) if self.released else self._centred(waveform)

    def _centred(self, waveform: np.ndarray) -> tuple[np.ndarray, float]:
        power = self.transform(torch.from_numpy(waveform))
        log_power = power.clamp_min(POWER_FLOOR).log()
        floor = float(np.log(POWER_FLOOR))
        if self.normalise:
            values, silence = _normalised(log_power.numpy(), floor)
            return values.astype(np.float16), silence
        mean = _mean(log_power)
        centred = (log_power - mean) / LOG_POWER_SCALE
        return centred.numpy().astype(np.float16), float((floor - mean) / LOG_POWER_SCALE)

    def _released(self, waveform: np.ndarray) -> tuple[np.ndarray, float]:
        # torch cannot mirror a clip that is shorter than the added ends; NumPy can.
        mirrored = np.pad(waveform.astype(np.float64), self.window // 2, mode="reflect")
        power = self.filters @ self.transform(torch.from_numpy(mirrored))
        decibels = 10 * power.clamp_min(RELEASED_FLOOR).log10().numpy()
        floor = max(10 * np.log10(RELEASED_FLOOR), float(decibels.max()) - RELEASED_RANGE)
        cut = np.maximum(decibels, floor)
        if self.normalise:
            cut, floor = _normalised(cut, floor)
        if not self.zeros_beside:
            return cut.astype(np.float32), floor
        each_end = (max(0, self.frames - cut.shape[1]) + 1) // 2
        return np.pad(cut.astype(np.float32), ((0, 0), (each_end, each_end))), 0.0


def _normalised(values: np.ndarray, floor: float) -> tuple[np.ndarray, float]:
    """Normalise values and their floor by the mean and standard deviation of the values."""
    mean, spread = values.mean(dtype=np.float64), max(values.std(dtype=np.float64), _LEAST_SPREAD)
    return (values - mean) / spread, float((floor - mean) / spread)


def slaney_filters(transform: int, bands: int) -> np.ndarray:
    """Make triangular filters, evenly spaced on Slaney's mel scale from 0 to 8 kHz, each of area 1 in hertz.

    Args:
        transform: number of samples of the Fourier transform.
        bands: number of filters.

    Returns:
        float64 [bands, transform // 2 + 1]. torchaudio's have an error of one part in 5,000.

    Source:
        librosa.filters.mel with its defaults: 3 mel in 200 Hz up to 1 kHz, then 27 mel for a factor of 6.4.
    """
    per_mel, first_log = np.log(6.4) / 27, 15.0
    highest = first_log + np.log(SAMPLE_RATE / 2000) / per_mel
    mel = np.linspace(0, highest, bands + 2)
    corners = np.where(mel < first_log, mel * 200 / 3, 1000 * np.exp((mel - first_log) * per_mel))
    low, peak, high = (corners[i : i + bands, None] for i in range(3))
    hertz = np.arange(transform // 2 + 1) * SAMPLE_RATE / transform
    triangles = np.minimum((hertz - low) / (peak - low), (high - hertz) / (high - peak))
    return np.maximum(triangles, 0) * 2 / (high - low)


def _mean(values: torch.Tensor) -> torch.Tensor:
    """Return the mean of all values, the same bits for any number of threads of torch."""
    # torch sums more values in several threads, and so in another order.
    if values.numel() < _ONE_THREAD:
        return values.mean()
    return torch.from_numpy(values.numpy().mean(dtype=np.float64, keepdims=True)).float()


def pad_to(log_mel: np.ndarray, frames: int, silence: float) -> np.ndarray:
    """Lengthen a spectrogram with silence at its end.

    Args:
        log_mel: [mel_bands, n].
        frames: wanted length. A longer spectrogram is returned as it is, and so is one that `LogMel` padded.
        silence: value of digital silence in it (`LogMel.__call__`). The released code pads with 0, which is louder
            than speech in its log-mel.
    """
    missing = frames - log_mel.shape[1]
    if missing <= 0:
        return log_mel
    return np.pad(log_mel, ((0, 0), (0, missing)), constant_values=silence)
