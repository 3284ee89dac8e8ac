"""A rendered world on disk: layout, contract, determinism, cache and interruption."""

import csv
import hashlib
import json
import subprocess
import sys
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.synthetic import render
from lowshot.synthetic.render import ensure_world, render_world
from lowshot.synthetic.world import SIZES, WorldConfig, build_world

SMALL = WorldConfig(
    train_identities=4, val_identities=2, test_identities=3, train_videos=(4, 5, 6), val_videos=1, test_videos=2
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("render") / "world"
    render_world(SMALL, out, workers=1)
    return out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that nothing else writes into."""
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_workers(root, tmp_path):
    render_world(SMALL, tmp_path / "two", workers=2)
    assert digests(tmp_path / "two") == digests(root)


def test_a_part_has_the_same_bytes_and_the_whole_tables(root, tmp_path):
    counts = []
    render_world(SMALL, tmp_path / "part", workers=1, progress=lambda *at: counts.append(at), splits=("test", ""))
    whole, part = digests(root), digests(tmp_path / "part")
    wanted = {row["path"] for row in read(root / "manifest.csv") if row["split"] in ("test", "")}
    tables = {name for name in whole if not name.endswith((".wav", ".jpg"))}
    assert part == {name: whole[name] for name in wanted | tables}
    videos = len({row["video"] for row in read(root / "manifest.csv") if row["path"] in wanted})
    assert counts[-1] == (videos, videos)
    assert Dataset.open(tmp_path / "part").sha == Dataset.open(root).sha


def test_a_part_is_kept_apart_from_the_whole_which_serves_for_it(monkeypatch, tmp_path):
    monkeypatch.setitem(SIZES, "small", SMALL)
    part = ensure_world("small", cache=tmp_path, workers=1, splits=("val",))
    assert part.name.endswith("-val")
    whole = ensure_world("small", cache=tmp_path, workers=1)
    assert len(digests(whole)) > len(digests(part))
    assert ensure_world("small", cache=tmp_path, workers=1, splits=("val",)) == whole


def test_another_seed_gives_other_media(root, tmp_path):
    config = replace(SMALL, seed=1, train_identities=2, val_identities=1, test_identities=1)
    render_world(config, tmp_path / "other", workers=1)
    assert not set(digests(tmp_path / "other").values()) & set(digests(root).values())


def test_the_manifest_names_every_medium_once_and_in_identity_order(root):
    rows = read(root / "manifest.csv")
    columns = ["path", "modality", "video", "identity", "split", "gender", "nationality", "age"]
    assert list(rows[0]) == columns
    media = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix in (".wav", ".jpg")}
    assert {row["path"] for row in rows} == media and len(rows) == len(media)
    assert [row["identity"] for row in rows] == sorted(row["identity"] for row in rows)
    videos: dict[str, list[str]] = {}
    for row in rows:
        videos.setdefault(row["video"], []).append(row["modality"])
        assert row["split"] in ("train", "val", "test", "") and row["gender"] in ("m", "f") and int(row["age"]) >= 16
    assert all(modalities == ["voice", "face", "face"] for modalities in videos.values())


def test_paths_are_in_the_voxceleb1_layout(root):
    names = {row["VoxCeleb1 ID"]: row["VGGFace1 ID"] for row in read(root / "vox1_meta.csv", "\t")}
    for row in read(root / "manifest.csv"):
        parts = row["path"].split("/")
        if row["modality"] == "voice":
            assert parts == ["wav", row["identity"], row["video"], "00001.wav"]
        else:
            assert parts[:4] == ["unzippedFaces", names[row["identity"]], "1.6", row["video"]]
            assert len(parts[4]) == 11 and parts[4][:7].isdigit() and parts[4].endswith(".jpg")


def test_meta_and_identity_splits_are_in_voxceleb1_form(root):
    meta = read(root / "vox1_meta.csv", "\t")
    assert list(meta[0]) == ["VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set"]
    split_of = {row["identity"]: row["split"] for row in read(root / "manifest.csv") if row["split"]}
    code = {"train": "1", "val": "2", "test": "4"}
    expected = [f"{row['VGGFace1 ID']} {code[split_of[row['VoxCeleb1 ID']]]} " for row in meta]
    assert (root / "identity_splits.txt").read_text().splitlines() == expected
    assert all((row["Set"] == "test") == (split_of[row["VoxCeleb1 ID"]] == "test") for row in meta)


def test_truth_says_whose_voice_is_heard(root):
    rows = {row["video"]: row for row in read(root / "manifest.csv")}
    truth = read(root / "truth.csv")
    assert list(truth[0]) == ["video", "face_identity", "voice_identity", "deviates"]
    assert {row["video"] for row in truth} == set(rows)
    train = [row for row in truth if rows[row["video"]]["split"] == "train"]
    deviating = [row for row in truth if row["deviates"] == "1"]
    assert len(deviating) == round(0.10 * len(train)) > 0
    for row in truth:
        assert row["face_identity"] == rows[row["video"]]["identity"]
        assert (row["deviates"] == "1") == (row["face_identity"] != row["voice_identity"])


def test_a_deviating_video_is_heard_in_the_other_voice(tmp_path):
    shared = WorldConfig(
        train_identities=2, val_identities=0, test_identities=0, train_videos=(6, 6, 6), seen_heard_videos=0
    )
    render_world(replace(shared, deviating_share=0.0), tmp_path / "clean", workers=1)
    render_world(replace(shared, deviating_share=0.5), tmp_path / "mixed", workers=1)
    clean, mixed = digests(tmp_path / "clean"), digests(tmp_path / "mixed")
    deviates = {row["video"]: row["deviates"] == "1" for row in read(tmp_path / "mixed" / "truth.csv")}
    assert sum(deviates.values()) == 6
    for row in read(tmp_path / "mixed" / "manifest.csv"):
        changed = clean[row["path"]] != mixed[row["path"]]
        assert changed == (row["modality"] == "voice" and deviates[row["video"]])


def test_voices_are_16_khz_mono_16_bit_and_neither_silent_nor_clipped(root):
    for path in root.rglob("*.wav"):
        with wave.open(str(path)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / 32768
        assert 1.99 <= len(samples) / 16000 <= 3.5
        assert np.sqrt(np.mean(samples**2)) > 0.02 and np.mean(np.abs(samples) > 0.96) < 1e-3


def test_faces_are_112_pixel_colour_jpegs(root):
    for path in root.rglob("*.jpg"):
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (112, 112))
            assert np.asarray(image).std() > 10


def test_the_world_describes_itself(root):
    described = json.loads((root / "world.json").read_text())
    assert described["render_version"] == render.RENDER_VERSION
    assert described["config"]["train_identities"] == 4 and described["config"]["deviating_share"] == 0.10


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_rendering_leaves_nothing(folder, workers):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_world(SMALL, folder / "world", workers=workers, progress=stop)
    assert list(folder.iterdir()) == []


def test_progress_counts_every_video(tmp_path):
    seen: list[tuple[int, int]] = []
    config = replace(SMALL, train_identities=2, val_identities=1, test_identities=0)
    render_world(config, tmp_path / "world", workers=1, progress=lambda done, total: seen.append((done, total)))
    total = len(build_world(config).videos)
    assert seen == [(k + 1, total) for k in range(total)]


def test_an_occupied_directory_is_refused_and_untouched(folder):
    (folder / "precious.txt").write_text("keep")
    with pytest.raises(RequestError, match="not an empty directory"):
        render_world(SMALL, folder, workers=1)
    assert [path.name for path in folder.iterdir()] == ["precious.txt"]


def test_a_cached_world_is_not_rendered_again(tmp_path, monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", replace(SMALL, train_identities=2, val_identities=1, test_identities=1))
    first = ensure_world("tiny", cache=tmp_path, workers=1)

    def forbidden(*args: object) -> None:
        raise AssertionError("rendered twice")

    monkeypatch.setattr(render, "render_world", forbidden)
    assert ensure_world("tiny", cache=tmp_path, workers=1) == first
    monkeypatch.setenv("LOWSHOT_CACHE", str(tmp_path))
    assert ensure_world("tiny") == first
    with pytest.raises(AssertionError):
        ensure_world("tiny", seed=1, cache=tmp_path)


def test_a_world_finished_by_another_process_is_kept(folder):
    config = replace(SMALL, train_identities=2, val_identities=1, test_identities=0)
    out = folder / "world"

    def other_process_finishes(done: int, total: int) -> None:
        out.mkdir(exist_ok=True)
        (out / "manifest.csv").write_text("theirs")

    render_world(config, out, workers=1, progress=other_process_finishes)
    assert (out / "manifest.csv").read_text() == "theirs"
    assert [path.name for path in folder.iterdir()] == ["world"]


@pytest.mark.parametrize(("size", "seed", "match"), [("huge", 0, "tiny, demo, bench"), ("tiny", -1, "0 or more")])
def test_wrong_requests_are_named(tmp_path, size, seed, match):
    with pytest.raises(RequestError, match=match):
        ensure_world(size, seed=seed, cache=tmp_path)


@pytest.mark.slow
def test_rendering_does_not_import_torch():
    code = "import sys, lowshot.synthetic.render, lowshot.synthetic.oracle; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
