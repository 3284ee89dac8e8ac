"""Synthesise speech-like clips: a glottal source and noise through moving formants, then a channel.

The latents of `lowshot.synthetic.world` set what shared causes can explain (pitch, tract length, breath,
roughness, rate, range) and the accent; a speaker's private traits (upper formants, own vowels, rhythm) tell voices
apart beyond them. Gender, nationality and age reach a voice through its latents only: that keeps the oracle exact.
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft

from lowshot.synthetic.world import VOICE, bounded

HOP_SECONDS = 0.010
FORMANTS = 5
TABLE = 4096

# Mean formants of an adult man in hertz, by vowel, after Peterson and Barney (1952): heed, hid, (h)ey, had, hod, hawed,
# hood, who'd, hud, heard.
VOWELS = np.array(
    [
        [270, 2290, 3010],
        [390, 1990, 2550],
        [480, 2090, 2600],
        [660, 1720, 2410],
        [730, 1090, 2440],
        [570, 840, 2410],
        [440, 1020, 2240],
        [300, 870, 2240],
        [640, 1190, 2390],
        [490, 1350, 1690],
    ],
    dtype=float,
)
_LOW, _BACK, _RHOTIC = np.array([3, 4, 5, 8]), np.array([4, 5, 6, 7]), np.array([9])
_UPPER_FORMANTS = (3400.0, 4350.0)
_FRICATIVES = np.array([[6000.0, 1800.0, 1.0], [3200.0, 1500.0, 1.0], [5000.0, 5000.0, 0.35]])
"""Centre and bandwidth in hertz, relative amplitude: as in see, she, fee."""


@dataclass(frozen=True)
class VoiceTraits:
    """Traits of one speaker's voice, in acoustic units.

    Args:
        pitch: Median fundamental frequency in hertz.
        tract: Factor on all formants (1 = the mean of a man and a woman).
        breath: Aspiration noise against the pulses, amplitude ratio.
        tilt: Source roll-off beyond the Rosenberg pulse, exponent of the harmonic number.
        jitter: Relative spread of the period from cycle to cycle.
        shimmer: Relative spread of the amplitude from cycle to cycle.
        subharmonic: Share by which every second cycle is weaker.
        rate: Syllables a second.
        pitch_range: Standard deviation of the pitch contour in semitones.
        vowels: The speaker's own formants, [10, 3], hertz, before `tract`.
        upper: Fourth and fifth formant in hertz, before `tract`.
        bandwidth: Factor on the formant bandwidths.
        fricative: Factor on the fricative frequencies.
        rhythm: Spread of syllable lengths, log units.
        accent_rise: Semitones of the pitch movement on a stressed syllable.
    """

    pitch: float
    tract: float
    breath: float
    tilt: float
    jitter: float
    shimmer: float
    subharmonic: float
    rate: float
    pitch_range: float
    vowels: np.ndarray
    upper: np.ndarray
    bandwidth: float
    fricative: float
    rhythm: float
    accent_rise: float


def voice_traits(latent: np.ndarray, rng: np.random.Generator) -> VoiceTraits:
    """Turn a speaker's latents into traits of the voice; traits that they leave open are private.

    Args:
        latent: Voice latents of one identity, [8], in the order of `world.VOICE`.
        rng: The identity's own stream.

    Returns:
        The traits, the same for all of the identity's clips.
    """
    z = {name: bounded(value) for name, value in zip(VOICE, latent, strict=True)}
    vowels = VOWELS * np.exp(rng.normal(0, 0.025, VOWELS.shape))
    # Accent a fronts the back vowels, raises the low ones and drops rhoticity; accent b shrinks the vowel space.
    vowels[_BACK, 1] *= np.exp(0.055 * z["accent_a"])
    vowels[_LOW, 0] *= np.exp(-0.045 * z["accent_a"])
    vowels[_RHOTIC, 2] *= np.exp(0.07 * z["accent_a"])
    centre = np.exp(np.log(vowels).mean(axis=0))
    vowels = centre * (vowels / centre) ** (1 - 0.07 * z["accent_b"])
    vowels[:, 2] *= np.exp(-0.025 * z["accent_b"])
    return VoiceTraits(
        pitch=155 * float(np.exp(0.15 * z["pitch"])),
        tract=1.08 * float(np.exp(0.06 * z["formants"])),
        breath=0.05 * float(np.exp(0.95 * z["breath"])),
        tilt=0.15 + 0.12 * z["breath"] + float(rng.normal(0, 0.08)),
        jitter=0.010 * float(np.exp(0.80 * z["roughness"])),
        shimmer=0.07 * float(np.exp(0.65 * z["roughness"])),
        subharmonic=0.40 / (1 + float(np.exp(-1.5 * (z["roughness"] - 1.0)))),
        rate=4.4 * float(np.exp(0.24 * z["rate"])),
        pitch_range=1.8 * float(np.exp(0.50 * z["range"])),
        vowels=vowels,
        upper=np.array(_UPPER_FORMANTS) * np.exp(rng.normal(0, 0.04, 2)),
        bandwidth=float(np.exp(rng.normal(0, 0.2))),
        fricative=float(np.exp(rng.normal(0, 0.08))),
        rhythm=0.30 * float(np.exp(-0.15 * z["accent_b"] + rng.normal(0, 0.15))),
        accent_rise=float(rng.normal(1.5, 0.8)),
    )


@dataclass(frozen=True)
class _Script:
    """Sounds of a clip, one value per frame: formants [F, 5] in hertz, levels [F], pitch [F] in hertz."""

    formants: np.ndarray
    voicing: np.ndarray
    frication: np.ndarray
    fricative: np.ndarray
    pitch: np.ndarray


def _smooth(track: np.ndarray, frames: float) -> np.ndarray:
    """Smooth over time (axis 0) by a Gaussian with a spread of `frames`: coarticulation."""
    reach = int(3 * frames) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / frames) ** 2)
    kernel /= kernel.sum()
    columns = np.pad(track.reshape(len(track), -1), ((reach, reach), (0, 0)), mode="edge").T
    return np.array([np.convolve(column, kernel, "valid") for column in columns]).T.reshape(track.shape)


def _speak(traits: VoiceTraits, frames: int, rng: np.random.Generator) -> _Script:
    """Sample syllables until the clip is full: consonant, vowel, and a pause after each phrase."""
    per_frame = HOP_SECONDS
    rate = traits.rate * float(np.exp(rng.normal(0, 0.08)))
    formants = np.zeros((frames, FORMANTS))
    voicing, frication, accents = np.zeros(frames), np.zeros(frames), np.zeros(frames)
    fricative = np.tile(_FRICATIVES[0, :2], (frames, 1))
    declination = np.zeros(frames)
    neutral = np.concatenate([[500.0, 1500.0, 2500.0], traits.upper])
    formants[:] = neutral
    at, phrase_start = int(rng.integers(2, 12)), 0
    syllables_left = int(rng.integers(3, 9))
    while at < frames:
        length = (1 / rate) * float(np.exp(rng.normal(0, traits.rhythm)))
        onset = rng.choice(5, p=[0.24, 0.26, 0.16, 0.20, 0.14])
        vowel = np.concatenate([traits.vowels[rng.integers(len(traits.vowels))], traits.upper])
        stressed = rng.random() < 0.4
        consonant = 0
        if onset == 0:  # fricative
            consonant = max(3, int(0.34 * length / per_frame))
            kind = _FRICATIVES[rng.integers(len(_FRICATIVES))]
            frication[at : at + consonant] = 0.16 * kind[2] * rng.uniform(0.7, 1.3)
            fricative[at : at + consonant] = kind[:2]
        elif onset == 1:  # stop: closure, then a burst
            consonant = max(4, int(0.26 * length / per_frame))
            burst = at + consonant - 2
            frication[burst : burst + 2] = 0.25
            fricative[burst : burst + 2] = [rng.uniform(1500, 4500), 2500]
        elif onset == 2:  # nasal: low first formant, weaker
            consonant = max(3, int(0.28 * length / per_frame))
            formants[at : at + consonant] = [270, 1200, 2300, *traits.upper]
            voicing[at : at + consonant] = 0.35
        elif onset == 3:  # liquid or glide
            consonant = max(3, int(0.22 * length / per_frame))
            formants[at : at + consonant] = [330, rng.choice([750.0, 1300.0, 2150.0]), 2400, *traits.upper]
            voicing[at : at + consonant] = 0.55
        at += consonant
        nucleus = max(4, int((1.25 if stressed else 0.8) * length / per_frame) - consonant)
        formants[at : at + nucleus] = vowel
        voicing[at : at + nucleus] = rng.uniform(0.8, 1.0) * (1.0 if stressed else 0.75)
        accents[at : at + nucleus] = traits.accent_rise * stressed + rng.normal(0, 0.5) * traits.pitch_range
        at += nucleus
        syllables_left -= 1
        if syllables_left == 0 or at >= frames:
            end = min(at, frames)
            declination[phrase_start:end] = np.linspace(1.0, -1.4, end - phrase_start)
            at += int(rng.uniform(0.12, 0.4) / per_frame)
            phrase_start, syllables_left = end, int(rng.integers(3, 9))
    state = rng.normal(0, 0.6)  # the speaker is livelier or calmer in this video
    semitones = state + traits.pitch_range * declination + _smooth(accents, 5)
    return _Script(
        formants=_smooth(formants, 2.2) * traits.tract * np.exp(0.008 * state),
        voicing=_smooth(voicing, 1.2),
        frication=frication,
        fricative=fricative * traits.fricative * np.sqrt(traits.tract),
        pitch=traits.pitch * 2 ** (semitones / 12),
    )


def _glottal_table(traits: VoiceTraits, harmonics: int) -> np.ndarray:
    """Return one cycle of the differentiated glottal flow, [TABLE], unit power, without aliasing harmonics."""
    phase = np.arange(TABLE) / TABLE
    opening, closing = 0.45, 0.20
    flow = np.where(
        phase < opening,
        0.5 * (1 - np.cos(np.pi * phase / opening)),
        np.where(phase < opening + closing, np.cos(0.5 * np.pi * (phase - opening) / closing), 0.0),
    )  # Rosenberg (1971), shape C
    spectrum = fft.rfft(flow)
    k = np.arange(len(spectrum))
    spectrum = spectrum * 1j * k / np.maximum(k, 1) ** max(traits.tilt, 0.0)
    spectrum[harmonics + 1 :] = 0
    table = fft.irfft(spectrum)
    return (table / np.sqrt(np.mean(table**2))).astype(np.float32)


def _source(
    traits: VoiceTraits, script: _Script, samples: int, rate: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return voiced excitation and frication noise, [samples] each."""
    hop = round(HOP_SECONDS * rate)
    time = np.arange(samples, dtype=np.float32) / hop
    frames = np.arange(len(script.pitch), dtype=np.float32)
    pitch = np.interp(time, frames, script.pitch)
    cycle = np.cumsum(pitch / rate).astype(np.int64)
    cycles = int(cycle[-1]) + 2
    pitch *= 1 + traits.jitter * rng.standard_normal(cycles)[cycle]
    phase = np.cumsum(pitch / rate)
    cycle = phase.astype(np.int64)
    per_cycle = 1 + traits.shimmer * rng.standard_normal(cycles + cycles // 4 + 8)
    per_cycle[1::2] *= 1 - traits.subharmonic
    harmonics = max(8, int(0.47 * rate / np.percentile(script.pitch, 90)))
    table = _glottal_table(traits, harmonics)
    fraction = phase - cycle
    pulses = table[(fraction * TABLE).astype(np.int64) % TABLE] * per_cycle[cycle]
    noise = rng.standard_normal(samples, dtype=np.float32)
    level = np.interp(time, frames, script.voicing)
    # Breath is strongest while the glottis is open: the first two thirds of a cycle.
    voiced = level * (pulses + traits.breath * noise * (0.6 + 0.8 * (fraction < 0.65)))
    return voiced, np.interp(time, frames, script.frication) * rng.standard_normal(samples, dtype=np.float32)


def _resonator(frequency: np.ndarray, bandwidth: np.ndarray, rate: int) -> np.ndarray:
    """Return denominators 1 + c1 z^-1 + c2 z^-2 of two-pole resonators, [..., 3]."""
    radius = np.exp(-np.pi * bandwidth / rate)
    angle = 2 * np.pi * np.minimum(frequency, 0.48 * rate) / rate
    return np.stack([np.ones_like(radius), -2 * radius * np.cos(angle), radius**2], axis=-1)


def _tract(formants: np.ndarray, factor: float, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all-pole filters of frames: denominators [F, 2 * FORMANTS + 1] and gains [F] (unity at zero hertz)."""
    bandwidths = factor * (45 + 0.035 * formants)
    poly = np.ones((len(formants), 1))
    for k in range(formants.shape[1]):
        section = _resonator(formants[:, k], bandwidths[:, k], rate)
        longer = np.zeros((len(poly), poly.shape[1] + 2))
        for lag in range(3):
            longer[:, lag : lag + poly.shape[1]] += section[:, lag : lag + 1] * poly
        poly = longer
    return poly, poly.sum(axis=1)


def _filter_frames(voiced: np.ndarray, hiss: np.ndarray, script: _Script, traits: VoiceTraits, rate: int) -> np.ndarray:
    """Shape both excitations frame by frame in the frequency domain and overlap-add."""
    hop = round(HOP_SECONDS * rate)
    size = 4 * hop  # a window of 2 hops, and 2 hops for the filters to ring out
    frames = len(script.pitch)
    window = (0.5 - 0.5 * np.cos(np.pi * np.arange(2 * hop) / hop)).astype(np.float32)
    starts = np.arange(frames)[:, None] * hop + np.arange(2 * hop)

    def spectrum(x: np.ndarray) -> np.ndarray:
        return fft.rfft(np.pad(x, (hop, 2 * hop)).astype(np.float32)[starts] * window, size, axis=1)

    poly, gain = _tract(script.formants, traits.bandwidth, rate)
    out = spectrum(voiced) * (gain[:, None].astype(np.float32) / fft.rfft(poly.astype(np.float32), size, axis=1))
    noisy = script.frication > 0
    if noisy.any():
        centre = script.fricative[noisy]
        peak = _resonator(centre[:, 0], centre[:, 1], rate)
        # Scaled so that the noise keeps about its power whatever the width of its band.
        scale = np.sqrt(np.minimum(centre[:, 1] / rate, 0.5))[:, None]
        shaped = scale / fft.rfft(peak.astype(np.float32), size, axis=1)
        out[noisy] += spectrum(hiss)[noisy] * shaped.astype(np.complex64)
    pieces = fft.irfft(out, size, axis=1).reshape(frames, 4, hop)
    track = np.zeros((frames + 3, hop), dtype=np.float32)
    for lag in range(4):
        track[lag : lag + frames] += pieces[:, lag]
    return track.ravel()[hop : hop * (frames + 1)]


def _norm(x: np.ndarray) -> np.float32:
    """Compute the Euclidean norm by NumPy's summation; BLAS would depend on the number of threads."""
    return np.float32(np.sqrt(np.sum(x.real**2 + x.imag**2)))


def _record(speech: np.ndarray, rate: int, snr_db: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Apply room, coloured noise and microphone of one video in one pass over the clip's spectrum."""
    tail = int(rng.uniform(0.1, 0.45) * rate)
    size = fft.next_fast_len(len(speech) + tail, real=True)
    room = rng.standard_normal(tail, dtype=np.float32)
    room *= np.exp(np.linspace(0, -6.9, tail, dtype=np.float32))  # 60 dB down at its end
    room *= np.float32(10 ** (-rng.uniform(3, 20) / 20)) / _norm(room)
    room[0] = 1
    spectrum = fft.rfft(speech, size) * fft.rfft(room, size)
    noise = fft.rfft(rng.standard_normal(size, dtype=np.float32))
    # All curves are smooth: a few frequencies and interpolation suffice.
    frequency = np.geomspace(30, rate / 2, 256)
    octaves = np.log2(frequency / 1000)
    colour = frequency ** rng.uniform(-1.0, -0.2)
    decibels = rng.normal(0, 1.5) * octaves
    for k in (1, 2, 3):
        decibels += rng.normal(0, 1.5) * np.cos(np.pi * k * octaves / 4 + rng.uniform(0, 2 * np.pi))
    response = 10 ** (decibels / 20) / np.sqrt(1 + (rng.uniform(50, 250) / frequency) ** 4)
    if rng.random() < 0.3:  # a telephone or an old recording
        response /= np.sqrt(1 + (frequency / rng.uniform(3400, 6500)) ** 12)
    bins = np.arange(len(spectrum)) * (rate / size)
    noise *= np.interp(bins, frequency, colour).astype(np.float32)
    level = _norm(spectrum) / _norm(noise) * np.float32(10 ** (-rng.uniform(*snr_db) / 20))
    spectrum = (spectrum + level * noise) * np.interp(bins, frequency, response).astype(np.float32)
    return fft.irfft(spectrum, size)[: len(speech)]


def synthesise(
    traits: VoiceTraits,
    rng: np.random.Generator,
    *,
    seconds: tuple[float, float] = (2.0, 3.5),
    snr_db: tuple[float, float] = (8.0, 35.0),
    sample_rate: int = 16000,
) -> np.ndarray:
    """Synthesise a clip of a speaker: random words in a random room through a random channel.

    Args:
        traits: The speaker.
        rng: The video's own stream.
        seconds: Shortest and longest clip.
        snr_db: Least and greatest signal-to-noise ratio.
        sample_rate: Samples a second.

    Returns:
        int16 samples, [n].
    """
    hop = round(HOP_SECONDS * sample_rate)
    frames = int(rng.uniform(*seconds) / HOP_SECONDS)
    samples = frames * hop
    script = _speak(traits, frames, rng)
    voiced, hiss = _source(traits, script, samples, sample_rate, rng)
    speech = _filter_frames(voiced, hiss, script, traits, sample_rate)
    clip = _record(speech, sample_rate, snr_db, rng)
    loudness = 10 ** (rng.uniform(-30, -18) / 20)
    clip = clip * (loudness / np.sqrt(np.mean(clip**2)))
    # Louder peaks bend smoothly instead of clipping hard.
    return np.round(32000 * np.tanh(clip)).astype(np.int16)
