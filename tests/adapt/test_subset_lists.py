"""Lists of labelled subsets: written with their recipe, frozen, read back, and refused where they would mislead."""

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from lowshot.adapt.listed_subset import read_subset
from lowshot.adapt.subset_lists import FRACTIONS, frozen_subsets, list_bytes, list_name, read_recipe, write_subsets
from lowshot.adapt.subsets import UNITS, VARIANTS, draw_subset, labels_sha
from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.synthetic.world import SIZES, build_world

PROTOCOLS = Path(__file__).parents[2] / "protocols"


def person(name, split="train", videos=3, kinds=("voice", "face"), gender="m"):
    about = {"identity": name, "split": split, "gender": gender, "nationality": "USA"}
    return [
        {"path": f"{name}-{number}-{kind}", "modality": kind, "video": f"{name}-{number}", **about}
        for number in range(videos)
        for kind in kinds
    ]


PEOPLE = [
    *(row for number in range(8) for row in person(f"id{number}", gender="mf"[number % 2])),
    *person("A. Name", videos=1),
    *person("voices only", kinds=("voice",)),
    *person("in test", split="test"),
    *person("in val", split="val"),
    *person("nowhere", split=""),
    *person("apart", videos=1, kinds=("voice",)),
    *({**row, "video": "other", "path": "p"} for row in person("apart", videos=1, kinds=("face",))),
]


def dataset(folder, rows=PEOPLE):
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return Dataset.open(folder)


@pytest.fixture
def people(tmp_path):
    return dataset(tmp_path / "people")


def listed(tmp_path, text):
    path = tmp_path / "mine.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("fraction", "name"),
    [(0.01, "per01"), (0.1, "per10"), (1.0, "per100"), (0.29, "per29"), (0.015, "per1.5"), (1e-5, "per0.001")],
)
def test_a_list_is_named_by_its_share_and_seed(fraction, name):
    assert list_name(fraction, 3) == f"{name}-seed3.csv"


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_written_is_read_as_it_was_drawn(people, tmp_path, unit, variant):
    paths = write_subsets(tmp_path / "lists", people, (0.3, 1.0), range(2), unit, variant)
    again = write_subsets(tmp_path / "again", people, (0.3, 1.0), range(2), unit, variant)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]
    assert [path.name for path in paths] == [
        *(f"per{share}-seed{seed}.csv" for share in ("30", "100") for seed in (0, 1)),
        "recipe.json",
    ]
    recipe = read_recipe(tmp_path / "lists")
    assert recipe is not None
    assert (recipe.data_sha, recipe.unit, recipe.variant) == (people.sha, unit, variant)
    assert (recipe.training.identities, recipe.training.videos) == (9, 25)
    for path in paths[:-1]:
        entry = recipe.lists[path.name]
        assert entry.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert b"\r" not in path.read_bytes()
        drawn = draw_subset(people.manifest, entry.fraction, entry.seed, unit, variant)
        subset, warning = read_subset(path, people)
        assert (subset.rows, subset.unit, subset.seed, warning) == (drawn.rows, unit, entry.seed, "")
        assert subset.fraction == len(drawn) / (9 if unit == "identity" else 25)
        table = pd.read_csv(path, dtype=str)
        assert table.columns.tolist() == (["identity"] if unit == "identity" else ["identity", "video"])
        assert (entry.identities, len(subset.identities)) == (table["identity"].nunique(),) * 2
        owned = people.voices[people.voices["identity"].isin(table["identity"])]
        assert entry.videos == (len(table) if unit == "video" else owned["video"].nunique())


def test_a_share_that_is_too_small_writes_nothing(people, tmp_path):
    with pytest.raises(RequestError, match=r"`fractions=0\.01`: .* the smallest usable value is `fractions=0\.167`"):
        write_subsets(tmp_path / "lists", people, (0.01, 1.0), range(2), "identity", "gender")
    assert not (tmp_path / "lists").exists()


TEXTS = {
    "plain": b"identity\nid1\nA. Name\n",
    "with mark": b"\xef\xbb\xbfidentity\nid1\nA. Name\n",
    "Windows": b"identity\r\nid1\r\nA. Name\r\n",
    "quoted": b'"identity"\n"id1"\n"A. Name"\n',
    "semicolons": b"identity;remark\nid1;first, of all\nA. Name;\n",
    "tabs in UTF-16": "remark\tidentity\n\tid1\n\tA. Name\n".encode("utf-16"),
    "blank rows": b" identity ,gender\nid1,f\n\n,\nA. Name,m\n,\n",
}


@pytest.mark.parametrize("form", TEXTS)
def test_lists_of_spreadsheets_and_of_ones_own_are_read(people, tmp_path, form):
    subset, warning = read_subset(listed(tmp_path, TEXTS[form]), people)
    assert (subset.rows, subset.unit, subset.videos) == ((("id1",), ("A. Name",)), "identity", None)
    assert (subset.fraction, subset.seed, str(subset)) == (2 / 9, None, "2 of 9 identities (22.2 %)")
    assert "no recipe" in warning


