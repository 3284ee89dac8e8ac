"""Videos -> clips and pictures: with a detector that finds bright squares, and once with the real one."""

import os
import re
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image
from scipy import ndimage

from lowshot.checking.run import check_dataset
from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.importers.videos.faces import Box, FrontalFaces, sharpness
from lowshot.importers.videos.run import import_videos
from lowshot.importers.videos.spans import Thresholds

av = pytest.importorskip("av")

WIDTH, HEIGHT, RATE = 320, 240, 8
ASKED = Thresholds(min_face=64, min_seconds=1.5, max_seconds=4.0, faces=3)


class BrightSquares:
    """Takes bright squares for faces."""

    name = "bright squares"

    def __init__(self):
        self.calls = 0

    def __call__(self, grey, smallest):
        self.calls += 1
        labels, _ = ndimage.label(ndimage.median_filter(grey, 3) > 170)
        boxes = [Box(x.start, y.start, x.stop - x.start) for y, x in ndimage.find_objects(labels)]
        return [box for box in boxes if box.side >= smallest]


def square(side, even=False):
    """A bright square, with fine stripes or without any detail but its shade."""
    shade = np.linspace(200, 240, side) + np.zeros((side, side))
    return np.uint8(shade if even else shade - 12 * (np.arange(side)[:, None] // 3 % 2))


def scene(seconds, background, *faces):
    """Pictures of a scene; a face is (square, left, top) and drifts to the right."""
    for number in range(round(seconds * RATE)):
        picture = np.full((HEIGHT, WIDTH, 3), background, np.uint8)
        for face, left, top in faces:
            picture[top : top + len(face), left + number % 5 : left + number % 5 + len(face)] = (
                face[..., None] if face.ndim == 2 else face
            )
        yield picture


def film(path, *scenes, sound=True, level=0.3, sound_codec="aac", picture_codec="mpeg4"):
    """Write scenes to a file. The sound is a tone for each scene: 300 Hz, 600 Hz and so on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream(picture_codec, rate=RATE)
        video.width, video.height, video.pix_fmt, video.bit_rate = WIDTH, HEIGHT, "yuv420p", 4_000_000
        if picture_codec == "libvpx":
            video.options = {"deadline": "realtime", "cpu-used": "8"}
        audio = container.add_stream(sound_codec, rate=48_000, layout="stereo") if sound else None
        tone = []
        for number, pictures in enumerate(scenes, start=1):
            count = 0
            for picture in pictures:
                container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                count += 1
            tone.append(np.sin(2 * np.pi * 300 * number * np.arange(count * 48_000 // RATE) / 48_000))
        container.mux(video.encode(None))
        if audio is not None:
            samples = np.float32(level * np.concatenate(tone))
            frame = av.AudioFrame.from_ndarray(np.stack([samples, samples]), format="fltp", layout="stereo")
            frame.sample_rate = 48_000
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def one_face(seconds=2.5, background=40):
    return scene(seconds, background, (square(90), 100, 60))


def skipped(out):
    return pd.read_csv(out.with_name(f"{out.stem}-skipped.csv"), keep_default_na=False)


def pitch(path):
    samples, rate = soundfile.read(path)
    assert rate == 16_000
    return np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)


def test_a_film_is_cut_into_what_can_be_used_and_the_rest_is_explained(tmp_path):
    film(
        tmp_path / "in" / "talk.mp4",
        one_face(),
        scene(2, (200, 0, 0)),
        scene(2, 30, (square(90), 20, 60), (square(80), 200, 60)),
        scene(2.5, (0, 0, 120), (square(50), 100, 60)),
        scene(1, (0, 90, 0), (square(90), 100, 60)),
        scene(2, (90, 0, 90), (square(90, even=True), 100, 60)),
        one_face(5, (0, 110, 110)),
    )
    out = tmp_path / "out" / "manifest.csv"
    done = import_videos(tmp_path / "in", out, BrightSquares(), ASKED)
    assert (done.files, done.kept, done.videos) == (1, 0, 3)
    assert skipped(out)["reason"].tolist() == ["no-face", "several-faces", "too-small", "too-short", "blurred"]
    assert done.skipped == dict.fromkeys(skipped(out)["reason"], 1)
    dataset = Dataset.open(out)
    # The five seconds of the last scene are more than a span may have.
    assert [round(pitch(dataset.path("voice", k)), -1) for k in range(3)] == [300, 2100, 2100]
    for _, row in dataset.voices.iterrows():
        seconds = float(row["end"]) - float(row["start"])
        assert 1.5 <= seconds <= 4
        assert soundfile.info(dataset.root / row["path"]).duration == pytest.approx(seconds, abs=0.05)
    assert dataset.faces.groupby("video").size().tolist() == [3, 3, 3]
    with Image.open(dataset.path("face", 0)) as face:
        # The square with a margin, not the background alone.
        assert face.size == (126, 126)
        grey = np.asarray(face.convert("L"))
    assert (grey[63, 63] > 150, grey[3, 3] < 60) == (True, True)
    assert set(dataset.manifest["identity"]) == {""}
    assert set(dataset.manifest["source"]) == {"talk.mp4"}
    assert check_dataset(out).faults == {}


@pytest.mark.parametrize(("ending", "picture", "sound"), [("mkv", "mpeg4", "pcm_s16le"), ("webm", "libvpx", "libopus")])
def test_other_containers_are_read_too(tmp_path, ending, picture, sound):
    film(tmp_path / f"a.{ending}", one_face(), sound_codec=sound, picture_codec=picture)
    assert import_videos(tmp_path, tmp_path / "out.csv", BrightSquares(), ASKED).videos == 1
    assert round(pitch(Dataset.open(tmp_path / "out.csv").path("voice", 0)), -1) == 300


def test_files_that_give_nothing_are_named_and_stop_no_other(tmp_path, monkeypatch):
    film(tmp_path / "good.mp4", one_face())
    film(tmp_path / "mute.mp4", one_face(), sound=False)
    film(tmp_path / "silent.mp4", one_face(), level=0.0)
    (tmp_path / "text.mp4").write_text("no film")
    # FFmpeg would read the file that the list names.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile good.mp4\n")
    (tmp_path / "empty.webm").touch()
    film(tmp_path / "cut.mp4", one_face())
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "cut.mp4").read_bytes()[:3000])
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.ones((1, 16_000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
    out = tmp_path / "out.csv"
    assert import_videos(tmp_path, out, BrightSquares(), ASKED).videos == 1
    reasons = skipped(out).set_index("source")["reason"].to_dict()
    assert reasons == {
        "mute.mp4": "no-audio",
        "silent.mp4": "silent",
        "text.mp4": "unreadable",
        "list.mp4": "unreadable",
        "empty.webm": "unreadable",
        "cut.mp4": "unreadable",
        "sound.mkv": "no-picture",
    }


def test_a_stopped_import_goes_on_and_leaves_nothing_half_written(tmp_path):
    for name in ("a", "b"):
        film(tmp_path / "in" / f"{name}.mp4", one_face())
    out = tmp_path / "out" / "manifest.csv"

    class Stopped(BrightSquares):
        def __call__(self, grey, smallest):
            if self.calls == 12:
                raise KeyboardInterrupt
            return super().__call__(grey, smallest)

    with pytest.raises(KeyboardInterrupt):
        import_videos(tmp_path / "in", out, Stopped(), ASKED)
    media = tmp_path / "out" / "manifest-media"
    assert [re.sub("-.*", "", folder.name) for folder in media.iterdir()] == ["a"]
    assert not out.exists()
    detect = BrightSquares()
    done = import_videos(tmp_path / "in", out, detect, ASKED)
    assert (done.kept, done.videos, detect.calls) == (1, 2, 10)
    first = out.read_bytes()
    detect = BrightSquares()
    assert import_videos(tmp_path / "in", out, detect, ASKED).kept == 2
    assert (detect.calls, out.read_bytes()) == (0, first)
    # What was made with other settings is made anew.
    assert import_videos(tmp_path / "in", out, detect, Thresholds(min_face=80, min_seconds=1.5)).kept == 0


NAMES = ['=1+1 "quoted".mp4', "ünïcode 🎬.mp4", "..mp4.mp4", "-.mp4"]
if sys.platform != "win32":
    NAMES += ["new\nline.mp4"]
if sys.platform == "linux":
    NAMES += [os.fsdecode(b"bytes \xff.mp4")]


def test_hostile_names_are_harmless(tmp_path):
    source = film(tmp_path / "one.mp4", one_face(2)).read_bytes()
    for name in NAMES:
        (tmp_path / "in" / "per son").mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / "per son" / name).write_bytes(source)
    if sys.platform != "win32":
        (tmp_path / "in" / "loop").symlink_to(tmp_path / "in", target_is_directory=True)
        (tmp_path / "in" / "loop.mp4").symlink_to(tmp_path / "in" / "loop.mp4")
    out = tmp_path / "out" / "manifest.csv"
    done = import_videos(tmp_path / "in", out, BrightSquares(), ASKED, identity_from="folder")
    assert (done.files, done.videos) == (len(NAMES), len(NAMES))
    dataset = Dataset.open(out)
    assert set(dataset.manifest["identity"]) == {"per son"}
    assert all(re.fullmatch(r"manifest-media/[A-Za-z0-9_-]+/[0-9-]+\.(wav|jpg)", p) for p in dataset.manifest["path"])
    assert all((dataset.root / path).is_file() for path in dataset.manifest["path"])
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir() and path.name != "cwd") == ["in", "out"]


def test_requests_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(RequestError, match="no video file"):
        import_videos(tmp_path, tmp_path / "out.csv", BrightSquares(), ASKED)
    film(tmp_path / "a.mp4", scene(1, 0))
    with pytest.raises(RequestError, match=r"none of 1 files is usable; .*out-skipped\.csv says why"):
        import_videos(tmp_path, tmp_path / "out.csv", BrightSquares(), ASKED)
    (tmp_path / "mine.csv").write_text("precious")
    with pytest.raises(RequestError, match="no import of videos wrote it"):
        import_videos(tmp_path, tmp_path / "mine.csv", BrightSquares(), ASKED)
    assert (tmp_path / "mine.csv").read_text() == "precious"
    with pytest.raises(RequestError, match="at least twice"):
        import_videos(tmp_path, tmp_path / "out.csv", BrightSquares(), Thresholds(min_seconds=3, max_seconds=4))


def test_the_cascade_finds_drawn_faces(tmp_path, world):
    pytest.importorskip("cv2", reason="the extra [video] is not installed")
    drawn = sorted((world / "unzippedFaces").rglob("*.jpg"))[0]
    face = np.asarray(Image.open(drawn).convert("RGB").resize((200, 200), Image.Resampling.BICUBIC))
    film(tmp_path / "a.mp4", scene(2, 128, (face, 50, 20)), scene(2, (0, 60, 0)))
    out = tmp_path / "out.csv"
    done = import_videos(tmp_path, out, FrontalFaces(), Thresholds(min_seconds=1.5, min_sharpness=0))
    assert (done.videos, done.skipped) == (1, {"no-face": 1})
    with Image.open(Dataset.open(out).path("face", 0)) as crop:
        seen = np.asarray(crop.convert("L").resize((64, 64)), dtype=float)
    # The middle of the drawn face is the middle of the cut-out, more or less.
    middle = np.asarray(Image.fromarray(face).convert("L").crop((20, 30, 180, 190)).resize((64, 64)), dtype=float)
    assert np.corrcoef(seen.ravel(), middle.ravel())[0, 1] > 0.5


def test_the_cascade_finds_one_face_in_a_photograph():
    pytest.importorskip("cv2", reason="the extra [video] is not installed")
    data = pytest.importorskip("skimage.data", reason="scikit-image, which has a photograph, is not installed")
    picture = data.astronaut()
    (box,) = FrontalFaces()(np.asarray(Image.fromarray(picture).convert("L")), 48)
    assert (abs(box.left + box.side / 2 - 225) < 10, abs(box.top + box.side / 2 - 114) < 10) == (True, True)
    face = picture[box.top : box.top + box.side, box.left : box.left + box.side]
    blurred = ndimage.gaussian_filter(face, (3, 3, 0))
    assert sharpness(face) > Thresholds().min_sharpness > sharpness(blurred)
