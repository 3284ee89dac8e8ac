"""Sound files of any kind become 16 kHz mono, whole or in part, and those that are none are named."""

import struct
import sys

import numpy as np
import pytest
import soundfile

from lowshot.data import codec, voice
from lowshot.data.dataset import Dataset
from lowshot.data.readers.media import MediaReader
from lowshot.data.voice import SAMPLE_RATE, LogMel, read_clip, read_waveform
from lowshot.errors import RequestError
from lowshot.settings import FaceConfig, VoiceConfig

from .films import KINDS, write_film


def sweep(seconds, rate, first=200.0, last=800.0):
    """A tone that rises: every moment of it sounds different."""
    time = np.arange(round(seconds * rate)) / rate
    phase = first * time + (last - first) * time**2 / (2 * seconds)
    return (0.4 * np.sin(2 * np.pi * phase)).astype(np.float32)


def assert_same(found, expected, atol):
    """Equal but for what a resampler does to the ends."""
    assert abs(len(found) - len(expected)) <= 1
    np.testing.assert_allclose(found[400:-400], expected[400 : len(found) - 400], atol=atol)


@pytest.mark.parametrize(
    ("suffix", "subtype", "atol"),
    [
        ("wav", "PCM_U8", 0.01),
        ("wav", "PCM_16", 1e-4),
        ("wav", "PCM_24", 1e-6),
        ("wav", "PCM_32", 1e-6),
        ("wav", "FLOAT", 1e-6),
        ("wav", "DOUBLE", 1e-6),
        ("wav", "ULAW", 0.02),
        ("flac", "PCM_S8", 0.01),
        ("flac", "PCM_24", 1e-6),
        ("ogg", "VORBIS", 0.05),
        ("mp3", None, 0.05),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_depth_and_number_of_channels(tmp_path, suffix, subtype, atol, channels):
    if suffix == "mp3" and channels == 6:
        pytest.skip("an MP3 has at most two channels")
    clip = sweep(1.0, SAMPLE_RATE)
    # The channels differ, and their mean is the clip.
    spread = np.linspace(-1, 1, channels) if channels > 1 else np.zeros(1)
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, clip[:, None] * (1 + 0.5 * spread), SAMPLE_RATE, subtype=subtype)
    found = read_waveform(path)
    assert found.dtype == np.float32
    assert_same(found, clip, atol)


@pytest.mark.parametrize("rate", [2000, 5512, 8000, 11_025, 16_001, 22_050, 44_056, 44_099, 44_100, 48_000, 192_000])
def test_any_rate(tmp_path, rate):
    path = tmp_path / "a.wav"
    soundfile.write(path, sweep(1.5, rate), rate, subtype="FLOAT")
    found = read_waveform(path)
    assert len(found) == pytest.approx(1.5 * SAMPLE_RATE, rel=3e-4)
    # 16,001 Hz are taken for 16,000, which puts the last sample off by one and a half.
    expected = sweep(1.5, SAMPLE_RATE)[: len(found)]
    np.testing.assert_allclose(found[400:23_000], expected[400:23_000], atol=0.2 if rate == 16_001 else 0.02)


@pytest.mark.parametrize("rate", [0, 999, 1_000_000])
def test_a_rate_of_no_voice_is_named(tmp_path, rate):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(100), SAMPLE_RATE)
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", rate)
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"a\.wav: "):
        read_waveform(path)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 44_099])
