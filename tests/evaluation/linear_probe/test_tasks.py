"""What probes within a modality are fitted on and asked: labelled people, their other videos, people of split test."""

import numpy as np
import pandas as pd
import pytest

from lowshot.adapt.run import videos_of_subset
from lowshot.adapt.subsets import draw_subset
from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.linear_probe.tasks import TRAINING, clips_of, task_of
from lowshot.schema import SEEN, UNSEEN

BOUNDS = (30.0, 45.0, 60.0)


def person(name, split="train", videos=("a", "b", "c"), faces=2, **about):
    about = {"gender": "m", "nationality": "USA", "age": "40", **about}
    return [
        {
            "path": f"{name}/{split}/{video}/{kind}{number}",
            "modality": kind,
            "video": f"{name}-{video}",
            "identity": name,
            "split": split,
            **about,
        }
        for video in videos
        for kind, count in (("voice", 1), ("face", faces))
        for number in range(count)
    ]


def clips(tmp_path, rows, modality="voice", fraction=1.0, change=None):
    table = pd.DataFrame(rows)
    if change is not None:
        table = change(table)
    (tmp_path / "data").mkdir()
    table.to_csv(tmp_path / "data" / "manifest.csv", index=False)
    dataset = Dataset.open(tmp_path / "data")
    labelled = videos_of_subset(dataset, draw_subset(dataset.manifest, fraction, 0))
    return clips_of(dataset, modality, labelled, BOUNDS)


PEOPLE = [
    *person("anna", gender="f", age="29"),
    *person("bert", age="61", nationality="UK"),
    *person("carl", age="45"),
    *person("anna", split="", videos=("x",), gender="f", age="29"),
    *person("bert", split="", videos=("x", "y"), age="61", nationality="UK"),
    *person("stranger", split="", videos=("x",)),
    *person("vera", split="val"),
    *person("tom", split="test", age="30"),
    *person("tina", split="test", gender="f", age="70", nationality="Norway"),
    *person("tess", split="test", videos=("a",), gender=" ", age="", nationality=""),
]


def videos(task, places):
    return list(task.clips.column("video", places))


def test_identities_are_asked_of_videos_that_nothing_was_trained_on(tmp_path):
    task = task_of("identity", clips(tmp_path, PEOPLE), 0)
    assert sorted(videos(task, task.fitted)) == [f"{who}-{v}" for who in ("anna", "bert", "carl") for v in "abc"]
    assert videos(task, task.measured) == ["anna-x", "bert-x", "bert-y"]
    assert list(task.classes) == ["anna", "bert", "bert"] == list(task.identities)
    assert list(task.fit_classes) == [video.split("-")[0] for video in videos(task, task.fitted)]
    assert list(task.fit_groups) == videos(task, task.fitted)
    assert (task.seen, task.skipped, task.warnings) == (SEEN, 0, ())


def test_another_clip_of_a_trained_video_is_not_held_out(tmp_path):
    rows = [*PEOPLE, *person("anna", split="", videos=("a",), gender="f", age="29")]
    task = task_of("identity", clips(tmp_path, rows), 0)
    assert videos(task, task.measured) == ["anna-x", "bert-x", "bert-y"]


@pytest.mark.parametrize("seed", range(4))
def test_without_such_videos_a_fifth_of_the_labelled_ones_is_held_out(tmp_path, seed):
    rows = [
        *person("many", videos=[f"{number:02d}" for number in range(12)]),
        *person("few", videos=("a", "b")),
        *person("one", videos=("a",)),
        *person("many", split="", videos=("x",)),
        *person("tom", split="test"),
    ]
    task = task_of("identity", clips(tmp_path, rows), seed)
    fitted, measured = videos(task, task.fitted), videos(task, task.measured)
    assert sorted(fitted + measured) == sorted(
        [*(f"many-{number:02d}" for number in range(12)), "few-a", "few-b", "one-a"]
    )
    assert sorted(task.classes) == ["few", "many", "many"]
    assert set(task.fit_classes) == {"many", "few", "one"}
    assert task.seen == TRAINING
    assert "the pretraining has" in task.warnings[0]


def test_held_out_videos_hang_on_the_seed(tmp_path):
    rows = [*person("ann", videos=range(30)), *person("bob", videos=range(30)), *person("tom", split="test")]
    part = clips(tmp_path, rows)
    drawn = [videos(task, task.measured) for task in (task_of("identity", part, seed) for seed in (0, 0, 1))]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 12


