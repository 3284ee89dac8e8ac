"""VoxCeleb as published: an embedded world's own manifest is the truth for its tree."""

from pathlib import Path

import pytest

from lowshot.data.dataset import Dataset
from lowshot.data.manifest import read_manifest
from lowshot.data.pairs import videos_of
from lowshot.errors import RequestError

from .trees import SPLITS, VOX1_META, grow, imported, run, skipped

FILES = [
    "wav/id10001/aaaaaaaaaaa/00001.wav",
    "wav/id10001/aaaaaaaaaaa/00002.wav",
    "wav/id10002/bbbbbbbbbbb/00001.wav",
    "wav/id10003/ccccccccccc/00001.wav",
    *(f"unzippedFaces/Ann_A/1.6/aaaaaaaaaaa/{number:07d}.jpg" for number in range(25, 275, 25)),
    "unzippedFaces/Bob_B/1.6/bbbbbbbbbbb/0000025.jpg",
    "unzippedFaces/Cem_C/1.6/ccccccccccc/0000025.jpg",
]


@pytest.fixture
def vox1(tmp_path: Path) -> Path:
    root = grow(tmp_path / "vox1", FILES)
    (root / "vox1_meta.csv").write_text(VOX1_META)
    (root / "identity_splits.txt").write_text(SPLITS)
    return root


def words(root: Path, **changed: object) -> list[object]:
    options = {"--faces": root / "unzippedFaces", "--voices": root / "wav", "--meta": root / "vox1_meta.csv"}
    options |= {f"--{name}": value for name, value in changed.items()}
    return ["voxceleb1", *(word for option in options.items() for word in option)]


