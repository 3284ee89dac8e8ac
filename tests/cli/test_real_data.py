"""What people have on disk, from import to figures: VoxCeleb1 with its published lists, real speech, M4A and MP4."""

import csv
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from lowshot.data.manifest import read_manifest

from ..data.films import KINDS, write_film

REFERENCE = Path(os.environ.get("LOWSHOT_REFERENCE", Path(__file__).parents[3] / "shared" / "reference"))
LISTS, SPEECH = REFERENCE / "voxceleb1", REFERENCE / "librispeech"
SHORT = ("--set", "train.epochs=1")
RATE = 16_000


def sound(person: str, number: int, seconds: float = 0.7) -> np.ndarray:
    """A voice that nobody has: a tone of the person's, and noise of the clip's."""
    pitch = 100 + 3 * (sum(person.encode()) % 100)
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng([sum(person.encode()), number]).standard_normal(len(time))
    return (0.3 * np.sin(2 * np.pi * pitch * time) + 0.03 * noise).astype(np.float32)


def picture(path: Path, person: str, number: int) -> None:
    """A face that nobody has: a colour of the person's, and noise of the image's."""
    colour = np.random.default_rng(list(person.encode())).integers(60, 190, 3)
    noise = np.random.default_rng([*person.encode(), number]).integers(-60, 60, (48, 48, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((colour + noise).astype(np.uint8)).save(path)


def plant(root: Path, names: Iterable[str]) -> None:
    """Write media of these names, each of other content; the name of the second folder is the person's."""
    for number, name in enumerate(sorted(set(names))):
        path = root / name
        if path.suffix == ".jpg":
            picture(path, Path(name).parts[1], number)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound(Path(name).parts[1], number), RATE)


def _of(items: Path, folder: str) -> list[str]:
    """The files of a retrieval list, as they lie on the disk."""
    return [f"{folder}/{name}" for name in pd.read_csv(items, sep="\t").iloc[:, 1]]


class Published:
    """A part of VoxCeleb1's published lists and the files that it names, written as a tree.

    Attributes:
        lists: the published files, whole.
        wanted: rows of each whose media are in the tree, by the list's name.
    """

    def __init__(self, root: Path) -> None:
        meta = pd.read_csv(LISTS / "vox1_meta.csv", sep="\t")
        number = dict(zip(meta["VGGFace1 ID"], meta["VoxCeleb1 ID"], strict=True))
        name = {one: other for other, one in number.items()}
        splits = [line.split() for line in (LISTS / "identity_splits.txt").read_text().splitlines() if line.strip()]
        people = {code: [who for who, k in splits if k == code] for code in "12"}

        def voice(path: str) -> str:
            """`Name/video_00clip.wav`, the older naming, as the file lies on the disk."""
            who, clip = path.split("/")
            return f"wav/{number[who]}/{clip[:11]}/{clip[14:19]}.wav"

        pairs = LISTS / "verification" / "veriflist_test_random_unseenunheard.txt"
        choices = LISTS / "matching" / "matching_v2f_U.csv"
        voices, faces = LISTS / "retrieval" / "wav_20k.csv", LISTS / "retrieval" / "jpg_20k.csv"
        self.lists = [pairs, choices, voices, faces]
        with pairs.open(newline="") as file:
            rows = list(csv.DictReader(file))
        listed = [
            {voice(row["voice-path"]), "unzippedFaces/" + row["face-path"].replace("/", "/1.6/", 1)} for row in rows
        ]
        # An odd step: genuine pairs and impostors alternate.
        kept = listed[::701]
        ranked = [
            {f"wav/{probe}", *(f"unzippedFaces/{face}" for face in candidates)}
            for probe, *candidates in (line.split(" ") for line in choices.read_text().splitlines())
        ]
        kept += ranked[::400]
        items = {
            path: pd.read_csv(path, sep="\t").groupby("VoxCeleb1 ID").head(3).head(24).iloc[:, 1]
            for path in (voices, faces)
        }
        kept += [{f"wav/{item}" for item in items[voices]}, {f"unzippedFaces/{item}" for item in items[faces]}]
        there = set().union(*kept)
        heard = [Path(name).parts[1:3] for name in _of(voices, "wav") if name in there]
        seen = [
            (number[Path(name).parts[1]], Path(name).parts[3]) for name in _of(faces, "unzippedFaces") if name in there
        ]
        self.wanted = {
            "verification": sum(media <= there for media in listed),
            "matching": sum(media <= there for media in ranked),
            # A query has something to find if its person is seen in another video: its own is not ranked.
            "retrieval": sum(any(who == one and video != own for one, video in seen) for who, own in heard),
        }
        for code, count in (("1", 8), ("2", 3)):
            for who in people[code][:count]:
                for video in range(3):
                    there |= {f"wav/{number[who]}/trainvideo{video}/00001.wav"}
                    there |= {f"unzippedFaces/{who}/1.6/trainvideo{video}/000002{k}.jpg" for k in (0, 5)}
        # A video has both: what a list names one modality of gets the other.
        for path in sorted(there):
            kind, who, *_, video, _ = Path(path).parts
            if kind == "wav":
                there.add(f"unzippedFaces/{name[who]}/1.6/{video}/0000000.jpg")
            else:
                there.add(f"wav/{number[who]}/{video}/00099.wav")
        plant(root, there)
        self.files = len(there)


@pytest.mark.skipif(not LISTS.is_dir(), reason="the published lists are not here")
def test_a_voxceleb1_tree_is_scored_by_the_published_lists_cut_to_it(lowshot, sets, tmp_path):
    published = Published(tmp_path)
    code, _, err = lowshot(
        *("data", "import", "voxceleb1", "--faces", tmp_path / "unzippedFaces", "--voices", tmp_path / "wav"),
        *("--meta", LISTS / "vox1_meta.csv", "--splits", LISTS / "identity_splits.txt"),
        *("--out", tmp_path / "manifest.csv"),
    )
    assert code == 0, err
    table = read_manifest(tmp_path / "manifest.csv")
    assert len(table) == published.files
    assert table.groupby("split")["identity"].nunique().to_dict().keys() == {"train", "val", "test"}
    assert lowshot("data", "check", tmp_path / "manifest.csv")[0] == 0
    assert lowshot("data", "pack", tmp_path / "manifest.csv", "--out", "packed", "--jobs", 1, *sets)[0] == 0
    assert lowshot("pretrain", *sets, *SHORT, "--data", "packed", "--out", "run")[0] == 0
    lists = [word for path in published.lists for word in ("--trials", path)]
    measure = ("evaluate", "--model", "run", *lists, "--meta", LISTS / "vox1_meta.csv", "--json")
    code, _, err = lowshot(*measure, "--out", "refused")
    assert code == 2
    assert "--skip-missing" in err
    assert not Path("refused").exists()
    code, out, err = lowshot(*measure, "--skip-missing", "--out", "figures")
    assert code == 0, err
    rows = [row for row in json.loads(out) if row["method"] == "cmpc" and not row["group"]]
    counts = {row["protocol"]: row["n_trials"] for row in rows if row["direction"] in {"", "both", "voice_to_face"}}
    assert counts == published.wanted
    assert {row["seen"] for row in rows} == {"unseen-unheard"}
    assert Path("figures/report.html").is_file()


def follow(lowshot, sets, manifest: Path) -> list[dict]:
    """Check, pack, train and measure; the figures."""
    code, out, err = lowshot("data", "check", manifest)
    assert code == 0, out + err
    assert lowshot("data", "pack", manifest, "--out", "packed", "--jobs", 1, *sets)[0] == 0
    assert lowshot("pretrain", *sets, *SHORT, "--data", "packed", "--out", "run")[0] == 0
    code, out, err = lowshot("evaluate", "--model", "run", "--protocol", "verification", "--json", "--out", "figures")
    assert code == 0, err
    return json.loads(out)


@pytest.mark.skipif(not SPEECH.is_dir(), reason="the real speech is not here")
def test_real_speech_goes_from_a_folder_to_figures(lowshot, sets, tmp_path):
    clips = sorted(SPEECH.glob("test-other/*/*.flac"))
    for number, clip in enumerate(clips):
        video = tmp_path / "people" / clip.parent.name / clip.stem
        video.mkdir(parents=True)
        (video / clip.name).symlink_to(clip)
        picture(video / "face.jpg", clip.parent.name, number)
    held = ("--val", 0.2, "--test", 0.4)
    code, _, err = lowshot("data", "import", "folder", tmp_path / "people", *held, "--out", tmp_path / "manifest.csv")
    assert code == 0, err
    table = read_manifest(tmp_path / "manifest.csv")
    assert (table["modality"] == "voice").sum() == len(clips)
    assert table["identity"].nunique() == len({clip.parent for clip in clips})
    figures = follow(lowshot, sets, tmp_path / "manifest.csv")
    assert {row["method"] for row in figures} == {"cmpc", "chance"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["m4a", "mp4"])
def test_voices_in_films_go_from_a_folder_to_figures(lowshot, sets, tmp_path, kind):
    pytest.importorskip("av")
    for who in range(8):
        for number in range(3):
            video = tmp_path / "people" / f"person {who}" / f"video {number}"
            picture(video / "face.png", f"p{who}", number)
            same = sound(f"p{who}", number, seconds=1.0)
            # Played at the kind's own rate: shorter, but nobody's voice either.
            write_film(video / f"voice.{kind}", np.stack([same, same]), KINDS[kind][2])
    held = ("--val", 0.25, "--test", 0.4)
    suffix = ("--out", tmp_path / "manifest.csv")
    if kind == "mp4":
        # An MP4 may hold pictures as well, so that the ending does not say what it is: a table does.
        files = sorted((tmp_path / "people").rglob("*.*"))
        rows = [
            (
                path.relative_to(tmp_path).as_posix(),
                "face" if path.suffix == ".png" else "voice",
                f"{path.parts[-3]}/{path.parts[-2]}",
                path.parts[-3],
            )
            for path in files
        ]
        pd.DataFrame(rows, columns=["path", "modality", "video", "identity"]).to_csv(tmp_path / "t.csv", index=False)
        code, _, err = lowshot("data", "import", "csv", tmp_path / "t.csv", *held, *suffix)
    else:
        code, _, err = lowshot("data", "import", "folder", tmp_path / "people", *held, *suffix)
    assert code == 0, err
    assert (read_manifest(tmp_path / "manifest.csv")["modality"] == "voice").sum() == 24
    figures = follow(lowshot, sets, tmp_path / "manifest.csv")
    assert {row["method"] for row in figures} == {"cmpc", "chance"}
