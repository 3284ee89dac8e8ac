"""Labelled subsets: nested, stratified, reproducible, and never of held-out identities."""

import subprocess
import sys

import pandas as pd
import pytest

from lowshot.adapt.subsets import labelled_count, labelled_identities, labelling_order, training_people
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
    with pytest.raises(RequestError, match=r"--labels 0\.009: 1\.35 of 150 .* the least here is --labels 0\.01\b"):
        labelled_count(150, 0.009)
    assert labelled_count(150, 0.01) == 2


@pytest.mark.parametrize("identities", [2, 3, 7, 24, 150, 480, 901])
def test_the_named_least_fraction_works(identities):
    with pytest.raises(RequestError) as refused:
        labelled_count(identities, 1e-6)
    least = float(str(refused.value).rsplit(" ", 1)[-1])
    assert labelled_count(identities, least) >= 2


def test_nobody_to_label_is_refused(reader):
    with pytest.raises(RequestError, match="nobody to label"):
        training_people(reader.dataset.manifest.assign(identity=""))


def test_decimal_fractions_mean_what_they_say():
    assert labelled_count(50, 0.29) == 15  # 14.5, halves up; in binary 0.29 * 50 is below it