def test_single_videos_leave_nothing_to_ask(tmp_path):
    rows = [*person("ann", videos=("a",)), *person("bob", videos=("a",)), *person("tom", split="test")]
    with pytest.raises(RequestError, match="identity: each labelled identity has one labelled video"):
        task_of("identity", clips(tmp_path, rows), 0)


def test_attributes_are_asked_of_people_of_split_test(tmp_path):
    part = clips(tmp_path, PEOPLE)
    task = task_of("gender", part, 0)
    assert sorted(videos(task, task.fitted)) == [f"{who}-{v}" for who in ("anna", "bert", "carl") for v in "abc"]
    assert set(zip(task.fit_groups, task.fit_classes, strict=True)) == {("anna", "f"), ("bert", "m"), ("carl", "m")}
    assert list(task.identities) == ["tom"] * 3 + ["tina"] * 3
    assert list(task.classes) == ["m"] * 3 + ["f"] * 3
    # Of tess nothing is known: a blank is no gender.
    assert (task.seen, task.skipped, task.warnings) == (UNSEEN, 1, ())


def test_ages_are_asked_as_groups(tmp_path):
    task = task_of("age", clips(tmp_path, PEOPLE), 0)
    found = dict(zip(task.fit_groups, task.fit_classes, strict=True))
    assert found == {"anna": "<30", "bert": "60+", "carl": "45-59"}
    assert list(task.classes) == ["30-44"] * 3 + ["60+"] * 3
    assert task.warnings == ("age: 3 of 6 videos have a class without a label (30-44) and count as errors",)


def test_classes_that_nobody_labelled_has_are_noted(tmp_path):
    task = task_of("nationality", clips(tmp_path, PEOPLE), 0)
    assert "3 of 6 videos have a class without a label (Norway)" in task.warnings[0]
    assert set(task.fit_classes) == {"USA", "UK"}


@pytest.mark.parametrize(
    ("target", "change", "fault"),
    [
        ("gender", lambda t: t.drop(columns="gender"), "gender: the manifest has no column 'gender'"),
        ("gender", lambda t: t.assign(gender="m"), "gender: all labelled identities are 'm', but a probe needs"),
        ("age", lambda t: t.assign(age="50"), "age: all labelled identities are '45-59'"),
        ("gender", lambda t: t.assign(gender=""), "gender: no labelled identity has a gender"),
        (
            "gender",
            lambda t: t.assign(gender=t["gender"].where(t["split"] != "test", "")),
            "gender: no identity of split test has a gender",
        ),
        ("nationality", lambda t: t[t["split"] != "test"], "nationality: no identity of split test has a nationality"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path, target, change, fault):
    with pytest.raises(RequestError, match=fault) as refused:
        task_of(target, clips(tmp_path, PEOPLE, change=change), 0)
    assert "\n" not in str(refused.value)


def test_labelled_videos_of_unknown_attribute_are_left_out_and_counted(tmp_path):
    rows = [*PEOPLE, *person("who", gender="")]
    task = task_of("gender", clips(tmp_path, rows), 0)
    assert "who" not in set(task.fit_groups)
    assert "gender: skipped 3 of 12 labelled videos" in task.warnings[0]


def test_only_labelled_videos_are_fitted_on(tmp_path):
    part = clips(tmp_path, PEOPLE, fraction=0.67)
    task = task_of("gender", part, 0)
    assert len(set(task.fit_groups)) == 2
    assert set(part.about["identity"]) == {*task.fit_groups, "tom", "tina", "tess"}


@pytest.mark.parametrize("modality", ["voice", "face"])
def test_a_video_is_the_mean_direction_of_its_media(tmp_path, modality):
    part = clips(tmp_path, PEOPLE, modality)
    generator = np.random.default_rng(0)
    embedded = generator.normal(size=(len(part.rows), 4)).astype(np.float32)
    embedded /= np.linalg.norm(embedded, axis=1, keepdims=True)
    vectors = part.vectors(embedded)
    of_row = dict(zip(part.rows.tolist(), embedded, strict=True))
    assert [len(media) for media in part.media] == [1 if modality == "voice" else 2] * len(part.about)
    for place, media in enumerate(part.media):
        mean = sum(of_row[row].astype(float) for row in media.tolist())
        assert vectors[place] == pytest.approx(mean / np.linalg.norm(mean))
    table = pd.read_csv(tmp_path / "data" / "manifest.csv", dtype=str)
    names = table[table["modality"] == modality].reset_index(drop=True)["video"]
    assert [names[media[0]] for media in part.media] == part.about["video"].tolist()
    assert (part.vectors(np.zeros_like(embedded)) == 0.0).all()
