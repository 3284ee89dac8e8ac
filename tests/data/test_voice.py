"""Voices: decoding, log-mel whose padding is silence, and the log-mel of the released code."""

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch

from lowshot.data.augment import VOICE_UNIFORMS, augment_voices
from lowshot.data.media_inputs import crop_voice, even_crops
from lowshot.data.voice import SAMPLE_RATE, LogMel, pad_to, read_waveform
from lowshot.errors import RequestError
from lowshot.settings import AugmentConfig, VoiceConfig

LIBROSA = Path(__file__).with_name("librosa.npz")
RELEASED = VoiceConfig(window_ms=100, frames=500, front_end="released")


def tone(seconds=0.5, hertz=440.0, level=0.3, rate=SAMPLE_RATE):
    time = np.arange(int(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def test_row_15_padding_is_silence_and_not_louder_than_speech():
    log_mel, silence = LogMel(VoiceConfig())(tone() + 0.01 * np.random.default_rng(0).normal(size=8000).astype("f4"))
    padded = pad_to(log_mel, 80, silence)
    speech, padding = padded[:, : log_mel.shape[1]], padded[:, log_mel.shape[1] :]
    assert padding.shape == (64, 80 - log_mel.shape[1])
    assert padding.max() <= speech.min()
    # The released code pads the un-normalised log-mel with 0, which is 0 dB: above what most of the speech has.
    released = 10 * np.log10(LogMel(VoiceConfig()).transform(__import__("torch").from_numpy(tone())).numpy() + 1e-10)
    assert np.median(released) < 0


def test_padding_equals_what_digital_silence_measures():
    clip = np.concatenate([tone(0.5), np.zeros(8000, np.float32)])
    log_mel, silence = LogMel(VoiceConfig())(clip)
    assert log_mel[:, -10:] == pytest.approx(np.full((64, 10), silence), abs=2e-3)


def test_the_recording_level_does_not_matter():
    quiet, loud = (LogMel(VoiceConfig())(tone(level=level))[0].astype("f4") for level in (0.2, 0.4))
    # Bands at the floor differ by the level; those with energy do not.
    audible = loud > 0
    np.testing.assert_allclose(quiet[audible] - quiet[audible].mean(), loud[audible] - loud[audible].mean(), atol=0.05)


def test_a_long_clip_is_the_same_with_any_number_of_threads():
    # From 2^15 values on torch adds in several threads; 6 s have 38,464, of which it makes other means.
    clip = 0.1 * np.random.default_rng(0).standard_normal(96_000).astype("f4")
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(LogMel(VoiceConfig())(clip))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_frequency_lies_on_the_first_axis():
    low, high = (LogMel(VoiceConfig())(tone(hertz=hertz))[0].mean(axis=1).argmax() for hertz in (200, 3000))
    assert low < high


@pytest.mark.parametrize("window", [25.0, 100.0])
def test_one_frame_per_hop(window):
    log_mel, _ = LogMel(VoiceConfig(window_ms=window))(tone(1.0))
    assert log_mel.shape == (64, 101)
    assert np.isfinite(log_mel).all()


def test_any_rate_and_channels_become_16_khz_mono(tmp_path):
    stereo = np.stack([tone(rate=44100), tone(rate=44100)], axis=1)
    soundfile.write(tmp_path / "a.flac", stereo, 44100)
    samples = read_waveform(tmp_path / "a.flac")
    assert samples.shape == (8000,)
    np.testing.assert_allclose(samples[500:-500], tone()[500:-500], atol=0.01)


@pytest.mark.parametrize("content", [b"", b"not audio at all", b"RIFF" + bytes(40)])
def test_an_unreadable_file_is_named(tmp_path, content):
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"bad\.wav: "):
        read_waveform(path)


def test_empty_missing_and_not_finite_clips_are_named(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), SAMPLE_RATE)
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan, np.float32), SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "loud.wav", np.full(100, 1e20, np.float32), SAMPLE_RATE, subtype="FLOAT")
    faults = {"empty": "no samples", "nan": "not finite", "loud": r"1e\+20 times full scale", "none": "cannot be read"}
    for name, fault in faults.items():
        with pytest.raises(RequestError, match=rf"{name}\.wav: .*{fault}"):
            read_waveform(tmp_path / f"{name}.wav")


