"""MAV-Celeb, folders and tables."""

from pathlib import Path

import pytest

from lowshot.cli.wording import in_flags
from lowshot.errors import RequestError
from lowshot.importers.splits import Shares

from .trees import grow, imported, run, skipped


def test_mavceleb_keeps_the_language(tmp_path: Path) -> None:
    clips = ["id0001/English/a/00000", "id0001/Urdu/a/00000", "id0002/English/b/00000", "id0003/English/c/00000"]
    faces = grow(tmp_path / "faces", [f"{clip}.jpg" for clip in clips])
    voices = grow(tmp_path / "voices", [f"{clip}.wav" for clip in clips])
    (tmp_path / "v1_meta.csv").write_text("ids,name,gender\nid0001,A B,Female\nid0002,C D,Male\n")
    words = ["mavceleb", "--faces", faces, "--voices", voices]
    found = imported(*words, "--meta", tmp_path / "v1_meta.csv", "--test", "0.5", out=tmp_path / "m.csv")
    rows = found[["video", "identity", "gender", "language"]].drop_duplicates()
    assert rows.to_numpy().tolist() == [
        ["id0001/English/a", "id0001", "f", "English"],
        ["id0001/Urdu/a", "id0001", "f", "Urdu"],
        ["id0002/English/b", "id0002", "m", "English"],
    ]
    assert found.groupby("identity")["split"].nunique().tolist() == [1, 1]
    assert sorted(found.groupby("identity")["split"].first()) == ["test", "train"]
    assert set(skipped(tmp_path / "m.csv").values()) == {"of an identity that is not in the meta file"}
    assert "gender" not in imported(*words, out=tmp_path / "n.csv").columns


WITH_PEOPLE = ["ann/one/talk.wav", "ann/one/faces/1.jpg", "ann/one/faces/10.jpg", "ann/one/faces/9.jpg"]
WITHOUT = ["one/talk.wav", "one/faces/1.jpg", "two/sound/talk.flac", "two/faces/1.png"]


def test_a_folder_with_people_and_one_without_are_told_apart(tmp_path: Path) -> None:
    result = run("folder", grow(tmp_path / "p", [*WITH_PEOPLE, "ann/warning.jpg"]), "--out", tmp_path / "p.csv")
    assert "read as <identity>/<video>/...; --no-identities reads it the other way" in result.stderr
    found = imported("folder", tmp_path / "p", out=tmp_path / "q.csv")
    assert found[["path", "video", "identity", "split"]].to_numpy().tolist() == [
        [f"p/{path}", "ann/one", "ann", ""] for path in (WITH_PEOPLE[0], WITH_PEOPLE[1], WITH_PEOPLE[3], WITH_PEOPLE[2])
    ]
    assert skipped(tmp_path / "q.csv") == {str(tmp_path / "p/ann/warning.jpg"): "outside a video's folder"}
    found = imported("folder", grow(tmp_path / "v", WITHOUT), out=tmp_path / "v.csv")
    assert sorted(zip(found["video"], found["identity"], strict=True)) == [("one", "")] * 2 + [("two", "")] * 2
    found = imported("folder", tmp_path / "p", "--no-identities", out=tmp_path / "n.csv")
    assert set(found["video"]) == {"ann"}
    assert len(found) == 5


def test_shares_hold_out_identities_and_need_them(tmp_path: Path) -> None:
    grow(tmp_path / "p", [f"p{i}/v{k}/a.{end}" for i in range(10) for k in range(2) for end in ("wav", "jpg")])
    found = imported("folder", tmp_path / "p", "--val", "0.1", "--test", "0.2", out=tmp_path / "p.csv")
    assert found["split"].value_counts().to_dict() == {"train": 28, "test": 8, "val": 4}
    result = run("folder", tmp_path / "p", "--no-identities", "--val", "0.1", "--out", tmp_path / "n.csv")
    assert "these videos have none" in str(result.exception)
    result = run("folder", tmp_path / "p", "--val", "0.9", "--test", "0.2", "--out", tmp_path / "n.csv")
    assert "leave none of 10 identities to train on" in str(result.exception)
    assert not (tmp_path / "n.csv").exists()


