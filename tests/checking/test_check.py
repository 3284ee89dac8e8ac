"""The check of a dataset: every problem of every kind at once, from media made on the spot."""

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image
from safetensors.numpy import save_file

from lowshot.checking.issues import FAULTS, WARNINGS
from lowshot.checking.readiness import Readiness, readiness_of
from lowshot.checking.run import check_dataset, write_clean
from lowshot.data.dataset import Dataset, write_features
from lowshot.data.manifest import read_manifest
from lowshot.data.voice import read_waveform
from lowshot.errors import RequestError
from lowshot.schema import MANIFEST_COLUMNS

from ..data.films import write_film

RATE = 16_000


def noise(seconds, seed, level=0.1):
    return level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def voice(path, samples, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, **options)


def face(path, side, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)


def pairs(folder, *named, seconds=1.5):
    """Whole media of videos, (video, identity, split) each, and their rows."""
    rows = []
    for number, (video, identity, split) in enumerate(named):
        voice(folder / f"{video}.wav", noise(seconds, number))
        face(folder / f"{video}.png", 40, number)
        for modality, ending in (("voice", "wav"), ("face", "png")):
            rows.append((f"{video}.{ending}", modality, video, identity, split))
    return rows


def checked(folder, rows):
    pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS)).to_csv(folder / "manifest.csv", index=False)
    return check_dataset(folder / "manifest.csv")


def found(result):
    """(kind, path, rows) of every problem."""
    return {(problem.kind, problem.path, problem.rows) for problem in result.issues}


WHOLE = (("a", "p1", "train"), ("b", "p2", "train"))


def test_a_whole_dataset_has_no_problem(tmp_path):
    result = checked(tmp_path, pairs(tmp_path, *WHOLE))
    assert (result.issues, result.examined, len(result.clean)) == ([], 4, 4)


def test_every_broken_file_is_named_by_its_kind(tmp_path):
    rows = pairs(tmp_path, *WHOLE)
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.wav").mkdir()
    voice(tmp_path / "header.wav", np.zeros(0))
    for name in ("cut.wav", "cut.flac"):
        voice(tmp_path / name, noise(1.5, 9))
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    face(tmp_path / "cut.jpg", 64, 9)
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    voice(tmp_path / "blip.wav", noise(0.1, 3))
    voice(tmp_path / "short.wav", noise(1.0, 4))
    voice(tmp_path / "silent.wav", np.zeros(2 * RATE))
    cancelled = noise(1.5, 5)
    voice(tmp_path / "cancelled.wav", np.stack([cancelled, -cancelled], axis=1), subtype="FLOAT")
    voice(tmp_path / "clipped.wav", np.clip(noise(1.5, 6, level=1.0), -1, 1))
    voice(tmp_path / "nan.wav", np.where(np.arange(2 * RATE) == 7, np.nan, 0.1), subtype="FLOAT")
    face(tmp_path / "dot.png", 1, 1)
    expected = {
        "missing": ["gone.wav", "gone.jpg", "folder.wav"],
        "unreadable": ["text.wav", "text.jpg", "empty.wav", "empty.jpg", "header.wav"],
        "truncated": ["cut.wav", "cut.flac", "cut.jpg"],
        "too-short": ["blip.wav"],
        "short": ["short.wav"],
        "silent": ["silent.wav", "cancelled.wav"],
        "clipped": ["clipped.wav"],
        "not-finite": ["nan.wav"],
        "tiny": ["dot.png"],
    }
    names = [name for several in expected.values() for name in several]
    for name in names:
        rows.append((name, "voice" if name.endswith(("wav", "flac")) else "face", "a", "p1", "train"))
    result = checked(tmp_path, rows)
    assert found(result) == {(kind, name, (6 + names.index(name),)) for kind in expected for name in expected[kind]}
    assert result.counts == {kind: len(several) for kind, several in expected.items()}
    # Faulty rows go; what is a warning stays.
    assert set(result.clean["path"]) == {"a.wav", "a.png", "b.wav", "b.png", "short.wav", "clipped.wav"}