def test_a_silent_clip_stays_finite():
    log_mel, silence = LogMel(VoiceConfig())(np.zeros(8000, np.float32))
    assert np.isfinite(log_mel).all()
    assert np.isfinite(silence)


def slaney_hertz(mel):
    """Slaney's scale: three mel in 200 Hz up to 1 kHz, from there on 27 mel for a factor of 6.4."""
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def slaney_filters(rate, n_fft, bands):
    """Triangles evenly spaced on Slaney's scale from 0 to half the rate, each of area 1 in hertz."""
    highest = 15 + 27 * math.log(rate / 2 / 1000) / math.log(6.4)
    corners = [slaney_hertz(highest * corner / (bands + 1)) for corner in range(bands + 2)]
    filters = np.zeros((bands, n_fft // 2 + 1))
    for band, (low, peak, high) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
        for k in range(n_fft // 2 + 1):
            hertz = k * rate / n_fft
            rising, falling = (hertz - low) / (peak - low), (high - hertz) / (high - peak)
            filters[band, k] = max(0.0, min(rising, falling)) * 2 / (high - low)
    return filters


def decibels_of(waveform, length=1600):
    """The released spectrogram, unpadded, from librosa's formula in float64: windows of 100 ms every 10 ms."""
    mirrored = np.pad(waveform.astype(np.float64), length // 2, mode="reflect")
    window = scipy.signal.get_window("hann", length, fftbins=True)
    frames = [mirrored[160 * t : 160 * t + length] * window for t in range(1 + len(waveform) // 160)]
    power = slaney_filters(SAMPLE_RATE, length, 64) @ np.abs(np.fft.rfft(frames, axis=1).T) ** 2
    decibels = 10 * np.log10(np.maximum(power, 1e-10))
    return np.maximum(decibels, decibels.max() - 80)


def speech(seconds):
    """Harmonics that swell, fade and stop, and a little noise: loud, quiet and cut values are all in it."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    swell = np.clip(np.sin(2 * np.pi * 1.5 * time + 1), 0, None)
    voiced = sum(np.sin(2 * np.pi * 120 * n * time) / n for n in range(1, 30))
    noise = np.random.default_rng(0).normal(size=len(time))
    return (0.1 * swell * voiced + 1e-5 * noise).astype(np.float32)


def test_the_restated_filters_are_librosas():
    # The first values that the documentation of librosa.filters.mel(22050, 2048) prints.
    np.testing.assert_allclose(slaney_filters(22050, 2048, 128)[:2, :2], [[0, 0.016], [0, 0]], atol=5e-4)


def htk_filters(rate, n_fft, bands):
    """Triangles of height 1, evenly spaced on the HTK scale, 2595 log10(1 + f / 700), from 0 to half the rate."""
    highest = 2595 * math.log10(1 + rate / 2 / 700)
    corners = [700 * (10 ** (highest * corner / (bands + 1) / 2595) - 1) for corner in range(bands + 2)]
    hertz = np.arange(n_fft // 2 + 1) * rate / n_fft
    return np.stack(
        [
            np.minimum((hertz - low) / (peak - low), (high - hertz) / (high - peak)).clip(0)
            for low, peak, high in zip(corners, corners[1:], corners[2:], strict=False)
        ]
    )


@pytest.mark.parametrize(("milliseconds", "n_fft"), [(25, 512), (100, 2048)])
def test_the_centred_front_end_is_its_formula(milliseconds, n_fft):
    waveform, length = speech(2.0), 16 * milliseconds
    window = np.zeros(n_fft)
    window[(n_fft - length) // 2 :][:length] = scipy.signal.get_window("hann", length, fftbins=True)
    around = np.pad(waveform.astype(np.float64), n_fft // 2)
    frames = [around[160 * t : 160 * t + n_fft] * window for t in range(1 + len(waveform) // 160)]
    power = htk_filters(SAMPLE_RATE, n_fft, 64) @ np.abs(np.fft.rfft(frames, axis=1).T) ** 2
    log_power = np.log(np.maximum(power, 1e-7))
    log_mel, silence = LogMel(VoiceConfig(window_ms=milliseconds))(waveform)
    # Half floats of 2 to 4 are 2 ** -9 apart; the bands of torchaudio, in float32, are off by 1e-4 besides.
    np.testing.assert_allclose(log_mel, (log_power - log_power.mean()) / 4, atol=2**-10 + 2e-4)
    assert silence == pytest.approx((np.log(1e-7) - log_power.mean()) / 4, abs=1e-5)

    normalised, floor = LogMel(VoiceConfig(window_ms=milliseconds, normalise=True))(waveform)
    np.testing.assert_allclose(normalised, (log_power - log_power.mean()) / log_power.std(), atol=2**-10 + 2e-4)
    assert floor == pytest.approx((np.log(1e-7) - log_power.mean()) / log_power.std(), abs=1e-5)


def librosas():
    """Every eighth frame librosa makes of `speech(6.0)`: `released-MS` in decibels, `centred-MS` about the mean."""
    import librosa

    waveform, made = speech(6.0), {}
    usual = {"y": waveform, "sr": SAMPLE_RATE, "hop_length": 160, "n_mels": 64}
    for milliseconds, n_fft in ((25, 512), (100, 2048)):
        length = 16 * milliseconds
        power = librosa.feature.melspectrogram(**usual, n_fft=length, pad_mode="reflect")
        made[f"released-{milliseconds}"] = librosa.power_to_db(power, amin=1e-10, top_db=80)[:, ::8]
        power = librosa.feature.melspectrogram(
            **usual, n_fft=n_fft, win_length=length, pad_mode="constant", htk=True, norm=None
        )
        log_power = np.log(np.maximum(power, 1e-7))
        made[f"centred-{milliseconds}"] = (log_power - log_power.mean())[:, ::8]
    return made


@pytest.mark.parametrize("milliseconds", [25, 100])
def test_log_mels_are_librosas(milliseconds):
    # librosa 0.11.0 made them, by `python tests/data/test_voice.py`: it takes twenty seconds to compile itself.
    with np.load(LIBROSA) as made:
        released, centred = made[f"released-{milliseconds}"], made[f"centred-{milliseconds}"]
    waveform = speech(6.0)
    log_mel, _ = LogMel(RELEASED.model_copy(update={"window_ms": milliseconds}))(waveform)
    np.testing.assert_allclose(log_mel[:, ::8], released, atol=1e-4)
    log_mel, _ = LogMel(VoiceConfig(window_ms=milliseconds))(waveform)
    np.testing.assert_allclose(log_mel[:, ::8], centred / 4, atol=2**-10 + 2e-4)


@pytest.mark.parametrize(("seconds", "milliseconds"), [(5.0, 100), (5.01, 100), (7.3, 100), (12.0, 100), (7.3, 25)])
def test_the_released_front_end_is_the_released_formula(seconds, milliseconds):
    waveform = speech(seconds)
    log_mel, silence = LogMel(RELEASED.model_copy(update={"window_ms": milliseconds}))(waveform)
    expected = decibels_of(waveform, 16 * milliseconds)
    assert log_mel.shape == expected.shape == (64, 1 + len(waveform) // 160)
    assert log_mel.shape[1] > 500
    assert log_mel.dtype == np.float32
    assert silence == 0
    np.testing.assert_allclose(log_mel, expected, atol=1e-4)
    # The cut is reached, at 80 dB below the loudest value, and nothing is normalised: half of the scale is kept.
    assert (expected == expected.max() - 80).any()
    quieter, _ = LogMel(RELEASED.model_copy(update={"window_ms": milliseconds}))(0.5 * waveform)
    np.testing.assert_allclose(log_mel - quieter, 20 * np.log10(2), atol=1e-3)


# A window of 100 ms mirrors 800 samples: clips shorter than that are mirrored more than once.
@pytest.mark.parametrize("samples", [1, 2, 500, 801, 16_000, 64_000, 64_160, 79_839])
def test_the_released_front_end_pads_both_ends_of_a_short_clip_with_zeros(samples):
    waveform = speech(samples / SAMPLE_RATE)
    log_mel, silence = LogMel(RELEASED)(waveform)
    measured = decibels_of(waveform)
    missing = 500 - measured.shape[1]
    each_end = math.floor((missing + 1) / 2)
    assert missing > 0
    assert log_mel.shape == (64, measured.shape[1] + 2 * each_end)
    np.testing.assert_allclose(log_mel[:, each_end:-each_end], measured, atol=1e-3)
    assert not log_mel[:, :each_end].any()
    assert not log_mel[:, -each_end:].any()
    # What follows pads no further, and sees the one or two crops that the released code draws from.
    starts = range(missing % 2 + 1)
    expected = {log_mel[:, start : start + 500].tobytes() for start in starts}
    assert len(expected) == len(starts)
    crops = [crop_voice(log_mel, silence, 500, draw) for draw in np.linspace(0, 0.999, 20)]
    assert {crop.shape for crop in crops} == {(64, 500)}
    assert {crop.tobytes() for crop in crops} == expected
    assert {crop.tobytes() for crop in even_crops(pad_to(log_mel, 500, silence), 500)} == expected


@pytest.mark.parametrize("seconds", [1.0, 6.0])
def test_digital_silence_in_the_released_front_end_is_100_db_below_1(seconds):
    log_mel, silence = LogMel(RELEASED)(np.zeros(round(seconds * SAMPLE_RATE), np.float32))
    measured = 1 + round(100 * seconds)
    before = (log_mel.shape[1] - measured) // 2
    np.testing.assert_allclose(log_mel[:, before : before + measured], -100, atol=1e-4)
    assert np.count_nonzero(log_mel) == 64 * measured
    assert silence == 0


@pytest.mark.parametrize(
    "changes", [{"padding": "floor"}, {"normalise": True}, {"normalise": True, "padding": "floor"}]
)
@pytest.mark.parametrize("front_end", ["centred", "released"])
def test_a_short_clip_is_padded_at_the_floor_and_never_above_its_speech(front_end, changes):
    config = VoiceConfig(front_end=front_end, frames=150, **changes)
    clip = np.concatenate([speech(0.5), np.zeros(8000, np.float32)])
    log_mel, silence = LogMel(config)(clip)
    assert log_mel.shape[1] == 101
    padded = pad_to(log_mel, 150, silence)
    assert padded.shape[1] == 150
    # The floor is what the clip's own digital silence measures; half floats round it.
    np.testing.assert_allclose(padded[:, 60:], np.full((64, 90), silence), atol=2e-3)
    assert padded[:, 101:].max() <= padded.min() + 2e-3 < padded.mean()


def test_normalising_leaves_a_clip_with_mean_0_and_spread_1_whatever_its_level():
    config = RELEASED.model_copy(update={"normalise": True})
    (loud, _), (quiet, _) = (LogMel(config)(level * speech(6.0)) for level in (1.0, 0.25))
    assert loud.mean() == pytest.approx(0, abs=1e-5)
    assert loud.std() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(loud, quiet, atol=1e-3)
    for front_end in ("centred", "released"):
        silent, floor = LogMel(VoiceConfig(front_end=front_end, normalise=True))(np.zeros(8000, np.float32))
        assert not silent.any()
        assert floor == pytest.approx(0, abs=1e-3)


def test_a_decibel_of_tilt_is_a_decibel_in_either_front_end():
    uniforms = torch.full((1, VOICE_UNIFORMS), 0.5)
    uniforms[0, 0], uniforms[0, 2], uniforms[0, 4] = 1, 0, 0
    config = AugmentConfig(tilt_db=6, time_mask=0, band_mask=0)
    flat = torch.zeros(1, 64, 48)
    released = augment_voices(flat, uniforms, config, "released")[0, 0]
    torch.testing.assert_close(released[[0, -1]], torch.tensor([[-6.0], [6.0]]).expand(2, 48))
    # Natural-log power over 4: ten decibels are a factor of ten in power.
    centred = augment_voices(flat, uniforms, config)[0, 0]
    torch.testing.assert_close((4 * centred).exp(), 10 ** (released / 10))


if __name__ == "__main__":
    np.savez_compressed(LIBROSA, **librosas())
