"""Lists on disk: what was asked for, held by every trial, read back as drawn, with a recipe that makes them again."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.protocols.matching import MatchingTrials
from lowshot.evaluation.protocols.registry import find_table
from lowshot.evaluation.protocols.retrieval import Queries
from lowshot.evaluation.protocols.verification import VerificationTrials
from lowshot.evaluation.trial_lists.list_set import read_trial_set
from lowshot.evaluation.trial_lists.writing import write_lists
from lowshot.evaluation.trial_set import TrialSet, build_trial_set

from ..conftest import manifest_rows, write_dataset


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Test identities, and training identities of two held-out videos."""
    trained = manifest_rows(12, 1, split="train", prefix="tr")
    heard = [{**row, "split": ""} for row in manifest_rows(12, 2, prefix="tr")]
    for row in heard:
        row |= {"video": "x" + row["video"], "path": "x" + row["path"]}
    return write_dataset(manifest_rows(24, 2) + trained + heard, tmp_path_factory.mktemp("people"))


def built(people: Dataset, strata: Sequence[str] = (), seed: int = 0) -> TrialSet:
    return build_trial_set(people, strata=strata or None, seed=seed, replicates=100)


def write(out: Path, trials: TrialSet, strata: Sequence[str] = ()) -> list[Path]:
    return write_lists(out, trials, split="test", strata=strata, exclude_same_video=False)


def test_by_default_the_lists_are_those_that_are_evaluated(people: Dataset, tmp_path: Path) -> None:
    names = [path.name for path in write(tmp_path, built(people))]
    assert names == [
        "verification-unseen-unheard.csv",
        "verification-seen-heard.csv",
        "matching-unseen-unheard-voice_to_face.csv",
        "matching-unseen-unheard-face_to_voice.csv",
        "retrieval-unseen-unheard.csv",
        "recipe.json",
    ]


def test_lists_are_read_back_as_they_were_drawn(people: Dataset, tmp_path: Path) -> None:
    strata = ("G", "GN", "U")
    trials = built(people, strata)
    paths = write(tmp_path, trials, strata)
    assert len(paths) == 2 + 2 * 2 * 3 + 1 + 1
    read = read_trial_set(people, paths[:-1], replicates=100)
    for mine, theirs in (
        (trials.of(VerificationTrials), read.of(VerificationTrials)),
        (trials.of(MatchingTrials), read.of(MatchingTrials)),
    ):
        assert len(mine) == len(theirs)
        for drawn, again in zip(mine, theirs, strict=True):
            for fact in ("stratum", "seen", "same_video", "direction"):
                assert getattr(drawn, fact, "") == getattr(again, fact, "")
            columns = [field.name for field in fields(drawn) if isinstance(getattr(drawn, field.name), np.ndarray)]
            assert len(columns) == 3
            for column in columns:
                assert (getattr(drawn, column) == getattr(again, column)).all()
    assert (read.of(Queries)[0].voices == trials.of(Queries)[0].voices).all()
    assert read.of(Queries)[0].seen == "unseen-unheard"


def test_named_strata_hold_in_every_trial_for_seen_people_too(people: Dataset) -> None:
    trials = built(people, ("G", "GN"))
    assert [(part.stratum, part.seen) for part in trials.of(VerificationTrials)] == [
        (stratum, seen) for seen in ("unseen-unheard", "seen-heard") for stratum in ("G", "GN")
    ]
    assert {(part.stratum, part.seen) for part in trials.of(MatchingTrials)} == {
        (part.stratum, part.seen) for part in trials.of(VerificationTrials)
    }
    for part in trials.of(MatchingTrials):
        probe, other = (people.rows(modality) for modality in part.direction.split("_to_"))
        for attribute in find_table("verification").definition.attributes(part.stratum):
            for column in part.impostors.T:
                given = column >= 0
                mine = probe[attribute].to_numpy()[part.probe[given]]
                assert (mine == other[attribute].to_numpy()[column[given]]).all()
    with pytest.raises(RequestError, match="no stratum 'X'"):
        built(people, ("X",))


def test_the_recipe_says_what_makes_the_same_bytes_again(people: Dataset, tmp_path: Path) -> None:
    first = write(tmp_path / "a", built(people, ("GN",), seed=3), ("GN",))
    again = write(tmp_path / "b", built(people, ("GN",), seed=3), ("GN",))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    other = write(tmp_path / "c", built(people, ("GN",), seed=4), ("GN",))
    assert first[0].read_bytes() != other[0].read_bytes()
    recipe = json.loads(first[-1].read_text())
    asked = {key: recipe[key] for key in ("data_sha", "split", "seed", "strata", "exclude_same_video")}
    assert asked == {
        "data_sha": people.sha, "split": "test", "seed": 3, "strata": ["GN"], "exclude_same_video": False
    }  # fmt: skip
    assert set(recipe["lists"]) == {path.name for path in first[:-1]}
    for path in first[:-1]:
        assert recipe["lists"][path.name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert recipe["lists"]["verification-unseen-unheard.csv"]["trials"] == len(first[0].read_text().splitlines()) - 1
    assert recipe["protocols"]["matching"]["gallery_sizes"] == list(range(2, 11))
