"""Labelled subsets: nested, stratified, reproducible, and never of held-out identities."""

import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from lowshot.adapt.subsets import (
    UNITS,
    VARIANTS,
    _in_fair_shares,
    draw_subset,
    labelled_count,
    labelled_identities,
    labelling_order,
    labels_sha,
    training_people,
    training_videos,
)
from lowshot.errors import RequestError


def people(men=88, women=62):
    names = [f"id{i:03d}" for i in range(men + women)]
    return pd.DataFrame({"identity": names, "gender": ["m"] * men + ["f"] * women})


@pytest.mark.parametrize("seed", range(5))
def test_small_subsets_lie_inside_large_ones(seed, reader):
    manifest = reader.dataset.manifest
    subsets = [labelled_identities(manifest, fraction, seed) for fraction in (0.2, 0.5, 1.0)]
    assert [len(subset) for subset in subsets] == [2, 5, 10]
    assert set(subsets[0]) < set(subsets[1]) < set(subsets[2])


def test_one_percent_lies_inside_ten_percent():
    order = labelling_order(people(), 0)
    assert labelled_count(150, 0.01) == 2
    assert labelled_count(150, 0.1) == 15
    assert len(set(order)) == 150


@pytest.mark.parametrize("seed", range(5))
def test_every_prefix_has_the_genders_in_their_shares(seed):
    table = people()
    gender = table.set_index("identity")["gender"]
    order = labelling_order(table, seed)
    assert set(gender[order[:2]]) == {"m", "f"}
    for size in (5, 15, 30, 75):
        assert abs((gender[order[:size]] == "m").sum() - size * 88 / 150) <= 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("men", "women"), [(17, 3), (3, 17), (99, 1)])
def test_two_labels_are_of_two_genders_however_uneven_these_are(men, women, seed):
    table = people(men, women)
    gender = table.set_index("identity")["gender"]
    order = labelling_order(table, seed)
    assert set(gender[order[:2]]) == {"m", "f"}
    for size in range(1, len(order) + 1):
        assert abs((gender[order[:size]] == "m").sum() - size * men / (men + women)) <= 1


def test_seeds_give_different_people_and_row_order_does_not():
    table = people()
    assert labelling_order(table, 0)[:15] != labelling_order(table, 1)[:15]
    assert labelling_order(table, 0) == labelling_order(table.sample(frac=1, random_state=3), 0)


@pytest.mark.slow
def test_another_process_gives_the_same_subset(world):
    code = (
        "import sys; from pathlib import Path; from lowshot.adapt.subsets import labelled_identities; "
        "from lowshot.data.manifest import read_manifest; "
        "print(*labelled_identities(read_manifest(Path(sys.argv[1])), 0.5, 3))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(world / "manifest.csv")], capture_output=True, text=True, check=True
    ).stdout.split()
    from lowshot.data.manifest import read_manifest

    assert out == labelled_identities(read_manifest(world / "manifest.csv"), 0.5, 3)


def test_held_out_identities_are_never_labelled(reader):
    manifest = reader.dataset.manifest
    held_out = set(manifest.loc[manifest["split"].isin(["val", "test"]), "identity"])
    assert not held_out & set(labelled_identities(manifest, 1.0, 0))


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, 2, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(RequestError, match="must be above 0 and at most 1"):
        labelled_count(150, fraction)


def test_a_fraction_of_fewer_than_two_identities_names_the_least():
    with pytest.raises(
        RequestError, match=r"`labels=0\.009`: labels 1\.35 of 150 .* the smallest usable value is `labels=0\.01`"
    ):
        labelled_count(150, 0.009)
    assert labelled_count(150, 0.01) == 2


@pytest.mark.parametrize("identities", [2, 3, 7, 24, 150, 480, 901])
def test_the_named_least_fraction_works(identities):
    with pytest.raises(RequestError) as refused:
        labelled_count(identities, 1e-6)
    least = float(str(refused.value).rsplit("=", 1)[-1].rstrip("`"))
    assert labelled_count(identities, least) >= 2


def test_nobody_to_label_is_refused(reader):
    with pytest.raises(RequestError, match="nobody to label"):
        training_people(reader.dataset.manifest.assign(identity=""))


def test_decimal_fractions_mean_what_they_say():
    assert labelled_count(50, 0.29) == 15  # 14.5, halves up; in binary 0.29 * 50 is below it