def test_a_part_is_that_part_of_the_whole(tmp_path, suffix, rate):
    if suffix == "mp3" and rate == 44_099:
        pytest.skip("an MP3 has one of nine rates")
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, sweep(4.0, rate), rate)
    whole = read_waveform(path)
    # libsndfile is a few milliseconds off in what follows the last page of an OGG.
    last = (1.2, 0.5) if suffix == "ogg" else (3.2, None)
    for start, seconds in ((0.0, 0.5), (0.013, 0.2), (1.0, 1.0), (2.0456, 0.7), last):
        part = read_waveform(path, start, seconds)
        first = round(start * SAMPLE_RATE)
        expected = whole[first:] if seconds is None else whole[first : first + round(seconds * SAMPLE_RATE)]
        assert len(part) == len(expected)
        np.testing.assert_allclose(part, expected, atol=1e-5)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_long_file_is_what_soundfile_reads_at_once(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.stack([sweep(13.0, SAMPLE_RATE), 0.3 * sweep(13.0, SAMPLE_RATE)], axis=1), SAMPLE_RATE)
    expected = soundfile.read(path, dtype="float32")[0].mean(axis=1)
    assert len(expected) > 3 * codec.BLOCK
    assert np.array_equal(read_waveform(path), expected)


def test_no_more_is_decoded_than_was_asked_for(tmp_path, monkeypatch):
    path = tmp_path / "long.flac"
    soundfile.write(path, np.tile(sweep(1.0, 44_100), 30), 44_100)
    decoded = []
    plain = soundfile.SoundFile.read

    def counted(self, *args, **kwargs):
        found = plain(self, *args, **kwargs)
        decoded.append(len(found))
        return found

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    assert len(read_waveform(path, 14.0, 1.0)) == SAMPLE_RATE
    assert 44_100 <= sum(decoded) < 1.1 * 44_100


def test_of_a_long_clip_the_middle_is_read_and_of_others_all(tmp_path):
    path = tmp_path / "a.wav"
    clip = sweep(6.0, SAMPLE_RATE)
    soundfile.write(path, clip, SAMPLE_RATE, subtype="FLOAT")
    assert np.array_equal(read_clip(path, VoiceConfig()), clip)
    assert np.array_equal(read_clip(path, VoiceConfig(max_seconds=6)), clip)
    assert np.array_equal(read_clip(path, VoiceConfig(max_seconds=2)), clip[32_000:64_000])
    # A crop of 3 s fits in any case.
    assert np.array_equal(read_clip(path, VoiceConfig(max_seconds=2, frames=300)), clip[24_000:72_000])


def test_a_reader_keeps_no_more_of_a_clip_than_the_settings_say(tmp_path):
    soundfile.write(tmp_path / "a.wav", sweep(6.0, SAMPLE_RATE), SAMPLE_RATE)
    (tmp_path / "manifest.csv").write_text(
        "path,modality,video,identity,split\na.wav,voice,v,,\na.png,face,v,,\n", encoding="utf-8"
    )
    config = VoiceConfig(max_seconds=2)
    log_mel, silence = MediaReader(Dataset.open(tmp_path), config, FaceConfig()).voice(0)
    expected = LogMel(config)(read_waveform(tmp_path / "a.wav", 2.0, 2.0))
    assert np.array_equal(log_mel, expected[0])
    assert silence == expected[1]
    assert log_mel.shape == (64, 201)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3"])
def test_a_file_that_was_cut_off_is_named(tmp_path, name):
    path = tmp_path / name
    soundfile.write(path, sweep(3.0, SAMPLE_RATE), SAMPLE_RATE)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(RequestError, match=rf"a\.{name[2:]}: .*truncated"):
        read_waveform(path)


def test_a_wav_of_unknown_length_is_read_to_its_end(tmp_path):
    path = tmp_path / "piped.wav"
    soundfile.write(path, sweep(1.0, SAMPLE_RATE), SAMPLE_RATE)
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4
    path.write_bytes(content)
    assert len(read_waveform(path)) == SAMPLE_RATE


