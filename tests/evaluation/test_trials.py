"""Trials: what they promise holds in every one of them."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.protocols.matching import MatchingTrials, build_matching
from lowshot.evaluation.protocols.registry import find_table
from lowshot.evaluation.protocols.verification import VerificationTrials, build_verification
from lowshot.evaluation.strata import age_group
from lowshot.evaluation.trials import Population, row_names, seen_heard_population, split_population

from .conftest import manifest_rows

BOUNDS = (30.0, 45.0, 60.0)
STRATA = find_table("verification").definition.strata
Make = Callable[[list[dict[str, str]] | pd.DataFrame], Dataset]


def verification(
    dataset: Dataset, stratum: str = "U", seed: int = 0, population: Population | None = None
) -> VerificationTrials:
    people = population or split_population(dataset)
    return build_verification(dataset, people, stratum, STRATA[stratum], BOUNDS, seed)


def matching(
    dataset: Dataset, direction: str = "voice_to_face", largest: int = 10, stratum: str = "U", seed: int = 0
) -> MatchingTrials:
    people = split_population(dataset)
    return build_matching(dataset, people, direction, largest, stratum, STRATA[stratum], BOUNDS, seed)


def named(dataset: Dataset, trials: VerificationTrials) -> dict[str, tuple[str, str]]:
    """Positive and negative face of each voice, by name."""
    voices, faces = row_names(dataset, "voice"), row_names(dataset, "face")
    return {
        voices[v]: (faces[p], faces[n])
        for v, p, n in zip(trials.voice[::2], trials.face[::2], trials.face[1::2], strict=True)
    }


@pytest.mark.parametrize("stratum", STRATA)
def test_every_impostor_shares_the_stratums_attributes_and_no_identity(dataset: Dataset, stratum: str) -> None:
    trials = verification(dataset, stratum)
    voices = dataset.voices.iloc[trials.voice[1::2]].reset_index(drop=True)
    faces = dataset.faces.iloc[trials.face[1::2]].reset_index(drop=True)
    assert len(trials) == 2 * 48 * 3
    assert not trials.label[1::2].any()
    assert (voices["identity"] != faces["identity"]).all()
    for attribute in STRATA[stratum]:
        assert (voices[attribute] == faces[attribute]).all()
    assert {*voices["split"], *faces["split"]} == {"test"}


def test_positives_are_of_the_same_identity_and_another_video(dataset: Dataset) -> None:
    trials = verification(dataset)
    voices = dataset.voices.iloc[trials.voice[::2]].reset_index(drop=True)
    faces = dataset.faces.iloc[trials.face[::2]].reset_index(drop=True)
    assert trials.label[::2].all()
    assert (voices["identity"] == faces["identity"]).all()
    assert (voices["video"] != faces["video"]).all()
    assert trials.same_video == 0
    assert sorted(trials.voice[::2]) == list(split_population(dataset).voices)


def test_an_identity_of_one_video_gives_counted_same_video_positives(make_dataset: Make) -> None:
    rows = manifest_rows(4, 3) + manifest_rows(5, 1, prefix="single")
    assert verification(make_dataset(rows)).same_video == 5


@pytest.mark.parametrize("direction", ["verification", "voice_to_face", "face_to_voice"])
def test_same_video_positives_are_excluded_on_request(make_dataset: Make, direction: str) -> None:
    dataset = make_dataset(manifest_rows(4, 3) + manifest_rows(5, 1, prefix="single"))
    people = split_population(dataset)
    if direction == "verification":
        default, without = (
            build_verification(dataset, people, "U", (), BOUNDS, 0, exclude) for exclude in (False, True)
        )
        kept = default.voice[::2] < 12
        assert (without.voice[::2] == default.voice[::2][kept]).all()
        assert (without.face[1::2] == default.face[1::2][kept]).all()
    else:
        default, without = (
            build_matching(dataset, people, direction, 3, "U", (), BOUNDS, 0, exclude) for exclude in (False, True)
        )
        kept = default.probe < 12 * (2 if direction == "face_to_voice" else 1)  # type: ignore[attr-defined]
        assert (without.probe == default.probe[kept]).all()  # type: ignore[attr-defined]
        assert (without.impostors == default.impostors[kept]).all()  # type: ignore[attr-defined]
    assert (default.same_video, default.unmatched) == (int((~kept).sum()), 0)
    assert (without.same_video, without.unmatched) == (0, int((~kept).sum()))


def test_voices_without_an_eligible_impostor_are_left_out_and_counted(make_dataset: Make) -> None:
    rows = manifest_rows(6, 2)
    for row in rows:
        row["nationality"] = {"id000": "Iceland", "id001": ""}.get(row["identity"], "UK")
    trials = verification(make_dataset(rows), "N")
    assert trials.unmatched == 4
    assert len(trials) == 2 * 4 * 2


def test_a_row_of_unknown_attribute_is_no_impostor_even_for_another_unknown(make_dataset: Make) -> None:
    rows = manifest_rows(8, 2)
    for row in rows:
        row["gender"] = "" if row["identity"] in ("id000", "id002", "id004") else "m"
    dataset = make_dataset(rows)
    trials = verification(dataset, "G")
    assert set(dataset.faces["gender"].iloc[trials.face[1::2]]) == {"m"}
    assert trials.unmatched == 6


def test_numeric_ages_meet_within_their_group_only(make_dataset: Make) -> None:
    rows = manifest_rows(8, 2)
    years = {f"id{i:03d}": age for i, age in enumerate(("29.5", "20", "30", "44", "45", "59", "60", "81"))}
    for row in rows:
        row["age"] = years[row["identity"]]
    dataset = make_dataset(rows)
    trials = verification(dataset, "A")
    pairs = zip(
        dataset.voices["identity"].iloc[trials.voice[1::2]],
        dataset.faces["identity"].iloc[trials.face[1::2]],
        strict=True,
    )
    assert {tuple(sorted(pair)) for pair in pairs} == {
        ("id000", "id001"),
        ("id002", "id003"),
        ("id004", "id005"),
        ("id006", "id007"),
    }


@pytest.mark.parametrize(
    ("age", "group"),
    [
        ("29.9", "<30"),
        ("30", "30-44"),
        ("44", "30-44"),
        ("45", "45-59"),
        ("60", "60+"),
        (" 101 ", "60+"),
        ("young adult", "young adult"),
        ("30-44", "30-44"),
        ("", ""),
        ("nan", ""),
    ],
)
def test_age_group(age: str, group: str) -> None:
    assert age_group(age, BOUNDS) == group


def test_trials_do_not_depend_on_the_order_of_the_manifest(make_dataset: Make) -> None:
    rows = pd.DataFrame(manifest_rows(12, 3))
    forward = make_dataset(rows)
    expected = {s: named(forward, verification(forward, s)) for s in STRATA}
    shuffled = make_dataset(rows.sample(frac=1, random_state=1))
    assert {s: named(shuffled, verification(shuffled, s)) for s in STRATA} == expected


def test_a_new_identity_changes_only_the_trials_that_draw_it(make_dataset: Make) -> None:
    rows = manifest_rows(20, 3)
    dataset = make_dataset(rows)
    before = named(dataset, verification(dataset))
    larger = make_dataset(manifest_rows(1, 3, prefix="new") + rows)
    after = named(larger, verification(larger))
    changed = [voice for voice in before if after[voice] != before[voice]]
    assert 0 < len(changed) < 15
    assert all(after[voice][1].startswith("faces/new000") for voice in changed)
    assert all(after[voice][0] == before[voice][0] for voice in changed)


def test_strata_differ_by_their_impostors_alone_and_seeds_by_everything(dataset: Dataset) -> None:
    everyone, alike, other_seed = verification(dataset), verification(dataset, "G"), verification(dataset, seed=1)
    assert (everyone.face[::2] == alike.face[::2]).all()
    assert (everyone.face[1::2] != alike.face[1::2]).mean() > 0.8
    assert (everyone.face[::2] != other_seed.face[::2]).mean() > 0.5
    assert (everyone.face[1::2] != other_seed.face[1::2]).mean() > 0.8


def test_impostors_are_uniform_over_identities_however_many_faces_they_have(make_dataset: Make) -> None:
    rows = manifest_rows(1, 200, faces=1) + manifest_rows(8, 2, prefix="few") + manifest_rows(1, 2, 60, prefix="many")
    dataset = make_dataset(rows)
    drawn: Counter[str] = Counter()
    for seed in range(3):
        trials = verification(dataset, seed=seed)
        of_first = (dataset.voices["identity"].iloc[trials.voice] == "id000").to_numpy() & ~trials.label
        drawn.update(dataset.faces["identity"].iloc[trials.face[of_first]])
    assert len(drawn) == 9
    # 600 draws over 9 identities: 66.7 each with a standard deviation of 7.7.
    assert max(abs(count - 600 / 9) for count in drawn.values()) < 4 * 7.7


@pytest.mark.parametrize("direction", ["voice_to_face", "face_to_voice"])
def test_matching_candidates_are_of_distinct_identities(dataset: Dataset, direction: str) -> None:
    trials = matching(dataset, direction)
    probe, candidate = direction.split("_to_")
    probes = dataset.rows(probe).iloc[trials.probe].reset_index(drop=True)
    targets = dataset.rows(candidate).iloc[trials.target].reset_index(drop=True)
    identity = dataset.rows(candidate)["identity"].to_numpy()
    assert len(trials) == len(split_population(dataset).rows(probe))
    assert (probes["identity"] == targets["identity"]).all()
    assert (probes["video"] != targets["video"]).all()
    for own, row in zip(probes["identity"], identity[trials.impostors], strict=True):
        assert len({own, *row}) == 10


def test_galleries_are_nested(dataset: Dataset) -> None:
    trials = matching(dataset)
    sizes = find_table("matching").definition.gallery_sizes
    assert sizes == tuple(range(2, 11))
    galleries = [trials.gallery(size) for size in sizes]
    for (smaller, _), (larger, _) in pairwise(galleries):
        for few, many in zip(smaller, larger, strict=True):
            assert set(few) < set(many)
            assert len(set(many)) == len(set(few)) + 1
    short = matching(dataset, largest=4)
    assert (short.impostors == trials.impostors[:, :3]).all()
    assert (short.target == trials.target).all()


@pytest.mark.parametrize("size", [2, 3, 7, 10])
@pytest.mark.parametrize("direction", ["voice_to_face", "face_to_voice"])
def test_the_targets_place_carries_no_information(dataset: Dataset, direction: str, size: int) -> None:
    trials = matching(dataset, direction)
    candidates, place = trials.gallery(size)
    assert (candidates[np.arange(len(trials)), place] == trials.target).all()
    expected = len(trials) / size
    chi_square = ((np.bincount(place, minlength=size) - expected) ** 2 / expected).sum()
    # Mean of the statistic: size - 1; variance: 2 (size - 1).
    assert chi_square < (size - 1) + 4 * np.sqrt(2 * (size - 1))


def test_matching_in_a_stratum_runs_out_of_impostors_at_the_end_of_a_row(dataset: Dataset) -> None:
    trials = matching(dataset, stratum="GNA")
    given = trials.impostors >= 0
    assert given[:, 0].all()
    assert not given.all()
    assert (given[:, :-1] >= given[:, 1:]).all()
    # Two identities share gender, nationality and age group.
    assert trials.largest == 2
    keys = ["gender", "nationality", "age"]
    probes = dataset.voices.iloc[trials.probe][keys].to_numpy()
    assert (dataset.faces.iloc[trials.impostors[:, 0]][keys].to_numpy() == probes).all()


def test_an_unknown_direction_is_refused(dataset: Dataset) -> None:
    with pytest.raises(RequestError, match="sideways"):
        matching(dataset, "sideways")


def test_seen_heard_rows_are_unsplit_rows_of_training_identities(dataset: Dataset) -> None:
    population = seen_heard_population(dataset)
    assert population is not None
    assert population.seen == "seen-heard"
    assert set(dataset.voices["identity"].iloc[population.voices]) == {f"tr{i:03d}" for i in range(10)}
    assert set(dataset.voices["split"].iloc[population.voices]) == {""}
    assert len(population.faces) == 20
    trials = verification(dataset, population=population)
    assert trials.same_video == 10


def test_unsplit_rows_of_other_identities_are_not_seen_heard(make_dataset: Make) -> None:
    rows = (
        manifest_rows(4, 2)
        + manifest_rows(3, 2, split="train", prefix="tr")
        + manifest_rows(3, 2, split="", prefix="x")
    )
    assert seen_heard_population(make_dataset(rows)) is None


def test_rows_without_identity_take_no_part_and_are_counted(make_dataset: Make) -> None:
    rows = manifest_rows(5, 2)
    for row in rows:
        if row["video"] == "id004-v1":
            row["identity"] = ""
    population = split_population(make_dataset(rows))
    assert population.unlabelled == 3
    assert len(population.voices) == 9


TRAINED_TOO = manifest_rows(4, 2) + manifest_rows(2, 2, split="train", prefix="t")


def without(rows: list[dict[str, str]], modality: str) -> list[dict[str, str]]:
    return [row for row in rows if row["modality"] != modality or row["split"] != "test"]


@pytest.mark.parametrize(
    ("rows", "split", "message"),
    [
        (manifest_rows(4, 2, split="train"), "test", "no rows"),
        (manifest_rows(4, 2), "val", "no rows"),
        (manifest_rows(4, 2), "train", "`split=train`"),
        ([{**row, "identity": ""} for row in manifest_rows(4, 2)], "test", "identity"),
        (manifest_rows(1, 4), "test", "at least two identities"),
        (without(TRAINED_TOO, "face"), "test", "no face rows"),
        (
            without(TRAINED_TOO, "voice"),
            "test",
            "no voice rows",
        ),
        (
            without(manifest_rows(2, 2), "face") + without(manifest_rows(2, 2, prefix="other"), "voice"),
            "test",
            "there is none",
        ),
    ],
)
def test_a_split_that_cannot_give_trials_is_refused_in_one_line(
    make_dataset: Make, rows: list[dict[str, str]], split: str, message: str
) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        split_population(make_dataset(rows), split)
    assert "\n" not in str(caught.value)