def crowd(videos=(1, 2, 3, 5), men=12, women=8):
    """Training videos of a manifest, both modalities each, with genders and nationalities in uneven shares."""
    rows = []
    for number in range(men + women):
        about = {
            "identity": f"id{number:03d}",
            "split": "train",
            "gender": "m" if number < men else "f",
            "nationality": ["USA", "USA", "UK", "USA", "Norway"][number % 5],
        }
        for video in range(videos[number % len(videos)]):
            rows += [{"modality": kind, "video": f"v{number:03d}-{video}", **about} for kind in ("voice", "face")]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", range(3))
def test_subsets_of_every_kind_are_the_beginning_of_larger_ones(variant, unit, seed):
    manifest = crowd()
    subsets = [
        draw_subset(manifest, percent / 100, seed, unit, variant).rows for percent in (11, 14, 20, 21, 22, 50, 100)
    ]
    assert len(subsets[0]) < 9 < len(subsets[-1])
    for small, large in itertools.pairwise(subsets):
        assert large[: len(small)] == small
    assert len(set(subsets[-1])) == len(subsets[-1])
    videos = training_videos(manifest)
    assert {row[-1] for row in subsets[-1]} == set(videos[unit])


@pytest.mark.parametrize("variant", VARIANTS)
def test_kinds_and_seeds_differ_and_the_order_of_rows_does_not_matter(variant):
    manifest = crowd()
    drawn = draw_subset(manifest, 0.5, 0, "video", variant).rows
    assert drawn == draw_subset(manifest.sample(frac=1, random_state=3), 0.5, 0, "video", variant).rows
    assert drawn != draw_subset(manifest, 0.5, 1, "video", variant).rows
    others = [other for other in VARIANTS if other != variant]
    assert all(drawn != draw_subset(manifest, 0.5, 0, "video", other).rows for other in others)


@pytest.mark.parametrize("seed", range(5))
def test_balanced_subsets_hold_every_nationality_of_a_gender_in_its_share(seed):
    people = pd.DataFrame({"identity": [f"id{i:03d}" for i in range(150)]})
    people["gender"] = ["m" if i % 5 < 3 else "f" for i in range(150)]
    people["nationality"] = [["USA"] * 7 + ["UK"] * 2 + ["Norway"]][0] * 15
    about = people.set_index("identity")
    order = labelling_order(people, seed, "balanced")
    assert sorted(order) == people["identity"].tolist()
    # Who is a man and who a woman in which place is as without nationalities.
    plain = labelling_order(people, seed, "gender")
    assert about.loc[order, "gender"].tolist() == about.loc[plain, "gender"].tolist()
    share: dict[tuple[str, str], float] = dict(people.groupby("gender")["nationality"].value_counts(normalize=True))
    largest = dict.fromkeys(VARIANTS, 0.0)
    for variant in VARIANTS:
        taken = about.loc[labelling_order(people, seed, variant)]
        # Of each subset of two people or more.
        for (gender, nationality), part in share.items():
            of_gender = taken["gender"] == gender
            both = (of_gender & (taken["nationality"] == nationality)).cumsum()
            largest[variant] = max(largest[variant], (both - part * of_gender.cumsum()).abs()[1:].max())
    assert largest["balanced"] < 1
    assert min(largest["gender"], largest["random"]) > 1.5


@pytest.mark.parametrize("missing", ["gender", "nationality"])
@pytest.mark.parametrize("how", ["no column", "empty"])
def test_balanced_needs_the_attributes_that_it_balances(missing, how):
    manifest = crowd()
    manifest = manifest.drop(columns=missing) if how == "no column" else manifest.assign(**{missing: ""})
    with pytest.raises(
        RequestError, match=f"`variant=balanced`: the manifest gives no {missing} for any training identity"
    ):
        draw_subset(manifest, 0.5, 0, variant="balanced")
    assert len(draw_subset(manifest, 0.5, 0, variant="gender")) == 10


def test_an_unknown_nationality_is_one_more():
    manifest = crowd()
    manifest.loc[manifest["identity"] == "id004", "nationality"] = ""
    assert len(set(draw_subset(manifest, 1, 0, variant="balanced").rows)) == 20


