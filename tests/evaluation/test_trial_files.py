"""Trial lists on disk: what is written is read back, and what cannot be read is refused by line."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.trial_files import (
    read_matching,
    read_retrieval,
    read_verification,
    write_matching,
    write_retrieval,
    write_verification,
)
from lowshot.evaluation.trials import (
    MatchingTrials,
    build_matching,
    build_retrieval,
    build_verification,
    split_population,
)

from .conftest import manifest_rows

BOUNDS = (30.0, 45.0, 60.0)


@pytest.fixture
def lists(dataset: Dataset, tmp_path: Path) -> Path:
    """A folder with one list of each protocol."""
    people = split_population(dataset)
    verified = [build_verification(dataset, people, s, a, BOUNDS, 0) for s, a in [("U", ()), ("G", ("gender",))]]
    write_verification(tmp_path / "verification.csv", verified, dataset)
    write_matching(tmp_path / "matching.csv", built_matching(dataset), dataset)
    write_retrieval(tmp_path / "retrieval.csv", build_retrieval(people), dataset)
    return tmp_path


def built_matching(dataset: Dataset, stratum: str = "U", attributes: tuple[str, ...] = ()) -> MatchingTrials:
    people = split_population(dataset)
    return build_matching(dataset, people, "face_to_voice", 5, stratum, attributes, BOUNDS, 0)


def test_verification_is_read_as_written(dataset: Dataset, lists: Path) -> None:
    table = pd.read_csv(lists / "verification.csv")
    assert list(table.columns) == ["voice", "face", "label", "stratum"]
    people = split_population(dataset)
    read = read_verification(lists / "verification.csv", dataset, "unseen-unheard")
    assert [part.stratum for part in read] == ["U", "G"]
    for part, attributes in zip(read, [(), ("gender",)], strict=True):
        built = build_verification(dataset, people, part.stratum, attributes, BOUNDS, 0)
        assert (part.voice == built.voice).all()
        assert (part.face == built.face).all()
        assert (part.label == built.label).all()
        assert (part.seen, part.same_video) == (built.seen, built.same_video)


@pytest.mark.parametrize(("stratum", "attributes"), [("U", ()), ("GNA", ("gender", "nationality", "age"))])
def test_matching_is_read_as_written(
    dataset: Dataset, tmp_path: Path, stratum: str, attributes: tuple[str, ...]
) -> None:
    built = built_matching(dataset, stratum, attributes)
    write_matching(tmp_path / "m.csv", built, dataset)
    header = ["direction", "probe", "target", "candidate_1", "candidate_2", "candidate_3", "candidate_4"]
    assert list(pd.read_csv(tmp_path / "m.csv").columns) == header
    (read,) = read_matching(tmp_path / "m.csv", dataset, "unseen-unheard", stratum)
    assert (read.probe == built.probe).all()
    assert (read.target == built.target).all()
    assert (read.impostors == built.impostors).all()
    assert (read.direction, read.stratum, read.seen) == (built.direction, built.stratum, built.seen)
    assert read.same_video == built.same_video


def test_retrieval_is_read_as_written(dataset: Dataset, lists: Path) -> None:
    built = build_retrieval(split_population(dataset))
    read = read_retrieval(lists / "retrieval.csv", dataset, "unseen-unheard")
    assert (read.voices == built.voices).all()
    assert (read.faces == built.faces).all()


def test_rows_without_paths_are_named_by_number(
    make_dataset: Callable[[list[dict[str, str]]], Dataset], tmp_path: Path
) -> None:
    dataset = make_dataset([{**row, "path": ""} for row in manifest_rows(6, 2)])
    built = build_verification(dataset, split_population(dataset), "U", (), BOUNDS, 0)
    write_verification(tmp_path / "v.csv", [built], dataset)
    assert pd.read_csv(tmp_path / "v.csv")["voice"].iloc[0] == "#0"
    (read,) = read_verification(tmp_path / "v.csv", dataset, "unseen-unheard")
    assert (read.face == built.face).all()


def test_a_list_without_a_stratum_is_u(dataset: Dataset, lists: Path) -> None:
    table = pd.read_csv(lists / "verification.csv").drop(columns="stratum")
    table.to_csv(lists / "plain.csv", index=False)
    (read,) = read_verification(lists / "plain.csv", dataset, "unseen-unheard")
    assert read.stratum == "U"
    assert len(read) == len(table)


READERS = {"verification": read_verification, "matching": read_matching, "retrieval": read_retrieval}


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("verification", "voice"),
        ("verification", "label"),
        ("matching", "target"),
        ("matching", "candidate_1"),
        ("retrieval", "identity"),
    ],
)
def test_a_missing_column_is_named(dataset: Dataset, lists: Path, name: str, column: str) -> None:
    path = lists / f"{name}.csv"
    pd.read_csv(path).drop(columns=column).to_csv(path, index=False)
    with pytest.raises(RequestError, match=f"{name}.csv: column '{column}'"):
        READERS[name](path, dataset, "unseen-unheard")


@pytest.mark.parametrize(
    ("name", "column", "value", "message"),
    [
        ("verification", "face", "nowhere.jpg", "row 4: 'nowhere.jpg' is no face"),
        ("verification", "label", "yes", "row 4: label 'yes'"),
        ("matching", "direction", "up", "row 4: direction 'up'"),
        ("matching", "candidate_2", "", "row 4: a candidate is missing"),
        ("matching", "candidate_3", "gone.wav", "row 4: 'gone.wav' is no voice"),
        ("retrieval", "identity", "someone", "row 4: identity 'someone'"),
    ],
)
def test_a_wrong_cell_is_refused_by_its_line(
    dataset: Dataset, lists: Path, name: str, column: str, value: str, message: str
) -> None:
    path = lists / f"{name}.csv"
    table = pd.read_csv(path, dtype=str)
    table.loc[2, column] = value
    table.to_csv(path, index=False)
    with pytest.raises(RequestError, match=message):
        READERS[name](path, dataset, "unseen-unheard")


def test_a_target_among_its_own_candidates_is_refused(dataset: Dataset, lists: Path) -> None:
    table = pd.read_csv(lists / "matching.csv")
    table.loc[1, "candidate_2"] = table.loc[1, "target"]
    table.to_csv(lists / "matching.csv", index=False)
    with pytest.raises(RequestError, match="row 3: the target"):
        read_matching(lists / "matching.csv", dataset, "unseen-unheard")


def test_retrieval_of_one_modality_is_refused(dataset: Dataset, lists: Path) -> None:
    table = pd.read_csv(lists / "retrieval.csv")
    table[table["modality"] == "voice"].to_csv(lists / "retrieval.csv", index=False)
    with pytest.raises(RequestError, match="no row with modality 'face'"):
        read_retrieval(lists / "retrieval.csv", dataset, "unseen-unheard")


@pytest.mark.parametrize("content", [None, "", "voice,face,label\n"])
def test_an_absent_or_empty_list_is_refused(dataset: Dataset, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "list.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RequestError, match=r"list\.csv"):
        read_verification(path, dataset, "unseen-unheard")