def test_single_videos_are_labelled_where_the_list_names_them(people, tmp_path):
    subset, _ = read_subset(listed(tmp_path, "identity,video\nid3,id3-1\nid1,id1-0\nid3,id3-2\n"), people)
    assert (subset.identities, subset.videos) == (["id3", "id1"], ["id3-1", "id1-0", "id3-2"])
    assert (subset.fraction, str(subset)) == (3 / 25, "3 of 25 videos (12 %)")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("identity\nid1\nnobody\n", r", row 3: identity 'nobody' is not in .*manifest\.csv"),
        ("identity\n\nid1\r\nin test\n", ", row 4: identity 'in test' is of split test; labelling it would leak"),
        ("identity\nin val\nid1\n", ", row 2: identity 'in val' is of split val; labelling it would leak"),
        ("identity\nid1\nvoices only\n", ", row 3: identity 'voices only' has no face in split train"),
        ("identity\nid1\napart\n", ", row 3: identity 'apart' has no training video with voice and face"),
        ("identity\nid1\nnowhere\n", ", row 3: identity 'nowhere' has no row of split train"),
        ("identity\nid1\nid2\nid1\n", ", row 4: identity 'id1' is also in row 2"),
        ("identity\nid1\n", ": labels fewer than 2 identities"),
        ("identity\n", ": labels fewer than 2 identities"),
        ("identity,video\nid1,id1-0\nid1,id1-1\n", ": labels fewer than 2 identities"),
        ("identity,video\nid1,id1-0\nid2,id1-1\n", ", row 3: video 'id1-1' is of identity 'id1', not 'id2'"),
        ("identity,video\nid1,id1-0\nid2,id2-7\n", r", row 3: video 'id2-7' is not in .*manifest\.csv"),
        (
            "identity,video\nid1,id1-0\nid2,in test-0\n",
            ", row 3: video 'in test-0' is of identity 'in test', not 'id2'",
        ),
        ("identity,video\nin test,in test-0\nid1,id1-0\n", ", row 2: identity 'in test' is of split test"),
        ("identity,video\nid1,id1-0\nid2,\n", ", row 3: video is empty"),
        ("identity,video\nid1,id1-0\n,id2-0\n", ", row 3: identity is empty"),
        ("identity,video\nid1,id1-0\nid1,id1-0\n", ", row 3: video 'id1-0' is also in row 2"),
        ("id1\nid2\n", ": column 'identity' is missing"),
        ("video\nid1-0\nid2-0\n", ": column 'identity' is missing"),
        ("identity,identity\nid1,id1\nid2,id2\n", ": column 'identity' occurs twice"),
        ("identity,video\nid1\nid2,id2-0\n", ", row 2: 1 fields, but the first row has 2"),
        ("", ": is empty"),
        (b"RIFF\0\0", ", row 1: holds a zero byte"),
    ],
)
def test_a_list_that_cannot_be_learned_from_is_refused_by_file_and_row(people, tmp_path, text, fault):
    with pytest.raises(RequestError, match=rf"mine\.csv{fault}") as refused:
        read_subset(listed(tmp_path, text), people)
    assert "\n" not in str(refused.value)


def test_a_video_without_a_face_is_refused(tmp_path):
    rows = [row for row in PEOPLE if row["path"] != "id2-0-face"]
    rows += [{**row, "split": ""} for row in person("id3", videos=4) if row["video"] == "id3-3"]
    people = dataset(tmp_path / "people", rows)
    for row, fault in (
        ("id2,id2-0", "video 'id2-0' has no face in split train"),
        ("id3,id3-3", "video 'id3-3' has no row of split train"),
    ):
        with pytest.raises(RequestError, match=f"row 3: {fault}"):
            read_subset(listed(tmp_path, f"identity,video\nid1,id1-0\n{row}\n"), people)


def test_a_list_that_is_not_there_is_named(people, tmp_path):
    with pytest.raises(RequestError, match=r"none\.csv: no such list of labelled identities"):
        read_subset(tmp_path / "none.csv", people)


@pytest.fixture
def frozen(people, tmp_path):
    write_subsets(tmp_path / "lists", people, (0.3, 1.0), range(2), "identity", "gender")
    return tmp_path / "lists" / "per30-seed1.csv"


def test_a_list_keeps_its_worth_through_a_spreadsheet_and_loses_it_with_a_row(people, frozen):
    rows = read_subset(frozen, people)[0].rows
    text = frozen.read_text()
    frozen.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert read_subset(frozen, people)[0].rows == rows
    for changed in (text.replace(rows[0][0], "A. Name"), text + "A. Name\n", "identity\nid0\nid1\n"):
        frozen.write_text(changed)
        with pytest.raises(RequestError, match=r"per30-seed1\.csv: its rows or their order differ from its recipe"):
            read_subset(frozen, people)
    frozen.rename(frozen.with_name("mine.csv"))
    assert read_subset(frozen.with_name("mine.csv"), people)[0].seed is None


