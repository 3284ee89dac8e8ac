"""Voices: that a clip is sound speech-like audio, and that its acoustics follow the speaker's latents."""

import numpy as np
import pytest

from lowshot.synthetic.voices import VoiceTraits, synthesise, voice_traits
from lowshot.synthetic.world import VOICE, random_stream

RATE = 16000


def speaker(key: int = 0, **latents: float) -> VoiceTraits:
    latent = np.array([latents.get(name, 0.0) for name in VOICE])
    return voice_traits(latent, random_stream(0, 1, key))


def clip(traits: VoiceTraits, key: int = 0) -> np.ndarray:
    return synthesise(traits, random_stream(0, 3, key), snr_db=(30.0, 35.0))


def measured_pitch(samples: np.ndarray) -> float:
    """Median fundamental frequency by autocorrelation of 50 ms windows, hertz."""
    windows = np.lib.stride_tricks.sliding_window_view(samples / 32768, 800)[::400] * np.hanning(800)
    power = np.abs(np.fft.rfft(windows, 1600, axis=1)) ** 2
    correlation = np.fft.irfft(power, axis=1)
    correlation /= correlation[:, :1]
    lags = np.arange(45, 240)
    best = lags[np.argmax(correlation[:, lags], axis=1)]
    voiced = correlation[np.arange(len(best)), best] > 0.4
    return float(np.median(RATE / best[voiced]))


def spectral_centroid(samples: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(samples / 32768.0)) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / RATE)
    band = (frequency > 300) & (frequency < 5000)
    return float((power * frequency)[band].sum() / power[band].sum())


def test_a_clip_is_int16_of_the_asked_length_neither_silent_nor_clipped():
    for key in range(6):
        samples = clip(speaker(key), key)
        assert samples.dtype == np.int16 and samples.ndim == 1
        assert 2.0 * RATE - 160 <= len(samples) <= 3.5 * RATE
        level = np.sqrt(np.mean((samples / 32768) ** 2))
        assert 0.02 < level < 0.2
        assert np.mean(np.abs(samples.astype(int)) > 31500) < 1e-3


def test_the_same_stream_gives_the_same_clip_and_another_video_another_one():
    traits = speaker()
    assert np.array_equal(clip(traits, 1), clip(traits, 1))
    other = clip(traits, 2)
    assert len(other) != len(clip(traits, 1)) or not np.array_equal(other, clip(traits, 1))


@pytest.mark.parametrize("latent", [-2.5, -1.0, 0.5, 2.0])
def test_the_measured_pitch_follows_the_latent(latent: float):
    traits = speaker(pitch=latent)
    measured = np.median([measured_pitch(clip(traits, key)) for key in range(5)])
    assert abs(np.log(measured / traits.pitch)) < 0.15


def test_longer_tracts_lower_the_spectrum_at_equal_pitch():
    low = np.mean([spectral_centroid(clip(speaker(key, formants=-3.0), key)) for key in range(12)])
    high = np.mean([spectral_centroid(clip(speaker(key, formants=3.0), key)) for key in range(12)])
    assert high > 1.1 * low


def test_traits_move_the_way_their_latents_say():
    assert speaker(breath=1.0).breath > speaker(breath=-1.0).breath
    assert speaker(roughness=1.0).jitter > speaker(roughness=-1.0).jitter
    assert speaker(rate=1.0).rate > speaker(rate=-1.0).rate
    assert speaker(range=1.0).pitch_range > speaker(range=-1.0).pitch_range
    assert not np.allclose(speaker(accent_a=1.0).vowels, speaker(accent_a=-1.0).vowels)


def test_speakers_with_equal_latents_still_differ_privately():
    assert not np.allclose(speaker(1).vowels, speaker(2).vowels)
    assert not np.allclose(speaker(1).upper, speaker(2).upper)


def test_the_noise_level_is_the_asked_one():
    traits = speaker()
    clean = synthesise(traits, random_stream(0, 3, 7), snr_db=(60.0, 60.0)).astype(float)
    noisy = synthesise(traits, random_stream(0, 3, 7), snr_db=(0.0, 0.0)).astype(float)

    # The quietest tenth of a second is a pause: noise fills it, and only there.
    def floor(x: np.ndarray) -> float:
        blocks = x[: len(x) // 1600 * 1600].reshape(-1, 1600)
        return float(np.sqrt(np.mean(blocks**2, axis=1)).min() / np.sqrt(np.mean(x**2)))

    assert floor(noisy) > 0.4
    assert floor(clean) < 0.2
