"""A voice clip as a log-mel spectrogram."""

from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio

from lowshot.errors import RequestError
from lowshot.settings import VoiceConfig

SAMPLE_RATE = 16_000
# Power of a mel band below which nothing is told apart: the log-mel of digital silence.
POWER_FLOOR = 1e-7
# Typical spread of log power in speech; dividing by it brings samples near unit scale for the tower.
LOG_POWER_SCALE = 4.0
# The released code's: least power, and how far below a clip's loudest value its others are cut, in dB.
RELEASED_FLOOR = 1e-10
RELEASED_RANGE = 80.0
# Values that torch sums in one thread at most.
_ONE_THREAD = 2**15


def read_waveform(path: Path) -> np.ndarray:
    """Read a clip as 16 kHz mono.

    Args:
        path: WAV, FLAC, OGG or MP3, any rate and number of channels.

    Returns:
        Samples in [-1, 1], float32 [n], n >= 1.

    Raises:
        RequestError: the file is missing, unreadable, empty, or holds values that are not finite.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise RequestError(f"{path}: cannot be read as audio ({error})") from error
    mono = samples.mean(axis=1)
    if not len(mono):
        raise RequestError(f"{path}: holds no samples")
    if not np.isfinite(mono).all():
        raise RequestError(f"{path}: holds samples that are not finite")
    if rate != SAMPLE_RATE:
        mono = torchaudio.functional.resample(torch.from_numpy(mono), rate, SAMPLE_RATE).numpy()
    return mono


class LogMel:
    """Waveform -> log-mel spectrogram, by the front end that the settings name.

    `centred`: natural-log power, each clip about its own mean. Centring removes the recording level and keeps the shape
    of the spectrum, which tells speakers apart.

    `released`: what the towers of the released checkpoints were trained on: decibels that nothing normalises. A clip
    shorter than a crop has zeros at both ends, one more than needed where an odd number of frames is missing.

    Args:
        config: front end, bands, window and hop; the released front end pads to its frames.

    Source:
        `released`: the released code (commit 760b65f), which takes librosa 0.6.2: Slaney's mel scale with filters of
        unit area, a periodic Hann window as long as the transform, ends mirrored, and decibels relative to 1.

    Deviation:
        `released`: files of another rate than 16 kHz are resampled by torchaudio, not by librosa.
    """

    def __init__(self, config: VoiceConfig) -> None:
        window = round(SAMPLE_RATE * config.window_ms / 1000)
        hop = round(SAMPLE_RATE * config.hop_ms / 1000)
        self.window = window
        self.frames = config.frames
        self.released = config.front_end == "released"
        if self.released:
            self.transform = torchaudio.transforms.MelSpectrogram(
                sample_rate=SAMPLE_RATE,
                n_fft=window,
                hop_length=hop,
                n_mels=config.mel_bands,
                center=False,
                norm="slaney",
                mel_scale="slaney",
            )
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
            The spectrogram, [mel_bands, frames], and what a clip shorter than a crop is padded with (`pad_to`).
            `centred`: float16, and the value that digital silence has in it. `released`: float32, for float16 would
            round loud decibels to steps of 0.06; never shorter than a crop; and 0.
        """
        with torch.inference_mode():
            return self._released(waveform) if self.released else self._centred(waveform)

    def _centred(self, waveform: np.ndarray) -> tuple[np.ndarray, float]:
        power = self.transform(torch.from_numpy(waveform))
        log_power = power.clamp_min(POWER_FLOOR).log()
        mean = _mean(log_power)
        centred = (log_power - mean) / LOG_POWER_SCALE
        silence = (float(np.log(POWER_FLOOR)) - mean) / LOG_POWER_SCALE
        return centred.numpy().astype(np.float16), float(silence)

    def _released(self, waveform: np.ndarray) -> tuple[np.ndarray, float]:
        # torch mirrors no clip shorter than what it adds; NumPy goes back and forth.
        mirrored = np.pad(waveform, self.window // 2, mode="reflect")
        decibels = 10 * self.transform(torch.from_numpy(mirrored)).clamp_min(RELEASED_FLOOR).log10()
        cut = decibels.clamp_min(decibels.max() - RELEASED_RANGE).numpy()
        each_end = (max(0, self.frames - cut.shape[1]) + 1) // 2
        return np.pad(cut, ((0, 0), (each_end, each_end))), 0.0


def _mean(values: torch.Tensor) -> torch.Tensor:
    """Mean of all values, the same bits whatever number of threads torch computes with."""
    # From here on torch adds in several threads, and so in another order.
    if values.numel() < _ONE_THREAD:
        return values.mean()
    return torch.from_numpy(values.numpy().mean(dtype=np.float64, keepdims=True)).float()


def pad_to(log_mel: np.ndarray, frames: int, silence: float) -> np.ndarray:
    """Lengthen a spectrogram with silence at its end.

    Args:
        log_mel: [mel_bands, n].
        frames: wanted length; a longer spectrogram is returned as it is, and so is one of the released front end, which
            `LogMel` pads.
        silence: what digital silence is in this spectrogram (`LogMel.__call__`). The released code pads with 0, which
            in its un-normalised log-mel is louder than speech.
    """
    missing = frames - log_mel.shape[1]
    if missing <= 0:
        return log_mel
    return np.pad(log_mel, ((0, 0), (0, missing)), constant_values=silence)
