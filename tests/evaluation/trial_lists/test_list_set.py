"""Lists and a dataset that lacks some of what they name; lists side by side; lists whose labels are hidden."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.evaluate import chance, score
from lowshot.evaluation.protocols.matching import MatchingTrials
from lowshot.evaluation.protocols.verification import VerificationTrials
from lowshot.evaluation.run import write_evaluation
from lowshot.evaluation.scorers import EmbeddingScorer
from lowshot.evaluation.trial_lists.list_set import read_trial_set
from lowshot.evaluation.trial_lists.submission import write_submissions
from lowshot.evaluation.trial_lists.vox_names import find_meta
from lowshot.evaluation.trial_set import TrialSet

from ..conftest import manifest_rows, write_dataset
from .voxlike import gallery_text, matching_text, new_voice, verification_text, vox_dataset

NAMES = {
    "veriflist_test_random_unseenunheard.txt": verification_text(),
    "matching_v2f_U.csv": matching_text(),
    "matching_f2v_U.csv": matching_text("f2v", 3),
    "wav_20k.csv": gallery_text("voice"),
    "jpg_20k.csv": gallery_text("face"),
}


@pytest.fixture
def lists(tmp_path: Path) -> list[Path]:
    for name, text in NAMES.items():
        (tmp_path / name).write_text(text)
    return [tmp_path / name for name in NAMES]


def without(archive: Dataset, *words: str) -> Dataset:
    """The archive without the rows whose path holds one of the words."""
    table = archive.manifest
    table = table[~table["path"].map(lambda path: any(word in path for word in words))]
    (archive.root / "features.safetensors").unlink(missing_ok=True)
    return write_dataset(table, archive.root)


def joined(archive: Dataset, paths: list[Path], **options: bool) -> TrialSet:
    return read_trial_set(archive, paths, meta=find_meta(None, archive), replicates=100, **options)


def scorer(dataset: Dataset) -> EmbeddingScorer:
    return EmbeddingScorer(dataset.features["voice"], dataset.features["face"])


def test_what_is_missing_is_counted_and_nothing_is_scored(lists: list[Path], tmp_path: Path) -> None:
    archive = without(vox_dataset(tmp_path / "archive"), "id20001", "Ada_B._Vox")
    with pytest.raises(RequestError) as caught:
        joined(archive, lists)
    said = str(caught.value)
    # Her four voices and four faces: 6 of 16 pairs name her, 4 of 8 probes of a voice, 6 of a face, 8 of 32 items.
    assert said.startswith("archive lacks 8 of the media that the lists name, in 24 of 64 trials: ")
    assert f"voice 'Ada_B._Vox/a_-00000000_0000001.wav' ({lists[0]}, row 2)" in said
    assert "`skip_missing`" in said
    assert "\n" not in said


def test_ten_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    archive = without(vox_dataset(tmp_path / "archive"), "Bo_Vox", "Cy-D._Vox", "Di_Vox")
    path = tmp_path / "jpg_20k.csv"
    path.write_text(gallery_text("face"))
    with pytest.raises(RequestError) as caught:
        joined(archive, [path])
    said = str(caught.value)
    assert "lacks 12 of the media that the lists name, in 12 of 16 trials" in said
    assert said.count("(") == 10
    assert "(" + str(path) + ", row 15); and 2 more" in said


def test_skipped_trials_are_left_out_and_counted_in_every_row(lists: list[Path], tmp_path: Path) -> None:
    archive = without(vox_dataset(tmp_path / "archive"), new_voice(0, 0, 1))
    trials = joined(archive, lists, skip_missing=True)
    # Two pairs, one probe, no candidate (faces' candidates are voices of the other video), one item.
    assert [part.skipped for part in trials.of(VerificationTrials)] == [2]
    assert {part.direction: part.skipped for part in trials.of(MatchingTrials)} == {
        "voice_to_face": 1,
        "face_to_voice": 0,
    }
    assert [len(part) for part in trials.of(VerificationTrials)] == [14]
    assert [len(part) for part in trials.of(MatchingTrials)] == [7, 8]
    assert "skipped 2 of 16 trials: their media are missing" in "\n".join(trials.warnings)
    rows = pd.concat([score(trials, scorer(archive), {"method": "m"}).rows, chance(trials)])
    skipped = rows.groupby(["protocol", "direction"])["n_skipped"].agg(["min", "max"])
    assert skipped.loc[("verification", "")].tolist() == [2, 2]
    assert skipped.loc[("matching", "voice_to_face")].tolist() == [1, 1]
    assert skipped.loc[("matching", "face_to_voice")].tolist() == [0, 0]
    assert skipped.loc["retrieval"].to_numpy().tolist() == [[1, 1], [1, 1]]


def test_a_missing_candidate_takes_its_whole_trial(tmp_path: Path) -> None:
    archive = without(vox_dataset(tmp_path / "archive"), new_voice(3, 1, 1))
    path = tmp_path / "matching_f2v_U.csv"
    path.write_text(matching_text("f2v", 3))
    (trials,) = joined(archive, [path], skip_missing=True).of(MatchingTrials)
    # It is the target of person 3 and an impostor of persons 1 and 2, each once.
    assert (len(trials), trials.skipped) == (5, 3)
    assert (trials.impostors >= 0).all()


def test_a_list_of_which_nothing_or_one_class_is_left_is_refused(lists: list[Path], tmp_path: Path) -> None:
    archive = without(vox_dataset(tmp_path / "nothing"), "/a_-")
    with pytest.raises(RequestError, match=r"unseenunheard\.txt: every trial of it names media that nothing lacks"):
        joined(archive, lists[:1], skip_missing=True)
    # Her voices, and the faces of her impostor alone.
    gone = ("Ada_B._Vox/1.6/b0", "Cy-D", "Di_", "id20002/a", "id20003/a", "id20004/a")
    archive = without(vox_dataset(tmp_path / "one"), *gone)
    with pytest.raises(RequestError, match=r"unseenunheard\.txt, rows 3 to 5: stratum U has negatives only"):
        joined(archive, lists[:1], skip_missing=True)


def test_files_that_do_not_exist_are_missing_for_a_model_that_reads_them(lists: list[Path], tmp_path: Path) -> None:
    archive = vox_dataset(tmp_path / "archive", features=False)
    for path in archive.manifest["path"]:
        (archive.root / path).parent.mkdir(parents=True, exist_ok=True)
        (archive.root / path).touch()
    (archive.root / "wav" / new_voice(0, 0, 1)).unlink()
    assert joined(archive, lists).of(VerificationTrials)[0].skipped == 0
    with pytest.raises(RequestError, match="lacks 1 of the media"):
        joined(archive, lists, on_disk=True)
    assert joined(archive, lists, on_disk=True, skip_missing=True).of(VerificationTrials)[0].skipped == 2


def test_lists_for_one_place_in_the_results_are_refused(lists: list[Path], tmp_path: Path) -> None:
    archive = vox_dataset(tmp_path / "archive")
    again = tmp_path / "again_random_unseenunheard.txt"
    again.write_text(verification_text(impostor=2))
    with pytest.raises(
        RequestError,
        match=r"again_random.*: a second list of verification U unseen-unheard, besides .*veriflist_test_random",
    ):
        joined(archive, [lists[0], again])
    again = again.rename(tmp_path / "again_N_unseenunheard.txt")
    assert [part.stratum for part in joined(archive, [lists[0], again]).of(VerificationTrials)] == ["U", "N"]
    with pytest.raises(RequestError, match=r"jpg_20k\.csv: a second list of faces"):
        joined(archive, [*lists, lists[-1]])


def test_gallery_sizes_are_the_protocols_and_each_lists_own(tmp_path: Path) -> None:
    dataset = write_dataset(manifest_rows(14, 2), tmp_path)
    rows = dataset.voices.groupby("identity").nth(0)["path"].tolist()
    faces = dataset.faces.groupby("identity").nth(2)["path"].tolist()
    path = tmp_path / "wide.csv"
    header = "direction,probe,target," + ",".join(f"candidate_{k}" for k in range(1, 13))
    lines = [",".join(["voice_to_face", rows[i], *(faces[(i + k) % 14] for k in range(13))]) for i in range(14)]
    path.write_text("\n".join([header, *lines]) + "\n")
    trials = read_trial_set(dataset, [path], replicates=100)
    figures = score(trials, scorer(dataset), {"method": "m"}).rows.query("group == ''")
    assert figures["gallery_size"].tolist() == [*range(2, 11), 13]


@pytest.fixture
def challenge(tmp_path: Path) -> tuple[Dataset, Path]:
    """MAV-Celeb's test files, whose people nobody knows, and the list of the challenge."""
    rows = [
        {
            "path": f"v1/{folder}/English/{n:05d}{ending}",
            "modality": modality,
            "video": f"{modality}{n}",
            "identity": "",
            "split": "test",
        }
        for modality, folder, ending in (("voice", "voices", ".wav"), ("face", "faces", ".jpg"))
        for n in range(4)
    ]
    dataset = write_dataset(rows, tmp_path)
    path = tmp_path / "English_test.txt"
    lines = [f"key{v}{f} voices/English/{v:05d}.wav faces/English/{f:05d}.jpg" for v in range(4) for f in (3, 0)]
    path.write_text("\n".join(lines) + "\n")
    return dataset, path