def test_what_a_run_would_refuse_is_named_and_ends_no_check(tmp_path):
    rows = pairs(tmp_path, *WHOLE)
    noise(1.5, 1).astype(np.float32).tofile(tmp_path / "samples.raw")
    soundfile.write(tmp_path / "slow.wav", noise(1.5, 2), 1000)
    soundfile.write(tmp_path / "loud.wav", np.full(2 * RATE, 1e20), RATE, subtype="DOUBLE")
    soundfile.write(tmp_path / "cut.mp3", noise(3.0, 3), RATE, format="MP3")
    content = (tmp_path / "cut.mp3").read_bytes()
    (tmp_path / "cut.mp3").write_bytes(content[: len(content) // 2])
    expected = {"samples.raw": "unreadable", "slow.wav": "unreadable", "loud.wav": "unreadable", "cut.mp3": "truncated"}
    result = checked(tmp_path, [*rows, *((name, "voice", "a", "p1", "train") for name in expected)])
    assert {problem.path: problem.kind for problem in result.issues} == expected
    for name in expected:
        with pytest.raises(RequestError, match=name):
            read_waveform(tmp_path / name)


def test_a_long_film_is_heard_to_its_end_and_never_held_whole(tmp_path, monkeypatch):
    pytest.importorskip("av")
    from lowshot.checking import media

    # Silent but for its last second: whoever hears only a part of it takes it for silent.
    samples = np.zeros((1, 250 * RATE), np.float32)
    samples[0, -RATE:] = noise(1, 0, level=0.3)
    write_film(tmp_path / "long.mkv", samples, RATE)
    heard = []
    read = media.read_waveform

    def counting(*arguments):
        heard.append(len(part := read(*arguments)))
        return part

    monkeypatch.setattr(media, "read_waveform", counting)
    assert media.open_file(tmp_path / "long.mkv", "voice").found == []
    assert max(heard) < 120 * RATE
    assert sum(heard) == pytest.approx(250 * RATE, abs=RATE / 4)


def test_a_header_without_a_length_is_no_cut_off_clip(tmp_path):
    rows = pairs(tmp_path, *WHOLE)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(content)
    assert checked(tmp_path, rows).issues == []


def test_every_broken_rule_of_the_table_is_listed_at_once(tmp_path):
    rows = pairs(tmp_path, *WHOLE, ("c", "p1", "test"), ("d", "", "train"), ("e", "p3", "train"))
    rows += [
        ("d.wav", "voice", "d", "", "val"),  # 12: the file d.wav and the video d, in train and val
        ("a.wav", "sound", "a", "p1", "train"),  # 13
        ("b.wav", "voice", "b", "p2", "dev"),  # 14
        ("e.wav", "voice", "", "p3", "train"),  # 15
        ("../x.wav", "voice", "b", "p2", "train"),  # 16
        ("", "face", "b", "p2", "train"),  # 17
        ("e.png", "face", "e", "p4", "train"),  # 18: e belongs to p3 and p4, and so does its picture
        ("c.png", "face", "alone", "", "test"),  # 19
    ]
    assert found(checked(tmp_path, rows)) == {
        ("modality", "", (13,)),
        ("split", "", (14,)),
        ("no-video", "", (15,)),
        ("path", "../x.wav", (16,)),
        ("path", "", (17,)),
        ("video-identities", "", (10, 11, 18)),
        # p1 stays where it is measured on.
        ("identity-splits", "", (2, 3, 13)),
        ("video-splits", "", (8, 9)),
        ("path-splits", "d.wav", (8,)),
        ("duplicate-identities", "e.png", (11, 18)),
        ("unpaired", "", ()),
        ("no-identity", "", ()),
        # Two rows of one clip in one split.
        ("duplicate", "e.wav", ()),
        ("duplicate", "c.png", ()),
    }


def test_a_row_that_lacks_its_last_cells_is_listed(tmp_path):
    pairs(tmp_path, *WHOLE)
    header = "path,modality,video,identity,split"
    rows = ["a.wav,voice,a,p1,train", "a.png,face,a,p1", "b.wav,voice,b,p2,", "b.png,face,b,p2,"]
    (tmp_path / "manifest.csv").write_text("\n".join([header, *rows]) + "\n")
    result = check_dataset(tmp_path / "manifest.csv")
    assert [(problem.kind, problem.rows) for problem in result.issues if problem.fault] == [("cells", (3,))]


def test_rows_that_are_no_rows_are_listed_and_the_others_are_read(tmp_path):
    pairs(tmp_path, *WHOLE)
    (tmp_path / "manifest.csv").write_bytes(
        b"path,modality,video,identity,split\na.wav,voice,a,p1,train\nb.wav,voice,b\na.png,face,a,p1,train,7\n"
        b"\xff.wav,voice,a,p1,train\na.png,face,a,p1,train\n"
    )
    result = check_dataset(tmp_path / "manifest.csv")
    assert found(result) == {("cells", "", (3,)), ("cells", "", (4,)), ("encoding", "", (5,))}
    assert result.clean.index.tolist() == [2, 6]
    assert "\\xff.wav" in result.of_kind("encoding")[0].detail


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        ("path,modality,video,identity,split\n", {"no-rows": 1}),
        ("path,modality,video\na.wav,voice,a\n", {"column": 2}),
        ("path,modality,video,identity,split\na.wav,voice,a,p,train\n", {"one-modality": 1, "unpaired": 1}),
    ],
)
def test_a_table_that_is_none_is_a_fault_of_its_own(tmp_path, content, kinds):
    pairs(tmp_path, *WHOLE)
    (tmp_path / "manifest.csv").write_text(content)
    assert check_dataset(tmp_path / "manifest.csv").counts == kinds