def test_a_list_of_other_people_is_refused_by_what_differs(people, frozen, tmp_path):
    more = dataset(tmp_path / "more", PEOPLE + person("id9"))
    with pytest.raises(
        RequestError,
        match=rf"per30-seed1\.csv: was drawn from people \(data {people.sha}\), this is more \(data {more.sha}\): "
        "9 training identities with 25 videos there, 10 training identities with 28 videos here; draw lists",
    ) as refused:
        read_subset(frozen, more)
    assert "\n" not in str(refused.value)
    swapped = [{**row, "gender": "f"} if row["identity"] == "id0" else row for row in PEOPLE]
    with pytest.raises(RequestError, match="the same number of training identities and videos, but others"):
        read_subset(frozen, dataset(tmp_path / "swapped", swapped))


def test_data_that_differ_elsewhere_are_noted_and_read(people, frozen, tmp_path):
    other = dataset(tmp_path / "other", PEOPLE + person("new", split="test"))
    assert other.sha != people.sha
    subset, warning = read_subset(frozen, other)
    assert subset.rows == read_subset(frozen, people)[0].rows
    assert f"drawn from people (data {people.sha}); other (data {other.sha}) differs, but not in training" in warning


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda text: text[:-9], "not JSON"),
        (lambda text: text.replace('"gender"', '"height"'), r"variant: Input should be"),
        (lambda text: text.replace('"seed": 1', '"seed": "one"'), r"lists\.per30-seed1\.csv\.seed: Input should be"),
    ],
)
def test_a_damaged_recipe_is_named(people, frozen, change, fault):
    recipe = frozen.with_name("recipe.json")
    recipe.write_text(change(recipe.read_text()))
    with pytest.raises(RequestError, match=rf"recipe\.json: is damaged \({fault}") as refused:
        read_subset(frozen, people)
    assert "\n" not in str(refused.value)


def test_the_recipe_of_trial_lists_is_none_of_subsets(people, frozen):
    frozen.with_name("recipe.json").write_text(json.dumps({"lists": {frozen.name: {}}}))
    assert "no recipe" in read_subset(frozen, people)[1]


@pytest.mark.parametrize("size", ["demo", "bench"])
def test_the_frozen_subsets_of_the_embedded_worlds_are_those_drawn_now(size, tmp_path):
    world = build_world(SIZES[size])
    manifest = pd.DataFrame(
        {
            "path": f"{video.name}-{kind}",
            "modality": kind,
            "video": video.name,
            "identity": world.ids[video.identity],
            "split": video.split,
            "gender": world.genders[video.identity],
            "nationality": world.nationalities[video.identity],
        }
        for video in world.videos
        for kind in ("voice", "face")
    )
    recipe = read_recipe(PROTOCOLS / f"synth-{size}")
    assert recipe is not None
    assert (recipe.data, recipe.unit, recipe.variant) == (f"synth:{size}", "identity", "gender")
    assert recipe.labels_sha == labels_sha(manifest, "gender")
    assert recipe.lists.keys() == {list_name(share, seed) for share in FRACTIONS for seed in range(3)}
    for name, entry in recipe.lists.items():
        frozen = (PROTOCOLS / f"synth-{size}" / name).read_bytes().replace(b"\r\n", b"\n")
        assert hashlib.sha256(frozen).hexdigest() == entry.sha256
        assert frozen == list_bytes(draw_subset(manifest, entry.fraction, entry.seed).rows, "identity")
    # Rendered elsewhere, a world may differ in the last digits of its truth, and is still the one they were drawn from.
    rendered = tmp_path / "rendered"
    rendered.mkdir()
    manifest.to_csv(rendered / "manifest.csv", index=False)
    subset, warning = read_subset(PROTOCOLS / f"synth-{size}" / "per01-seed2.csv", Dataset.open(rendered))
    assert (len(subset), subset.seed) == (recipe.lists["per01-seed2.csv"].identities, 2)
    assert "differs, but not in training videos" in warning
    other = {"demo": "bench", "bench": "demo"}[size]
    with pytest.raises(RequestError, match=f"was drawn from synth:{other}"):
        read_subset(PROTOCOLS / f"synth-{other}" / "per01-seed2.csv", Dataset.open(rendered))


def test_frozen_subsets_are_found_and_small(tmp_path):
    found = dict(frozen_subsets())
    assert [folder.name for folder in found] == ["synth-bench", "synth-demo"]
    for folder in found:
        assert sum(path.stat().st_size for path in folder.iterdir()) < 100_000


def test_a_copy_of_a_frozen_list_without_its_recipe_says_so(people, frozen, tmp_path):
    shutil.copy(frozen, tmp_path / frozen.name)
    assert "no recipe" in read_subset(tmp_path / frozen.name, people)[1]