def test_a_rendered_world_is_imported_as_its_own_manifest_has_it(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "manifest.csv"
    (tmp_path / "w").symlink_to(world, target_is_directory=True)
    found = imported(*words(tmp_path / "w"), out=out)
    truth = read_manifest(world / "manifest.csv")
    # The splits file is about people: of the held-out clips of people that are trained on, it knows nothing.
    truth["split"] = truth.groupby("identity")["split"].transform("max").replace("", "train")
    columns = ["path", "modality", "video", "identity", "split", "gender", "nationality"]
    truth["path"] = "w/" + truth["path"]
    assert found.columns.tolist() == columns
    by_path = found.sort_values("path").reset_index(drop=True)
    assert by_path.equals(truth[columns].sort_values("path").reset_index(drop=True))
    dataset = Dataset.open(out)
    dataset.check_files("voice", range(len(dataset.voices)))
    dataset.check_files("face", range(len(dataset.faces)))


def test_the_splits_file_decides_and_a_split_of_files_is_refused(vox1: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("id10001 4\nid10002 1\nid10003 2\n")
    found = imported(*words(vox1, splits=other), out=tmp_path / "m.csv")
    assert dict(zip(found["identity"], found["split"], strict=True)) == {
        "id10001": "test",
        "id10002": "train",
        "id10003": "val",
    }
    for text, fault in (
        ("1 id10001/aaaaaaaaaaa/00001.wav\n", "row 1: splits files, with every person in all parts"),
        ("Ann_A 1\nid10001 4\n", "row 2: 'id10001' is in two splits"),
        ("Ann_A 7\n", "'7' is not a split"),
        ("Ann_A train\n", "row 1: 'Ann_A train' is not a person and a split's number"),
    ):
        other.write_text(text)
        result = run(*words(vox1, splits=other), "--out", tmp_path / "n.csv")
        assert isinstance(result.exception, RequestError)
        assert fault in str(result.exception)
    assert not (tmp_path / "n.csv").exists()


def test_faces_are_thinned_evenly(vox1: Path, tmp_path: Path) -> None:
    found = imported(*words(vox1), "--faces-per-video", 2, out=tmp_path / "m.csv")
    faces = found.loc[(found["modality"] == "face") & (found["video"] == "aaaaaaaaaaa"), "path"]
    assert [Path(path).stem for path in faces] == ["0000075", "0000200"]
    assert len(found) == 4 + 2 + 1 + 1


def test_the_older_naming_of_voices_is_read(vox1: Path, tmp_path: Path) -> None:
    names = ["Ann_A/aaaaaaaaaaa_0000001.wav", "Ann_A/aaaaaaaaaaa_0000002.wav", "Bob_B/bbbbbbbbbbb_0000001.wav"]
    old = grow(tmp_path / "old", [*names, "Ann_A/intro.wav"])
    found = imported(*words(vox1, voices=old), out=tmp_path / "m.csv")
    voices = found[found["modality"] == "voice"]
    assert sorted(zip(voices["path"], voices["video"], voices["identity"], strict=True)) == [
        ("old/Ann_A/aaaaaaaaaaa_0000001.wav", "aaaaaaaaaaa", "id10001"),
        ("old/Ann_A/aaaaaaaaaaa_0000002.wav", "aaaaaaaaaaa", "id10001"),
        ("old/Bob_B/bbbbbbbbbbb_0000001.wav", "bbbbbbbbbbb", "id10002"),
    ]
    assert skipped(tmp_path / "m.csv")[str(old / "Ann_A/intro.wav")] == "outside a video's folder"


def test_one_video_of_two_people_is_two_videos(vox1: Path, tmp_path: Path) -> None:
    grow(vox1, ["wav/id10003/aaaaaaaaaaa/00001.wav", "unzippedFaces/Cem_C/1.6/aaaaaaaaaaa/0000025.jpg"])
    found = imported(*words(vox1), out=tmp_path / "m.csv")
    assert set(found["video"]) == {"id10001/aaaaaaaaaaa", "id10003/aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc"}


def test_what_is_left_out_is_listed_with_its_reason(vox1: Path, tmp_path: Path) -> None:
    grow(
        vox1 / "wav",
        [
            "id10001/ddddddddddd/00001.wav",
            "id10001/aaaaaaaaaaa/00001.txt",
            "id10001/aaaaaaaaaaa/.hidden.wav",
            "id99999/eeeeeeeeeee/00001.wav",
            "id10004/fffffffffff/00001.wav",
            "stray.wav",
        ],
    )
    grow(vox1 / "unzippedFaces", ["Bob_B/1.6/ggggggggggg/0000025.jpg"])
    with (vox1 / "vox1_meta.csv").open("a") as file:
        file.write("id10004\tDan_D\tm\tUK\tdev\n")
    result = run(*words(vox1), "--out", tmp_path / "m.csv")
    assert result.exit_code == 0
    wav = vox1 / "wav"
    assert skipped(tmp_path / "m.csv") == {
        str(wav / "id10001/ddddddddddd/00001.wav"): "of a video without faces",
        str(wav / "id10001/aaaaaaaaaaa/00001.txt"): "of an unknown kind",
        str(wav / "id10001/aaaaaaaaaaa/.hidden.wav"): "hidden",
        str(wav / "id99999/eeeeeeeeeee/00001.wav"): "of an identity that is not in the meta file",
        str(wav / "id10004/fffffffffff/00001.wav"): "of an identity that is not in the splits file",
        str(wav / "stray.wav"): "outside a video's folder",
        str(vox1 / "unzippedFaces/Bob_B/1.6/ggggggggggg/0000025.jpg"): "of a video without voices",
    }
    assert "skipped: 1 of a video without faces" in result.stdout
    assert len(videos_of(Dataset.open(tmp_path / "m.csv"), "train")) == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_meta_file_of_any_encoding_and_line_end_is_read(vox1: Path, tmp_path: Path, encoding: str) -> None:
    (vox1 / "vox1_meta.csv").write_bytes(VOX1_META.replace("\n", "\r\n").encode(encoding))
    found = imported(*words(vox1), out=tmp_path / "m.csv")
    assert set(zip(found["identity"], found["gender"], found["nationality"], strict=True)) == {
        ("id10001", "f", "Ireland"),
        ("id10002", "m", "India"),
        ("id10003", "m", "USA"),
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (VOX1_META.replace("Gender", "Sex"), "column 'Gender' is missing"),
        (VOX1_META.replace("id10002", "id10001"), "row 3: 'id10001' appears twice"),
        ("VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n", "has no rows"),
        ("", "is empty"),
        (VOX1_META + "id10009\tEva\n", "row 5: 2 fields, but the first row has 5"),
    ],
)
def test_a_meta_file_at_fault_is_named(vox1: Path, tmp_path: Path, text: str, fault: str) -> None:
    (vox1 / "vox1_meta.csv").write_text(text)
    result = run(*words(vox1), "--out", tmp_path / "m.csv")
    assert isinstance(result.exception, RequestError)
    assert fault in str(result.exception)
    assert not list(tmp_path.glob("m.csv*"))


VOX2_META = "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \n" + "".join(
    f"id{number:05d} ,n{number:06d} ,{'mf'[number % 2]} ,{'test' if number > 9 else 'dev'} \n"
    for number in range(1, 12)
)


@pytest.mark.parametrize("meta", [VOX2_META, VOX2_META.replace(" ,", "\t,")])
def test_voxceleb2_holds_out_its_test_set_and_a_share_of_the_rest(tmp_path: Path, meta: str) -> None:
    people = range(1, 12)
    voices = grow(tmp_path / "aac", [f"dev/aac/id{i:05d}/video{i:06d}/00001.m4a" for i in people])
    faces = grow(tmp_path / "jpg", [f"n{i:06d}/video{i:06d}/00001/000{k}.jpg" for i in people for k in (1, 2)])
    (tmp_path / "vox2_meta.csv").write_text(meta)
    options = ["voxceleb2", "--faces", faces, "--voices", voices, "--meta", tmp_path / "vox2_meta.csv", "--val", "0.3"]
    found = imported(*options, out=tmp_path / "m.csv")
    split = dict(zip(found["identity"], found["split"], strict=True))
    assert [name for name in split if split[name] == "test"] == ["id00010", "id00011"]
    assert sorted(split.values()) == ["test"] * 2 + ["train"] * 6 + ["val"] * 3
    assert found["gender"].tolist() == ["fm"[int(name[2:]) % 2 == 0] for name in found["identity"]]
    assert len(found) == 11 * 3
    other = imported(*options, "--split-seed", 1, out=tmp_path / "n.csv")
    assert not other["split"].equals(found["split"])