@pytest.mark.parametrize("content", [b"", b"a,a\n1,2,3\n", b"\xff\xfe\n\xff\n"])
def test_what_is_no_table_at_all_is_refused(tmp_path, content):
    (tmp_path / "manifest.csv").write_bytes(content)
    with pytest.raises(RequestError, match="not a CSV table"):
        check_dataset(tmp_path / "manifest.csv")


def test_one_content_under_two_paths(tmp_path):
    rows = pairs(tmp_path, *WHOLE, ("c", "p1", ""), ("d", "p3", "test"), ("e", "", "train"), ("f", "p1", "train"))
    for source, copy in (("a.wav", "f.wav"), ("b.png", "a.png"), ("d.wav", "e.wav"), ("c.png", "f.png")):
        shutil.copyfile(tmp_path / source, tmp_path / copy)
    result = checked(tmp_path, rows)
    assert found(result) - {("no-identity", "", ()), ("no-split", "", ())} == {
        ("duplicate", "a.wav", ()),
        # Whose picture it is nobody knows: both go.
        ("duplicate-identities", "a.png", (3, 5)),
        # A held-out clip stays, and its copy leaves what is trained on.
        ("duplicate-splits", "d.wav", (10,)),
        ("duplicate-splits", "c.png", (13,)),
    }
    assert result.counts["no-identity"] == result.counts["no-split"] == 2


def test_every_kind_is_explained_once():
    assert not set(FAULTS) & set(WARNINGS)


def test_a_clean_manifest_can_be_read_where_the_first_could_not(tmp_path):
    rows = pairs(tmp_path, *WHOLE, ("c", "p1", "test"))
    (tmp_path / "b.wav").unlink()
    result = checked(tmp_path, rows)
    with pytest.raises(RequestError, match="several splits"):
        read_manifest(tmp_path / "manifest.csv")
    write_clean(result, tmp_path / "clean.csv")
    assert read_manifest(tmp_path / "clean.csv")["path"].tolist() == ["b.png", "c.wav", "c.png"]
    assert result.skipped == {"identity-splits": {2, 3}, "missing": {4}}


@pytest.mark.parametrize(
    ("name", "fault"), [("manifest.csv", "exists"), ("elsewhere/clean.csv", "relative to the manifest")]
)
def test_a_clean_manifest_lies_beside_the_first_and_replaces_nothing(tmp_path, name, fault):
    result = checked(tmp_path, pairs(tmp_path, *WHOLE))
    before = (tmp_path / "manifest.csv").read_bytes()
    with pytest.raises(RequestError, match=fault):
        write_clean(result, tmp_path / name)
    assert (tmp_path / "manifest.csv").read_bytes() == before
    assert not (tmp_path / "elsewhere").exists()