def test_hidden_labels_give_scores_to_submit_and_no_figures(challenge: tuple[Dataset, Path], tmp_path: Path) -> None:
    dataset, path = challenge
    trials = read_trial_set(dataset, [path])
    assert trials.voices.tolist() == [0, 1, 2, 3]
    assert trials.faces.tolist() == [0, 3]
    result = score(trials, scorer(dataset), {"method": "m"})
    assert result.rows.empty
    assert write_evaluation(tmp_path / "out", trials, {"m": result}).empty
    written = (tmp_path / "out" / "submissions" / "m" / "English_test.txt").read_text().splitlines()
    assert [line.split(" ")[0] for line in written] == [f"key{v}{f}" for v in range(4) for f in (3, 0)]
    unit = {m: v / np.linalg.norm(v, axis=1, keepdims=True) for m, v in dataset.features.items()}
    expected = [np.linalg.norm(unit["voice"][v] - unit["face"][f]) for v in range(4) for f in (3, 0)]
    assert [float(line.split(" ")[1]) for line in written] == pytest.approx(expected, abs=1e-6)


def test_equal_embeddings_are_at_distance_zero(tmp_path: Path) -> None:
    # A cosine may round to a little more than 1.
    table = pd.DataFrame({"key": ["a", "b"], "distance": [0.0, 2.0]})
    write_submissions(tmp_path, {"list": table})
    assert (tmp_path / "list.txt").read_text() == "a 0.000000\nb 2.000000\n"


def test_hidden_lists_may_lack_media_too(challenge: tuple[Dataset, Path]) -> None:
    dataset, path = challenge
    path.write_text(path.read_text() + "last voices/English/00009.wav faces/English/00000.jpg\n")
    with pytest.raises(RequestError, match=r"lacks 1 of the media .* row 9"):
        read_trial_set(dataset, [path])
    assert read_trial_set(dataset, [path], skip_missing=True).hidden[0].skipped == 1
