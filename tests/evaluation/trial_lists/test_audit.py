"""Audits: every count against one made by hand, and the counts of the published lists."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from lowshot.data.dataset import Dataset
from lowshot.evaluation.evaluate import chance, score
from lowshot.evaluation.protocols.matching import build_matching
from lowshot.evaluation.protocols.retrieval import Queries, find_queries
from lowshot.evaluation.protocols.verification import build_verification
from lowshot.evaluation.scorers import EmbeddingScorer
from lowshot.evaluation.trial_lists.audit import Auditor
from lowshot.evaluation.trial_lists.counts import Audit, Share
from lowshot.evaluation.trial_lists.list_set import read_trial_set
from lowshot.evaluation.trial_lists.media import MediaIndex
from lowshot.evaluation.trial_lists.media_metadata import MetadataFinder
from lowshot.evaluation.trial_lists.read_list import read_list
from lowshot.evaluation.trial_lists.vox_names import VoxMeta, read_meta
from lowshot.evaluation.trials import split_population

from ..conftest import write_dataset, write_list
from .voxlike import face, gallery_text, matching_text, new_voice, old_voice, verification_text, vox_dataset, write_meta

Put = Callable[[str, str], Path]
REFERENCE = Path(os.environ.get("VOXCELEB1_LISTS", Path(__file__).parents[4] / "shared" / "reference" / "voxceleb1"))
has_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason="the published lists are not here")


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.fixture
def meta(tmp_path: Path) -> VoxMeta:
    write_meta(tmp_path / "vox1_meta.csv")
    return read_meta(tmp_path / "vox1_meta.csv")


def audit(*paths: Path, dataset: Dataset | None = None, meta: VoxMeta | None = None) -> list[Audit]:
    index = None if dataset is None else MediaIndex(dataset, meta)
    return Auditor(MetadataFinder(dataset, meta), index).audit([part for path in paths for part in read_list(path)])


def some(found: Audit, *names: str) -> list[Any]:
    return [found.counts[name] for name in names]


def test_verification_is_counted(put: Put, meta: VoxMeta) -> None:
    # Person 0 (f, Norway), 1 (m, Norway), 2 (m, Chile), 4 (m, Norway, trained on); impostors are the next person.
    text = verification_text((0, 1, 2, 4)).replace(face(1, 1, 50, ""), face(1, 0, 50, ""))
    last = text.splitlines()[-1].replace("16,", "17,", 1)
    path = put("veriflist_test_GN_unseenunheard.txt", f"{text}{last}\n")
    (found,) = audit(path, meta=meta)
    names = ("form", "protocol", "stratum", "seen", "trials", "positives", "negatives", "distinct_voices")
    assert some(found, *names) == ["voxceleb1", "verification", "GN", "unseen-unheard", 17, 8, 9, 8]
    assert some(found, "distinct_faces", "most_trials_of_a_voice", "duplicate_trials") == [8, 3, 1]
    # Person 1's second voice and its positive are of one video.
    assert found.counts["positives_of_one_video"] == Share(1, 8)
    # 0 -> 1 and 4 -> 0 are of other genders, 1 -> 2 and 2 -> 4 of other nations; each twice, 4 -> 0 three times.
    assert found.counts["impostors_sharing_gender"] == Share(4, 9)
    assert found.counts["impostors_sharing_nationality"] == Share(5, 9)
    assert found.counts["impostors_sharing_age"] == Share(0, 0)
    assert found.counts["labels_against_identities"] == Share(0, 17)
    assert some(found, "identities", "identities_trained_on", "unknown_identities") == [4, Share(1, 4), 0]
    assert some(found, "chance_auc", "chance_eer") == [0.5, 0.5]
    assert found.findings == [
        "trials that repeat earlier ones: 1, the first in row 18",
        "positives of one video: 1 of 8 (12.5 %); they share the recording, not only the person",
        "stratum GN leaks: 5 of 9 (55.6 %) impostors do not share gender, the first in row 3",
        "stratum GN leaks: 4 of 9 (44.4 %) impostors do not share nationality, the first in row 7",
        "unseen-unheard, but 1 of 4 (25.0 %) identities are trained on",
    ]


def test_labels_that_contradict_people_are_counted(put: Put, meta: VoxMeta) -> None:
    lines = verification_text().splitlines()
    lines[3] = lines[3].replace(",1,Ada", ",0,Ada").replace(",1,1,1,", ",1,1,0,")
    (found,) = audit(put("list.txt", "\n".join(lines) + "\n"), meta=meta)
    assert found.counts["labels_against_identities"] == Share(1, 16)
    assert "1 labels contradict the identities, the first in row 4" in found.findings


def test_people_of_no_table_and_lists_of_one_class_are_told(put: Put, meta: VoxMeta) -> None:
    lines = [line for line in verification_text().splitlines() if ",0," not in line]
    text = "\n".join(lines).replace("Bo_Vox", "Who")
    (found,) = audit(put("list_seenheard.txt", text + "\n"), meta=meta)
    assert found.counts["unknown_identities"] == 1
    assert f"{meta.path} does not know 1: Who" in found.findings
    assert "only positives: figures need trials of both classes" in found.findings
    assert "seen-heard, but only 0 of 4 (0.0 %) identities are trained on" in found.findings


@pytest.mark.parametrize("size", [2, 4])
def test_matching_is_counted(put: Put, meta: VoxMeta, size: int) -> None:
    text = matching_text("f2v", size).replace(new_voice(0, 1, 1), new_voice(0, 0, 1), 1)
    (found,) = audit(put("matching_f2v_G.csv", text), meta=meta)
    assert some(found, "direction", "stratum", "trials", "candidates_of_a_trial") == ["face_to_voice", "G", 8, size]
    assert some(found, "distinct_probes", "distinct_candidates") == [8, 9]
    assert found.counts["targets_of_one_video"] == Share(1, 8)
    # Of persons 0 (f), 1 (m), 2 (m), 3 (f): each has one of the same gender among the other three, 1 and 3 the next.
    same = {2: Share(4, 8), 4: Share(8, 24)}[size]
    assert found.counts["impostors_sharing_gender"] == same
    assert found.counts[f"chance_accuracy_1:{size}"] == 1 / size
    assert any(
        finding.startswith(f"stratum G leaks: {same.of - same.count} of {same.of}") for finding in found.findings
    )


def test_targets_among_impostors_and_of_other_people_are_counted(put: Put, meta: VoxMeta) -> None:
    lines = matching_text().splitlines()
    lines[1] = lines[1].replace(face(1, 1, 50), face(0, 1, 50))
    lines[4] = lines[4].replace(face(2, 1, 25), face(1, 1, 25))
    (found,) = audit(put("list.csv", "\n".join(lines) + "\n"), meta=meta)
    assert found.counts["targets_among_their_impostors"] == 1
    assert found.counts["targets_against_identities"] == Share(2, 8)
    assert "the target is an impostor too in 1 trials, the first in row 2" in found.findings


def test_retrieval_of_two_files_is_one_audit(put: Put, meta: VoxMeta) -> None:
    voices = "\n".join(gallery_text("voice").splitlines()[:-3]) + "\n"
    paths = [put("wav.csv", voices), put("jpg.csv", gallery_text("face"))]
    (found,) = audit(*paths, meta=meta)
    assert found.title == f"{paths[0]} and {paths[1]}"
    assert some(found, "voices", "faces", "identities", "duplicate_voices") == [13, 16, 4, 0]
    assert some(found, "fewest_items_of_an_identity", "most_items_of_an_identity") == [1, 4]
    # Four of 16 faces are anyone's; of 14 that are not of the query's video, two.
    assert found.counts["chance_map_as_listed_voice_to_face"] == pytest.approx(4 / 16)
    assert found.counts["chance_map_voice_to_face"] == pytest.approx(2 / 14)
    # Two faces of the last person have their only voice in their own video.
    assert found.counts["chance_map_face_to_voice"] == pytest.approx((12 * 2 / 11 + 2 * 1 / 13) / 14)
    (alone,) = audit(paths[0], meta=meta)
    assert some(alone, "items", "modality", "duplicate_items", "identities") == [13, "voice", 0, 4]


def test_chance_is_that_of_the_protocol(dataset: Dataset, tmp_path: Path) -> None:
    people = split_population(dataset)
    queries = find_queries(people.voices, people.faces, people.seen, "voice_to_face", dataset)
    write_list(tmp_path / "r.csv", "retrieval", [queries], dataset)
    (found,) = audit(tmp_path / "r.csv", dataset=dataset)
    rows = chance(read_trial_set(dataset, [tmp_path / "r.csv"]))
    for direction in ("voice_to_face", "face_to_voice"):
        figures = rows[(rows["direction"] == direction) & (rows["group"] == "")].set_index("metric")["value"]
        for metric in ("map", "recall@1", "recall@5", "recall@10"):
            assert found.counts[f"chance_{metric}_{direction}"] == pytest.approx(figures[metric], abs=1e-12)


def test_built_lists_hold_what_they_promise(dataset: Dataset, tmp_path: Path) -> None:
    people = split_population(dataset)
    attributes = ("gender", "nationality", "age")
    verified = [build_verification(dataset, people, s, a, (30, 45, 60), 0) for s, a in [("U", ()), ("GNA", attributes)]]
    write_list(tmp_path / "v.csv", "verification", verified, dataset)
    matched = build_matching(dataset, people, "face_to_voice", 4, "GN", attributes[:2], (30, 45, 60), 0)
    write_list(tmp_path / "matching-unseen-unheard-face_to_voice-GN.csv", "matching", [matched], dataset)
    found = audit(tmp_path / "v.csv", tmp_path / "matching-unseen-unheard-face_to_voice-GN.csv", dataset=dataset)
    assert [part.findings for part in found] == [[], [], []]
    assert [part.counts["stratum"] for part in found] == ["U", "GNA", "GN"]
    impostors = int((matched.impostors >= 0).sum())
    for part, count, shared in zip(found, (144, 144, impostors), ((), attributes, attributes[:2]), strict=True):
        assert some(part, "identities", "unknown_files", "identities_trained_on") == [48, 0, Share(0, 48)]
        for attribute in shared:
            assert part.counts[f"impostors_sharing_{attribute}"] == Share(count, count)
    assert found[0].counts["impostors_sharing_gender"] != Share(144, 144)


def test_a_dataset_says_what_it_lacks_and_who_is_trained_on(put: Put, tmp_path: Path) -> None:
    archive = vox_dataset(tmp_path / "archive")
    meta = read_meta(archive.root / "vox1_meta.csv")
    text = verification_text((0, 4)).replace("a_-00000000_0000001", "a_-00000000_0000009")
    path = put("veriflist_test_G_seenheard.txt", text)
    (found,) = audit(path, dataset=archive, meta=meta)
    assert found.counts["unknown_files"] == 1
    assert f"archive lacks 1: {old_voice(0, 0, 9)}" in found.findings
    assert found.counts["identities_trained_on"] == Share(1, 2)
    assert found.counts["media_without_identity"] == 0
    # Nothing is known of what is not there.
    assert found.counts["labels_against_identities"] == Share(0, 6)


def test_media_of_nobody_are_told(put: Put, tmp_path: Path) -> None:
    archive = vox_dataset(tmp_path / "archive")
    table = archive.manifest
    table.loc[table["identity"] == "id20002", "identity"] = ""
    archive = write_dataset(table, archive.root)
    meta = read_meta(archive.root / "vox1_meta.csv")
    (found,) = audit(put("list.txt", verification_text((0, 1, 5))), dataset=archive, meta=meta)
    assert some(found, "media_without_identity", "identities", "identities_trained_on") == [4, 2, Share(1, 2)]
    names = f"{old_voice(1, 0, 1)}, {old_voice(1, 0, 2)}, {face(1, 1, 25, '')}, {face(1, 1, 50, '')}"
    assert f"archive gives no identity to 4: {names}" in found.findings
    assert "1 of 2 (50.0 %) identities are trained on, the others are not" in found.findings


def test_without_table_and_dataset_two_namings_are_not_taken_for_two_people(put: Put) -> None:
    (found,) = audit(put("matching_v2f_G.csv", matching_text()))
    assert found.counts["targets_against_identities"] == Share(0, 0)
    assert any("different names" in finding for finding in found.findings)
    assert "stratum G cannot be checked: no gender is known" in found.findings


def test_hidden_labels_leave_names_to_count(put: Put) -> None:
    lines = [f"k{n} voices/English/{n % 3:05d}.wav faces/English/{n % 2:05d}.jpg" for n in range(7)]
    (found,) = audit(put("English_test.txt", "\n".join(lines) + "\n"))
    assert some(found, "form", "trials", "distinct_voices", "distinct_faces") == ["mavceleb", 7, 3, 2]
    # Folders such as `voices` are no people.
    assert some(found, "duplicate_trials", "identities") == [1, 0]


def test_all_lists_together_count_a_medium_once_whatever_it_is_called(put: Put, meta: VoxMeta) -> None:
    lists = [*read_list(put("v.txt", verification_text())), *read_list(put("m.csv", matching_text()))]
    total = Auditor(MetadataFinder(None, meta)).total(lists)
    # 16 pairs and 8 trials of three media; the voices of both are the same eight, and so are the faces.
    assert total.counts == {"media_named": 16 * 2 + 8 * 3, "distinct_voices": 8, "distinct_faces": 8}


def test_text_and_record_say_the_same(put: Put, meta: VoxMeta) -> None:
    (found,) = audit(put("veriflist_test_G_unseenunheard.txt", verification_text()), meta=meta)
    lines = str(found).splitlines()
    assert lines[0] == found.title
    assert "  impostors sharing gender            4 of 8 (50.0 %)" in lines
    assert lines[-1].startswith("  ! stratum G leaks")
    record = found.record()
    assert record["impostors_sharing_gender"] == {"count": 4, "of": 8}
    assert record["findings"] == found.findings


@has_reference
def test_the_counts_of_the_published_lists_come_out() -> None:
    meta = read_meta(REFERENCE / "vox1_meta.csv")
    paths = sorted(path for path in REFERENCE.glob("*/*") if path.is_file())
    lists = [part for path in paths for part in read_list(path)]
    auditor = Auditor(MetadataFinder(None, meta))
    found = {Path(part.title).name: part for part in auditor.audit(lists)}
    pairs = found["veriflist_test_random_unseenunheard.txt"]
    assert some(pairs, "positives", "negatives", "distinct_voices", "distinct_faces") == [15248, 15248, 30496, 28649]
    assert some(pairs, "identities", "identities_trained_on") == [250, Share(0, 250)]
    assert pairs.counts["positives_of_one_video"] == Share(2042, 15248)
    heard = found["veriflist_test_G_seenheard.txt"]
    assert some(heard, "identities_trained_on", "impostors_sharing_gender") == [Share(901, 901), Share(8977, 9010)]
    for name in ("matching_v2f_U.csv", "matching_f2v_G.csv"):
        assert some(found[name], "trials", "targets_against_identities") == [10000, Share(0, 10000)]
    assert found["matching_v2f_U.csv"].counts["distinct_candidates"] == 18953
    items = next(part for title, part in found.items() if title.endswith("wav_20k.csv"))
    assert some(items, "voices", "faces", "identities") == [20000, 20000, 250]
    assert some(items, "fewest_items_of_an_identity", "most_items_of_an_identity") == [17, 371]
    assert items.counts["chance_map_as_listed_voice_to_face"] == pytest.approx(0.0055, abs=5e-5)
    unseen = [part for part in lists if "seenheard" not in part.path.name]
    assert auditor.total(unseen).counts["distinct_voices"] == 30500


@has_reference
def test_the_published_lists_are_scored_as_scikit_learn_does(tmp_path: Path) -> None:
    meta = read_meta(REFERENCE / "vox1_meta.csv")
    paths = [REFERENCE / "verification" / "veriflist_test_random_unseenunheard.txt"]
    paths.append(REFERENCE / "matching" / "matching_f2v_G.csv")
    paths += [REFERENCE / "retrieval" / name for name in ("wav_20k.csv", "jpg_20k.csv")]
    finder, known = MetadataFinder(None, meta), {}
    for part in (part for path in paths for part in read_list(path)):
        for modality, names in part.media():
            for name in names:
                medium = finder.medium(modality, name)
                known[(modality, medium)] = {
                    "path": f"{modality}/{'/'.join(map(str, medium))}.x",
                    "modality": modality,
                    "video": f"{medium[0]}/{medium[1]}",
                    "identity": medium[0],
                    "split": "test",
                }
    dataset = write_dataset(pd.DataFrame(known.values()), tmp_path)
    rng = np.random.default_rng(0)
    centre = {name: rng.standard_normal(8) for name in sorted(dataset.manifest["identity"].unique())}
    rows = [dataset.rows(modality)["identity"] for modality in ("voice", "face")]
    scorer = EmbeddingScorer(*(np.stack([centre[i] for i in r]) + rng.standard_normal((len(r), 8)) for r in rows))
    trials = read_trial_set(dataset, paths, meta=meta, replicates=100)
    result = score(trials, scorer, {"method": "m"})
    rows = result.rows
    figures = rows[rows["group"] == ""].set_index(["protocol", "metric"])["value"]
    table = result.scores["verification-unseen-unheard-U"]
    assert len(table) == 30496
    assert figures["verification", "auc"] == pytest.approx(roc_auc_score(table["label"], table["score"]), abs=1e-9)
    table = result.scores["matching-unseen-unheard-face_to_voice-G"]
    credit = (table["score"] > table["score_1"]) + 0.5 * (table["score"] == table["score_1"])
    assert figures["matching", "accuracy"] == pytest.approx(credit.mean(), abs=1e-12)
    assert 0.7 < figures["matching", "accuracy"] < 1
    table = result.scores["retrieval-unseen-unheard-voice_to_face"].set_index("query")
    assert len(table) == 20000
    of_voices = rows[(rows["metric"] == "map") & (rows["direction"] == "voice_to_face") & (rows["group"] == "")]
    assert of_voices["value"].item() == pytest.approx(table["average_precision"].mean(), abs=1e-12)
    names = {path: row for row, path in enumerate(dataset.voices["path"])}
    gallery = trials.of(Queries)[0].gallery
    items = dataset.faces.iloc[gallery]
    for name in table.index[::400]:
        query = dataset.voices.iloc[names[name]]
        # The faces of the query's own video are not ranked.
        ranked = (items["video"] != query["video"]).to_numpy()
        relevant = (items["identity"] == query["identity"]).to_numpy()[ranked]
        scores = scorer.matrix(np.array([names[name]]), gallery)[0]
        expected = average_precision_score(relevant, scores[ranked])
        assert table.loc[name, "average_precision"] == pytest.approx(expected, abs=1e-9)