def test_a_flac_of_unknown_length_is_named(tmp_path):
    path = tmp_path / "piped.flac"
    soundfile.write(path, sweep(1.0, SAMPLE_RATE), SAMPLE_RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"piped\.flac: .*does not tell its length"):
        read_waveform(path)


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("text.wav", b"not sound at all, but text " * 40, "unknown format"),
        ("text.mp3", b"not sound at all, but text " * 40, "unknown format"),
        ("text.raw", b"1234" * 40, "without a header"),
        ("empty.wav", b"", "the file is empty"),
        ("empty.m4a", b"", "the file is empty"),
        (
            "head.wav",
            b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80>\0\0\0}\0\0\2\0\x10\0data\0\0\0\0",
            "holds no samples",
        ),
        (
            "cut.wav",
            b"RIFF$}\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80>\0\0\0}\0\0\2\0\x10\0data\0}\0\0",
            "it is truncated: 0.0 of",
        ),
    ],
)
def test_what_is_no_sound_is_named_on_one_line(tmp_path, name, content, fault):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError) as caught:
        read_waveform(tmp_path / name)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / name}: ")
    assert fault in message
    assert "\n" not in message


def test_folders_and_missing_files_are_named(tmp_path):
    with pytest.raises(RequestError, match=r"cannot be read as audio .it is a folder"):
        read_waveform(tmp_path)
    with pytest.raises(RequestError, match=r"none\.wav: cannot be read as audio .no such file"):
        read_waveform(tmp_path / "none.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_samples_that_are_not_finite_are_named(tmp_path, value, rate):
    clip = np.tile(np.array([0.1, -0.1], np.float32), 500)
    clip[400:403] = value
    soundfile.write(tmp_path / "a.wav", np.stack([clip, clip], axis=1), rate, subtype="FLOAT")
    with pytest.raises(RequestError, match=r"a\.wav: holds samples that are not finite"):
        read_waveform(tmp_path / "a.wav")


def test_without_pyav_an_m4a_is_answered_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.delitem(sys.modules, "lowshot.data.film", raising=False)
    for name in ("a.M4A", "a.webm"):
        (tmp_path / name).write_bytes(b"\0\0\0 ftypM4A " + bytes(100))
        with pytest.raises(RequestError, match=rf'{name}: .* pip install "lowshot\[codec\]"$'):
            read_waveform(tmp_path / name)
    (tmp_path / "text.wav").write_bytes(b"text " * 30)
    with pytest.raises(RequestError, match=r"text\.wav: .*unknown format"):
        read_waveform(tmp_path / "text.wav")


class TestFilms:
    """What PyAV reads."""

    @pytest.fixture(autouse=True)
    def _codec(self):
        pytest.importorskip("av")

    @pytest.mark.parametrize("kind", KINDS)
    def test_its_sound_is_what_was_written(self, tmp_path, kind):
        rate = KINDS[kind][2]
        clip = sweep(3.0, rate)
        path = tmp_path / f"a.{kind}"
        write_film(path, np.stack([1.5 * clip, 0.5 * clip]))
        found = read_waveform(path)
        # Encoders fill their last frame. A bare AAC, and an MKV of an older FFmpeg, do not say that 1024 samples
        # are the encoder's.
        late = round(1024 * SAMPLE_RATE / rate) if kind == "aac" or len(found) > 3 * SAMPLE_RATE + 600 else 0
        assert 0 <= len(found) - late - 3 * SAMPLE_RATE < 600
        sounds, expected = found[late + 2000 : late + 40_000], sweep(3.0, SAMPLE_RATE)[2000:40_000]
        # The codecs change the wave a little; a shift of one sample would lower this to 0.98.
        assert np.corrcoef(sounds, expected)[0, 1] > 0.99
        assert sounds.std() == pytest.approx(expected.std(), rel=0.03)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_part_is_that_part_of_the_whole(self, tmp_path, kind, monkeypatch):
        rate = KINDS[kind][2]
        path = tmp_path / f"a.{kind}"
        write_film(path, np.stack([sweep(12.0, rate)]))
        whole = read_waveform(path)
        from lowshot.data import film

        decoded = []
        plain = film._mono
        monkeypatch.setattr(film, "_mono", lambda frame: decoded.append(frame.samples) or plain(frame))
        for start in (0.0, 0.4, 7.8, 10.0):
            decoded.clear()
            part = read_waveform(path, start, 1.5)
            assert len(part) == 24_000
            assert 1.4 * rate < sum(decoded) < 8 * rate
            # WebM and MKV count in milliseconds, of which resampling makes parts of a sample.
            first = round(start * SAMPLE_RATE)
            if kind not in {"webm", "mkv"} or not start:
                np.testing.assert_allclose(part, whole[first : first + 24_000], atol=2e-3)
            else:
                around = whole[first - 20 : first + 24_020]
                assert max(np.corrcoef(part, around[off:][:24_000])[0, 1] for off in range(41)) > 0.995

    def test_a_long_one_is_read_in_the_middle(self, tmp_path):
        for kind in ("m4a", "webm", "aac"):
            path = tmp_path / f"a.{kind}"
            write_film(path, np.stack([sweep(9.0, KINDS[kind][2])]))
            middle = read_clip(path, VoiceConfig(max_seconds=3))
            assert len(middle) == 48_000
            # 400 to 600 Hz of 200 to 800.
            rises = np.flatnonzero((middle[:-1] < 0) & (middle[1:] >= 0))
            assert len(rises) == pytest.approx(1500, abs=25)

    def test_the_name_does_not_matter(self, tmp_path):
        for kind, name in (("m4a", "a.wav"), ("m4a", "a.mp3"), ("webm", "a")):
            write_film(tmp_path / f"b.{kind}", np.stack([sweep(1.0, KINDS[kind][2])]))
            (tmp_path / f"b.{kind}").rename(tmp_path / name)
            assert len(read_waveform(tmp_path / name)) == pytest.approx(SAMPLE_RATE, abs=1024)

    def test_a_film_gives_its_sound_and_one_without_is_named(self, tmp_path):
        pictures = [np.full((32, 32, 3), 40 * i, np.uint8) for i in range(5)]
        write_film(tmp_path / "a.mp4", np.stack([sweep(1.0, 48_000)]), 48_000, pictures)
        assert len(read_waveform(tmp_path / "a.mp4")) == pytest.approx(SAMPLE_RATE, abs=1024)
        write_film(tmp_path / "silent.mp4", None, pictures=pictures)
        with pytest.raises(RequestError, match=r"silent\.mp4: .*it has no sound"):
            read_waveform(tmp_path / "silent.mp4")

    def test_a_truncated_one_is_named(self, tmp_path):
        # MOV with its index in front, as phones write it for the web; behind, and half a file is none.
        write_film(tmp_path / "a.mov", np.stack([sweep(3.0, 22_050)]))
        content = (tmp_path / "a.mov").read_bytes()
        (tmp_path / "a.mov").write_bytes(content[: len(content) // 2])
        with pytest.raises(RequestError, match=r"a\.mov: cannot be read as audio"):
            read_waveform(tmp_path / "a.mov")
        with pytest.raises(ValueError, match=r"it is truncated: 1\.0 of 3\.0 s are there"):
            codec.check_whole(16_000, 48_000, SAMPLE_RATE)

    def test_a_playlist_is_not_followed(self, tmp_path):
        write_film(tmp_path / "secret.aac", np.stack([sweep(1.0, 44_100)]))
        for name in ("list.m4a", "list.ts"):
            (tmp_path / name).write_text(
                f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path / 'secret.aac'}\n#EXT-X-ENDLIST\n",
                encoding="utf-8",
            )
            with pytest.raises(RequestError, match=r"list\.\w+: cannot be read as audio"):
                read_waveform(tmp_path / name)


def test_what_voice_says_of_rates_holds():
    for rate in range(2000, 768_000, 3989):
        given, made = voice._ratio(rate)
        assert given / made == pytest.approx(rate / SAMPLE_RATE, rel=3e-4)
        assert given * made <= voice._LARGEST_KERNEL