def test_where_an_identity_goes_does_not_hang_on_the_others() -> None:
    names = [f"p{number}" for number in range(100)]
    few, many = Shares(0.1, 0.2).assign(names), Shares(0.1, 0.2).assign([*names, *(f"q{i}" for i in range(10))])
    assert sum(few[name] != many[name] for name in names) <= 10
    assert Shares(0.1, 0.2, seed=1).assign(names) != few


TABLE = (
    "file;clip;who;fold;kind;mood\na b.wav;v1;p1;dev;audio;=1+1\nx/1.jpg;v1;p1;dev;image;\nb.wav;v2;p2;eval;audio;\n"
)
MAPPED = [
    *("--column", "path=file", "--column", "video=clip", "--column", "identity=who", "--column", "split=fold"),
    *("--value", "split:dev=train", "--value", "split:eval=test"),
]
MODALITY = ["--column", "modality=kind", "--value", "modality:audio=voice", "--value", "modality:image=face"]


def test_a_table_is_mapped(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TABLE)
    found = imported("csv", tmp_path / "t.csv", *MAPPED, *MODALITY, out=tmp_path / "m.csv")
    assert found.to_dict("list") == {
        "path": ["a b.wav", "x/1.jpg"],
        "modality": ["voice", "face"],
        "video": ["v1", "v1"],
        "identity": ["p1", "p1"],
        "split": ["train", "train"],
        # A formula is text here, and stays the text that it is.
        "mood": ["=1+1", ""],
    }
    assert skipped(tmp_path / "m.csv") == {str(tmp_path / "b.wav"): "of a video without faces"}
    by_ending = imported("csv", tmp_path / "t.csv", *MAPPED, out=tmp_path / "n.csv")
    assert by_ending.drop(columns="kind").equals(found)


@pytest.mark.parametrize(
    ("text", "words", "fault"),
    [
        (TABLE, ["--column", "path=url"], "has no column 'url', but file, clip, who"),
        (TABLE, [], "no column 'path'; say which it is, as in --column path=file"),
        (
            TABLE,
            MAPPED[:8],
            "row 2: split 'dev' is none of train, val, test; say which it is, as in --value split:dev=",
        ),
        (TABLE, [*MAPPED, "--column", "modality=kind"], "row 2: modality 'audio' is none of voice, face"),
        (TABLE.replace("a b.wav", "../a b.wav"), MAPPED, "row 2: path '../a b.wav' leads out of"),
        (TABLE.replace("a b.wav", "/etc/a.wav"), MAPPED, "row 2: path '/etc/a.wav' leads out of"),
        (TABLE.replace("v2", ""), MAPPED, "row 4: video is empty"),
        (TABLE.replace("b.wav;v2;p2", "b.wav;v1;p2"), MAPPED, "video 'v1' has rows of several identities"),
        (TABLE, [*MAPPED, "--val", "0.1"], "has splits; omit --val"),
        ("path,video\n", [], "no rows"),
        ("path,video\na.wav,v\nb.txt,v\n", [], "no video has both a voice and a face; skipped: 1 of an unknown kind"),
        ("path,video,x,x\na.wav,v,1,2\n", [], "column 'x' appears twice"),
    ],
)
def test_a_table_at_fault_is_named(tmp_path: Path, text: str, words: list[str], fault: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    result = run("csv", tmp_path / "t.csv", *words, "--out", tmp_path / "m.csv")
    assert isinstance(result.exception, RequestError), result.output
    assert fault in in_flags(str(result.exception))
    assert not list(tmp_path.glob("m.csv*"))


def test_paths_of_a_table_follow_its_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/t.csv").write_text("path,video\na.wav,v\n1.jpg,v\n")
    assert imported("csv", tmp_path / "deep/t.csv", out=tmp_path / "m.csv")["path"].tolist() == [
        "deep/a.wav",
        "deep/1.jpg",
    ]
    found = imported("csv", tmp_path / "deep/t.csv", "--root", tmp_path / "media", out=tmp_path / "n.csv")
    assert found["path"].tolist() == ["media/a.wav", "media/1.jpg"]
