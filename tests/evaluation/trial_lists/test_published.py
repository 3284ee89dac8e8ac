"""Published lists: recognised by content, joined through the table of people, refused by file and row."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.protocols.matching import MatchingTrials
from lowshot.evaluation.protocols.retrieval import Queries
from lowshot.evaluation.protocols.verification import VerificationTrials
from lowshot.evaluation.trial_lists.list_set import read_trial_set
from lowshot.evaluation.trial_lists.listed import GalleryList, HiddenList, MatchingList, VerificationList
from lowshot.evaluation.trial_lists.read_list import read_list
from lowshot.evaluation.trial_lists.vox_names import Medium, find_meta, parse_medium, read_meta
from lowshot.evaluation.trial_set import TrialSet

from .voxlike import (
    PEOPLE,
    face,
    gallery_text,
    matching_text,
    new_voice,
    old_voice,
    verification_text,
    videos,
    vox_dataset,
    write_meta,
)

HIDDEN = "k1 voices/English/00000.wav faces/English/00000.jpg\nk2 voices/English/00001.wav faces/English/00001.jpg\n"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return vox_dataset(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def joined(archive: Dataset, *paths: Path, **options: bool) -> TrialSet:
    return read_trial_set(archive, paths, meta=find_meta(None, archive), replicates=100, **options)


def names(archive: Dataset, modality: str, rows: np.ndarray) -> list[str]:
    return archive.rows(modality)["path"].iloc[rows].tolist()


@pytest.mark.parametrize(
    ("modality", "name", "medium"),
    [
        ("voice", "A.R._Vox/gaQqI-V_aLY_0000012.wav", Medium("A.R._Vox", "gaQqI-V_aLY", 12)),
        ("voice", "A.R._Vox/_-_0000001__0000001.wav", Medium("A.R._Vox", "_-_0000001_", 1)),
        ("voice", "id10002/w9H-ZMvdE9M/00001.wav", Medium("id10002", "w9H-ZMvdE9M", 1)),
        ("voice", "data/wav/id10002/w9H-ZMvdE9M/00001.m4a", Medium("id10002", "w9H-ZMvdE9M", 1)),
        ("face", "A.R._Vox/1.6/QanuGhOhb9A/0035550.jpg", Medium("A.R._Vox", "QanuGhOhb9A", 35550)),
        ("face", "A.R._Vox/QanuGhOhb9A/0035550.jpg", Medium("A.R._Vox", "QanuGhOhb9A", 35550)),
        ("face", "unzippedFaces/A.R._Vox/1.6/QanuGhOhb9A/0035550.jpg", Medium("A.R._Vox", "QanuGhOhb9A", 35550)),
        ("voice", "clip.wav", None),
        ("face", "#12", None),
    ],
)
def test_what_paths_say(modality: str, name: str, medium: Medium | None) -> None:
    assert parse_medium(modality, name, None) == medium


def test_verification_in_the_old_naming_is_joined(archive: Dataset, put: Callable[[str, str], Path]) -> None:
    path = put("veriflist_test_random_unseenunheard.txt", verification_text())
    (trials,) = joined(archive, path).of(VerificationTrials)
    assert (trials.stratum, trials.seen, len(trials), trials.same_video) == ("U", "unseen-unheard", 16, 0)
    assert trials.label.tolist() == [True, False] * 8
    assert names(archive, "voice", trials.voice)[:3] == [f"wav/{new_voice(0, 0, clip)}" for clip in (1, 1, 2)]
    assert names(archive, "face", trials.face)[:2] == [f"unzippedFaces/{face(p, 1, 25)}" for p in (0, 1)]
    people = archive.voices["identity"].to_numpy()[trials.voice] == archive.faces["identity"].to_numpy()[trials.face]
    assert (people == trials.label).all()


@pytest.mark.parametrize(
    ("direction", "name", "stratum"),
    [("v2f", "matching_v2f_GN.csv", "GN"), ("f2v", "matching_f2v_U.csv", "U"), ("f2v", "anything.txt", "U")],
)
@pytest.mark.parametrize("size", [2, 4])
def test_matching_of_both_directions_is_joined(
    archive: Dataset, put: Callable[[str, str], Path], direction: str, name: str, stratum: str, size: int
) -> None:
    (trials,) = joined(archive, put(name, matching_text(direction, size))).of(MatchingTrials)
    assert trials.direction == {"v2f": "voice_to_face", "f2v": "face_to_voice"}[direction]
    assert (trials.stratum, trials.seen, trials.largest, trials.impostors.shape) == (
        stratum, "unseen-unheard", size, (8, size - 1)
    )  # fmt: skip
    probe, other = trials.direction.split("_to_")
    of = {m: archive.rows(m)["identity"].to_numpy() for m in (probe, other)}
    assert (of[probe][trials.probe] == of[other][trials.target]).all()
    assert of[other][trials.impostors[0]].tolist() == [PEOPLE[p][0] for p in range(1, size)]


@pytest.mark.parametrize("order", [("voice", "face"), ("face", "voice")])
def test_the_two_files_of_a_retrieval_belong_together(
    archive: Dataset, put: Callable[[str, str], Path], order: tuple[str, str]
) -> None:
    paths = [put(f"{modality}_20k.csv", gallery_text(modality)) for modality in order]
    trials = joined(archive, *paths)
    assert len(trials.of(Queries)[0].voices) == len(trials.of(Queries)[0].faces) == 16
    assert trials.of(Queries)[0].seen == "unseen-unheard"
    assert names(archive, "voice", trials.of(Queries)[0].voices)[0] == f"wav/{new_voice(0, 0, 1)}"
    assert [queries.direction for queries in trials.of(Queries)] == ["voice_to_face", "face_to_voice"]


def test_forms_are_told_by_content_not_by_name(put: Callable[[str, str], Path]) -> None:
    texts = {
        VerificationList: verification_text(),
        MatchingList: matching_text(),
        GalleryList: gallery_text("face"),
        HiddenList: HIDDEN,
    }
    for kind, text in texts.items():
        (listed,) = read_list(put("list", text))
        assert type(listed) is kind


@pytest.mark.parametrize(("people", "seen"), [((0, 1), "unseen-unheard"), ((4, 5), "seen-heard"), ((0, 4), "mixed")])
def test_a_name_that_does_not_say_whether_people_are_seen_leaves_it_to_the_manifest(
    archive: Dataset, put: Callable[[str, str], Path], people: tuple[int, ...], seen: str
) -> None:
    (trials,) = joined(archive, put("list.txt", verification_text(people))).of(VerificationTrials)
    assert trials.seen == seen


def test_people_of_both_namings_are_one_only_by_the_table(
    archive: Dataset, put: Callable[[str, str], Path], tmp_path: Path
) -> None:
    path = put("veriflist_test_random_unseenunheard.txt", verification_text())
    with pytest.raises(RequestError, match=r"lacks 8 of the media.*vox1_meta\.csv"):
        read_trial_set(archive, [path])
    write_meta(tmp_path / "elsewhere.csv")
    assert (
        len(read_trial_set(archive, [path], meta=read_meta(tmp_path / "elsewhere.csv")).of(VerificationTrials)[0]) == 16
    )


def test_a_table_beside_the_manifest_is_found(archive: Dataset) -> None:
    meta = find_meta(None, archive)
    assert meta is not None
    assert meta.canonical("Ada_B._Vox") == meta.canonical("id20001") == "id20001"
    assert meta.trained == {"id20005", "id20006"}
    assert find_meta(None, None) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\n1\t2\n", "column 'VoxCeleb1 ID' is missing"),
        ("VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\nid1\tA\tf\tUK\nid2\tA\tm\tUK\n", "row 3: 'A' appears twice"),
        ("VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\nid1\tA\tf\n", "row 2: 3 fields"),
        (None, "`meta` .*meta.csv: no such file"),
    ],
)
def test_a_wrong_table_of_people_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "meta.csv").write_text(text)
    with pytest.raises(RequestError, match=message):
        read_meta(tmp_path / "meta.csv")


def test_two_rows_that_answer_to_one_name_are_refused(put: Callable[[str, str], Path], tmp_path: Path) -> None:
    archive = vox_dataset(tmp_path / "archive")
    manifest = archive.manifest_path
    text = manifest.read_text()
    again = [line.replace("wav/", "copy/") for line in text.splitlines() if new_voice(0, 0, 1) in line]
    manifest.write_text(text + "\n".join(again) + "\n")
    (archive.root / "features.safetensors").unlink()
    archive = Dataset.open(archive.root)
    path = put("veriflist_test_random_unseenunheard.txt", verification_text())
    with pytest.raises(RequestError, match=r"row 2: several voice rows.*answer to 'Ada_B\._Vox/"):
        joined(archive, path)


def edited(text: str, line: int, old: str, new: str) -> str:
    lines = text.splitlines()
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (edited(verification_text(), 3, ",0,", ",maybe,"), "row 3: label 'maybe' is neither 0 nor 1"),
        (edited(verification_text(), 3, ",0,", ",1,"), "row 3: label 1, but .* of 'id20001' and the face of 'id20002'"),
        (edited(verification_text(), 1, "label", "lable"), "column 'label' is missing"),
        ("\n".join(verification_text().splitlines()[:2]) + "\n", "rows 2 to 2: stratum U has positives only"),
        (verification_text().splitlines()[0] + "\n", "no trials"),
        (edited(verification_text(), 4, "3,1,1,1,", "3,1,1,"), "row 4: 5 fields, but the first row has 6"),
        (edited(matching_text(), 2, face(1, 1, 50), face(0, 1, 50)), "row 2: the target is among the candidates"),
        (edited(matching_text(), 2, face(1, 1, 50), face(0, 0, 50)), "row 2: .* is of 'id20001' too, as the probe is"),
        (
            edited(matching_text(), 2, face(0, 1, 50), face(2, 1, 50)),
            "row 2: the probe is of 'id20001', but its",
        ),
        (edited(matching_text(), 2, face(1, 1, 50), new_voice(1, 1, 1)), "row 2: .* stands where a face should"),
        (edited(matching_text(size=4), 3, face(3, 1, 25), face(2, 1, 25)), "row 3: a candidate stands twice"),
        ("a/b/1.wav c/d/2.jpg\n", "row 1: 2 fields; a matching list has a probe"),
        (edited(gallery_text("voice"), 1, "wav", "mp4"), "must be followed by wav or jpg, not mp4"),
        (gallery_text("voice"), "no row with modality 'face'"),
        (HIDDEN.replace("k2", "k1"), "row 2: key 'k1' stands in row 1 too"),
        ("one two three\n", "row 1: no list that is known"),
        ("a;b;c\n", "row 1: no list that is known"),
    ],
)
def test_faults_are_named_by_file_and_row(
    archive: Dataset, put: Callable[[str, str], Path], text: str, message: str
) -> None:
    with pytest.raises(RequestError, match=rf"faulty\.txt.*{message}") as caught:
        joined(archive, put("faulty.txt", text))
    assert "\n" not in str(caught.value)


def test_a_retrieval_that_calls_a_medium_by_another_person_is_refused(
    archive: Dataset, put: Callable[[str, str], Path]
) -> None:
    # The list may name a person either way.
    voices = gallery_text("voice").replace("id20002\t", "Bo_Vox\t")
    faces = put("faces.csv", gallery_text("face"))
    assert len(joined(archive, put("voices.csv", voices), faces).of(Queries)) == 2
    wrong = put("voices.csv", edited(voices, 3, "id20001\t", "id20003\t"))
    with pytest.raises(RequestError, match=r"voices\.csv, row 3: identity 'id20003', but the manifest says 'id20001'"):
        joined(archive, wrong, faces)
    again = put("voices.csv", voices + voices.splitlines()[-1] + "\n")
    with pytest.raises(RequestError, match=r"voices\.csv, row 18: .* stands in the list already"):
        joined(archive, again, faces)


def test_a_published_list_with_a_trial_twice_is_scored_as_it_is_and_noted(
    archive: Dataset, put: Callable[[str, str], Path]
) -> None:
    text = matching_text()
    trials = joined(archive, put("matching_v2f_U.csv", text + text.splitlines()[0] + "\n"))
    assert len(trials.of(MatchingTrials)[0]) == 9
    assert any("trials that repeat earlier ones: 1, the first in row 9" in warning for warning in trials.warnings)


def test_the_notes_tell_what_a_list_does_not_keep(archive: Dataset, put: Callable[[str, str], Path]) -> None:
    # Person 1 is a man, person 0 a woman, and the trained on are no unseen people.
    text = verification_text((0, 1, 4)).replace(face(0, 1, 25, ""), face(0, 0, 25, ""))
    warnings = "\n".join(joined(archive, put("veriflist_test_G_unseenunheard.txt", text)).warnings)
    assert "stratum G leaks: 4 of 6 (66.7 %) impostors do not share gender, the first in row 3" in warnings
    assert "unseen-unheard, but 1 of 3 (33.3 %) identities are trained on" in warnings
    assert "positives of one video: 1 of 6 (16.7 %)" in warnings


def test_video_names_of_eleven_characters_hold_underscores() -> None:
    assert {len(name) for person in range(6) for name in videos(person)} == {11}
    assert old_voice(1, 1, 2) == "Bo_Vox/b1_0000001__0000002.wav"