@pytest.mark.parametrize("count", [2, 3, 5, 12, 31])
def test_every_share_is_rounded_up_or_down(count):
    groups = [str(number**2 % count) for number in range(60)]
    order = _in_fair_shares(groups)
    assert sorted(order) == list(range(60))
    for size in range(1, 61):
        for group in set(groups):
            share = groups.count(group) * size / 60
            assert abs(sum(groups[place] == group for place in order[:size]) - share) < 1


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", range(3))
def test_videos_are_shared_out_evenly_and_nobody_has_one_who_could_have_two(variant, seed):
    manifest = crowd()
    videos = training_videos(manifest)
    has = videos["identity"].value_counts()
    owner = videos.set_index("video")["identity"]
    for percent in (7, 9, 11, 13, 20, 33, 50, 51, 64, 70, 82, 100):
        subset = draw_subset(manifest, percent / 100, seed, "video", variant)
        exact = percent * len(videos) / 100
        assert int(exact + 0.5) <= len(subset) <= int(exact + 0.5) + 1
        assert [owner[video] for video in subset.videos] == [identity for identity, _ in subset.rows]
        labelled = pd.Series([identity for identity, _ in subset.rows]).value_counts()
        assert len(labelled) >= 2
        assert (labelled >= np.minimum(2, has[labelled.index])).all()
        # Nobody gets a third video before all have two, nor a fourth before all have three.
        if labelled.max() > 2:
            assert len(labelled) == len(has)
        assert (labelled >= np.minimum(labelled.max() - 1, has[labelled.index])).all()


def test_videos_of_fewer_than_two_identities_name_the_least():
    manifest = crowd(videos=(5,))
    with pytest.raises(
        RequestError, match=r"`labels=0\.02`: labels 2 of 100 training videos, .*the smallest usable value is .*"
    ) as refused:
        draw_subset(manifest, 0.02, 0, "video")
    least = float(str(refused.value).rsplit("=", 1)[-1].rstrip("`"))
    assert draw_subset(manifest, least, 0, "video").identities == draw_subset(manifest, 0.1, 0).identities
    with pytest.raises(RequestError, match="label more"):
        draw_subset(manifest[manifest["identity"] == "id003"], 1, 0, "video")


def test_videos_without_both_modalities_or_of_held_out_identities_are_no_labels():
    manifest = crowd(videos=(3,))
    manifest.loc[manifest["identity"] == "id001", "split"] = "test"
    manifest.loc[manifest["identity"] == "id002", "split"] = ""
    manifest = manifest[(manifest["video"] != "v003-1") | (manifest["modality"] == "voice")]
    manifest = manifest[(manifest["identity"] != "id004") | (manifest["modality"] == "face")]
    subset = draw_subset(manifest, 1, 0, "video")
    assert len(subset) == 3 * 17 - 1
    assert "v003-1" not in subset.videos
    assert not {"id001", "id002", "id004"} & set(subset.identities)


GOLDEN = {
    ("identity", "gender"): "id012 id001 id006 id013 id007 id002",
    ("identity", "balanced"): "id013 id001 id006 id012 id007 id008",
    ("identity", "random"): "id001 id014 id005 id003 id019 id010",
    ("video", "gender"): (
        "v012-0 v001-0 v001-1 v006-1 v006-0 v013-1 v013-0 v007-3 v007-1 v002-2 v002-1 v016-0 "
        "v008-0 v015-2 v015-4 v004-0 v014-0 v014-2"
    ),
    ("video", "balanced"): (
        "v013-1 v013-0 v001-0 v001-1 v006-1 v006-0 v012-0 v007-3 v007-1 v008-0 v016-0 v010-1 "
        "v010-0 v014-0 v014-2 v004-0 v015-2 v015-4"
    ),
    ("video", "random"): (
        "v001-0 v001-1 v014-0 v014-2 v005-1 v005-0 v003-2 v003-4 v019-1 v019-4 v010-1 v010-0 "
        "v016-0 v012-0 v011-3 v011-0 v018-0 v018-1"
    ),
}


@pytest.mark.parametrize(("unit", "variant"), GOLDEN)
def test_subsets_are_those_that_were_drawn_before_on_other_machines(unit, variant):
    subset = draw_subset(crowd(), 0.3, 1, unit, variant)
    assert " ".join(row[-1] for row in subset.rows) == GOLDEN[unit, variant]


def test_the_hash_of_labels_covers_what_a_subset_depends_on_and_nothing_else():
    manifest = crowd()
    before = {variant: labels_sha(manifest, variant) for variant in VARIANTS}
    assert len(set(before.values())) == 3
    others = pd.concat([manifest, manifest.assign(split="test", video="t", identity="new")])
    assert labels_sha(others.sample(frac=1, random_state=1).assign(age="30"), "gender") == before["gender"]
    moved = manifest.assign(nationality="Norway")
    assert [labels_sha(moved, variant) == before[variant] for variant in ("gender", "balanced", "random")] == [
        True,
        False,
        True,
    ]
    renamed = manifest.replace({"video": {"v003-1": "v003-9"}})
    assert labels_sha(renamed, "random") != before["random"]