def vectors(folder, voices, faces):
    named = [*WHOLE, ("c", "p3", "test")]
    rows = [("", modality, video, who, split) for video, who, split in named for modality in ("voice", "face")]
    source = folder / "source"
    source.mkdir()
    media = pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS)).assign(path=[f"{n}.wav" for n in range(len(rows))])
    media.to_csv(source / "manifest.csv", index=False)
    write_features(folder / "vectors", Dataset.open(source), np.float32(voices), np.float32(faces), {})
    return folder / "vectors"


def test_vectors_are_looked_at_one_by_one(tmp_path):
    folder = vectors(tmp_path, [[1, 2], [np.nan, 2], [3, 4]], [[0, 0], [5, 6], [5, 6]])
    result = check_dataset(folder / "manifest.csv")
    assert found(result) - {("unpaired", "", ())} == {
        ("not-finite", "", (4,)),
        ("zero", "", (3,)),
        ("duplicate-identities", "3.wav", (5, 7)),
    }
    assert (result.examined, result.clean.index.tolist()) == (6, [2, 6])


def test_vectors_that_a_run_would_refuse_are_named(tmp_path):
    rows = [("", modality, video, "", "train") for modality in ("voice", "face") for video in "ab"]
    far = np.array([[1.0, 2.0], [1e39, 2.0]])
    save_file({"voice": far, "face": np.arange(4).reshape(2, 2)}, tmp_path / "features.safetensors")
    result = checked(tmp_path, rows)
    assert {(problem.kind, problem.rows) for problem in result.issues if problem.fault} == {
        ("not-finite", (3,)),
        ("shape", ()),
    }
    assert "'face' is of type int64" in result.of_kind("shape")[0].detail


def test_vectors_that_are_not_there_are_one_fault_and_not_cleaned(tmp_path):
    folder = vectors(tmp_path, [[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 9], [5, 6]])
    table = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    table.assign(path="").to_csv(folder / "manifest.csv", index=False)
    (folder / "features.safetensors").rename(folder / "vectors.safetensors")
    result = check_dataset(folder / "manifest.csv")
    assert found(result) - {("unpaired", "", ())} == {("missing", "features.safetensors", ())}
    assert "perhaps vectors.safetensors needs that name" in result.of_kind("missing")[0].detail
    with pytest.raises(RequestError, match=r"features\.safetensors: is missing; .*skipping rows does not mend"):
        write_clean(result, tmp_path / "clean")
    assert not (tmp_path / "clean").exists()


def test_clean_vectors_are_a_dataset_of_their_own(tmp_path):
    folder = vectors(tmp_path, [[1, 2], [np.nan, 2], [3, 4]], [[7, 8], [9, 9], [5, 6]])
    result = check_dataset(folder / "manifest.csv")
    write_clean(result, tmp_path / "clean")
    clean = Dataset.open(tmp_path / "clean")
    np.testing.assert_array_equal(clean.features["voice"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(clean.features["face"], [[7, 8], [9, 9], [5, 6]])
    assert check_dataset(clean.manifest_path).counts == {"unpaired": 1}


def test_vectors_that_do_not_match_the_rows_are_named_and_not_cleaned(tmp_path):
    folder = vectors(tmp_path, [[1, 2], [3, 4]], [[7, 8], [9, 9], [5, 6]])
    result = check_dataset(folder / "manifest.csv")
    assert result.counts == {"shape": 1}
    assert "shape [2, 2], but the manifest has 3 voice rows" in result.issues[0].detail
    with pytest.raises(RequestError, match="skipping rows does not mend"):
        write_clean(result, tmp_path / "clean")
    (folder / "features.safetensors").write_bytes(b"no tensors")
    assert check_dataset(folder / "manifest.csv").counts == {"unreadable": 1}


def test_what_the_data_are_good_for_is_counted(tmp_path):
    rows = pairs(tmp_path, *WHOLE, ("c", "p1", ""), ("d", "p3", "val"), ("e", "p4", "test"), ("f", "", "train"))
    rows.append(("b.wav", "voice", "alone", "p5", "train"))
    table = pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS)).assign(gender="f", age="")
    assert readiness_of(table) == Readiness(
        videos=3, labelled=2, validation=1, test=1, seen_heard=2, attributes=("gender",), missing_splits=()
    )
    archive = readiness_of(table.assign(split="", identity=""))
    assert (archive.videos, archive.labelled, archive.missing_splits) == (6, 0, ("train", "val", "test"))
