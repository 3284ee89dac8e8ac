"""Trial lists of our own form: what is written is read back, and what cannot be read is refused by file and row."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.protocols.matching import MatchingTrials, build_matching
from lowshot.evaluation.protocols.retrieval import Queries, find_queries
from lowshot.evaluation.protocols.verification import VerificationTrials, build_verification
from lowshot.evaluation.trial_lists.list_set import read_trial_set
from lowshot.evaluation.trial_set import TrialSet
from lowshot.evaluation.trials import Population, split_population

from .conftest import manifest_rows, write_list

BOUNDS = (30.0, 45.0, 60.0)


@pytest.fixture
def lists(dataset: Dataset, tmp_path: Path) -> Path:
    """A folder with one list of each protocol."""
    people = split_population(dataset)
    verified = [build_verification(dataset, people, s, a, BOUNDS, 0) for s, a in [("U", ()), ("G", ("gender",))]]
    write_list(tmp_path / "verification.csv", "verification", verified, dataset)
    write_list(tmp_path / "matching.csv", "matching", [built_matching(dataset)], dataset)
    write_list(tmp_path / "retrieval.csv", "retrieval", [queries(dataset, people)], dataset)
    return tmp_path


def queries(dataset: Dataset, people: Population) -> Queries:
    return find_queries(people.voices, people.faces, people.seen, "voice_to_face", dataset)


def built_matching(dataset: Dataset, stratum: str = "U", attributes: tuple[str, ...] = ()) -> MatchingTrials:
    people = split_population(dataset)
    return build_matching(dataset, people, "face_to_voice", 5, stratum, attributes, BOUNDS, 0)


def read(dataset: Dataset, *paths: Path) -> TrialSet:
    return read_trial_set(dataset, paths, replicates=100)


def test_verification_is_read_as_written(dataset: Dataset, lists: Path) -> None:
    table = pd.read_csv(lists / "verification.csv")
    assert list(table.columns) == ["voice", "face", "label", "stratum"]
    people = split_population(dataset)
    parts = read(dataset, lists / "verification.csv").of(VerificationTrials)
    assert [part.stratum for part in parts] == ["U", "G"]
    for part, attributes in zip(parts, [(), ("gender",)], strict=True):
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
    path = tmp_path / f"matching-unseen-unheard-face_to_voice-{stratum}.csv"
    write_list(path, "matching", [built], dataset)
    header = ["direction", "probe", "target", "candidate_1", "candidate_2", "candidate_3", "candidate_4"]
    assert list(pd.read_csv(path).columns) == header
    (part,) = read(dataset, path).of(MatchingTrials)
    assert (part.probe == built.probe).all()
    assert (part.target == built.target).all()
    assert (part.impostors == built.impostors).all()
    assert (part.direction, part.stratum, part.seen) == (built.direction, built.stratum, built.seen)
    assert part.same_video == built.same_video


def test_retrieval_is_read_as_written(dataset: Dataset, lists: Path) -> None:
    built = split_population(dataset)
    trials = read(dataset, lists / "retrieval.csv").of(Queries)[0]
    assert (trials.voices == built.voices).all()
    assert (trials.faces == built.faces).all()


def test_all_lists_together_are_one_trial_set(dataset: Dataset, lists: Path) -> None:
    trials = read(dataset, *(lists / f"{name}.csv" for name in ("verification", "matching", "retrieval")))
    assert [len(part) for part in (trials.of(VerificationTrials), trials.of(MatchingTrials), trials.of(Queries))] == [
        2,
        1,
        2,
    ]
    people = split_population(dataset)
    assert (trials.voices == people.voices).all()
    assert (trials.faces == people.faces).all()


def test_a_matching_list_may_have_a_column_of_strata_and_both_directions(dataset: Dataset, lists: Path) -> None:
    table = pd.read_csv(lists / "matching.csv")
    other = pd.DataFrame(
        {"direction": "voice_to_face", "probe": table["target"], "target": table["probe"]}
        | {"candidate_1": table["probe"].iloc[::-1].to_numpy()}
    ).drop_duplicates("probe")
    both = pd.concat([table.assign(stratum="U"), other.assign(stratum="G")]).fillna("")
    both.iloc[-1, both.columns.get_loc("stratum")] = "mine"
    both.to_csv(lists / "both.csv", index=False)
    parts = read(dataset, lists / "both.csv").of(MatchingTrials)
    assert [(part.direction, part.stratum, len(part)) for part in parts] == [
        ("face_to_voice", "U", len(table)),
        ("voice_to_face", "G", len(other) - 1),
        ("voice_to_face", "mine", 1),
    ]


def test_rows_without_paths_are_named_by_number(
    make_dataset: Callable[[list[dict[str, str]]], Dataset], tmp_path: Path
) -> None:
    dataset = make_dataset([{**row, "path": ""} for row in manifest_rows(6, 2)])
    built = build_verification(dataset, split_population(dataset), "U", (), BOUNDS, 0)
    write_list(tmp_path / "v.csv", "verification", [built], dataset)
    assert pd.read_csv(tmp_path / "v.csv")["voice"].iloc[0] == "#0"
    (part,) = read(dataset, tmp_path / "v.csv").of(VerificationTrials)
    assert (part.face == built.face).all()


def test_names_that_csv_must_quote_are_read_as_written(
    make_dataset: Callable[[list[dict[str, str]]], Dataset], tmp_path: Path
) -> None:
    rows = manifest_rows(4, 2)
    for number, row in enumerate(rows):
        row["path"] = f'{"ab"[number % 2]} "{number}",\u00e9\n{number}.wav'
    dataset = make_dataset(rows)
    built = build_verification(dataset, split_population(dataset), "U", (), BOUNDS, 0)
    write_list(tmp_path / "v.csv", "verification", [built], dataset)
    (part,) = read(dataset, tmp_path / "v.csv").of(VerificationTrials)
    assert (part.voice == built.voice).all()
    assert (part.face == built.face).all()


def test_a_list_without_a_stratum_is_u(dataset: Dataset, lists: Path) -> None:
    table = pd.read_csv(lists / "verification.csv")
    table = table[table["stratum"] == "G"].drop(columns="stratum")
    # A word of a name is a stratum only in the names of built matching lists.
    table.to_csv(lists / "plain-A.csv", index=False)
    (part,) = read(dataset, lists / "plain-A.csv").of(VerificationTrials)
    assert part.stratum == "U"
    assert len(part) == len(table)


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
        read(dataset, path)


@pytest.mark.parametrize(
    ("name", "column", "value", "message"),
    [
        ("verification", "face", "nowhere.jpg", r"lacks 1 of the media .* face 'nowhere\.jpg' \(.*row 4\)"),
        ("verification", "face", "", "row 4: the name of a face is empty"),
        ("verification", "label", "yes", "row 4: label 'yes'"),
        (
            "verification",
            "label",
            "0",
            "row 4: label 0, but .* voice is of 'id000' and the face of 'id000'",
        ),
        ("verification", "stratum", "", "row 4: the stratum is empty"),
        ("matching", "direction", "up", "row 4: direction 'up'"),
        ("matching", "candidate_2", "", "row 4: a candidate is missing"),
        ("matching", "probe", "", "row 4: the name of a face is empty"),
        ("matching", "candidate_3", "gone.wav", r"lacks 1 of the media .* voice 'gone\.wav' \(.*row 4\)"),
        ("retrieval", "identity", "someone", "row 4: identity 'someone'"),
        ("retrieval", "modality", "smell", "row 4: modality 'smell'"),
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
        read(dataset, path)


def test_a_target_among_its_own_candidates_is_refused(dataset: Dataset, lists: Path) -> None:
    table = pd.read_csv(lists / "matching.csv")
    table.loc[1, "candidate_2"] = table.loc[1, "target"]
    table.to_csv(lists / "matching.csv", index=False)
    with pytest.raises(RequestError, match=r"matching\.csv, row 3: the target"):
        read(dataset, lists / "matching.csv")


@pytest.mark.parametrize("name", ["verification", "matching", "retrieval"])
def test_a_trial_that_stands_twice_is_refused(dataset: Dataset, lists: Path, name: str) -> None:
    path = lists / f"{name}.csv"
    table = pd.read_csv(path, dtype=str)
    if name == "verification":
        table = table[table["stratum"] == "U"]
    pd.concat([table, table.iloc[[4]]]).to_csv(path, index=False)
    with pytest.raises(RequestError, match=rf"{name}\.csv, row {len(table) + 2}: .* stands in the list already"):
        read(dataset, path)


@pytest.mark.parametrize(("label", "kind"), [(1, "positives"), (0, "negatives")])
def test_a_stratum_of_one_class_is_refused(dataset: Dataset, lists: Path, label: int, kind: str) -> None:
    table = pd.read_csv(lists / "verification.csv")
    table = table[(table["stratum"] == "U") | (table["label"] == label)]
    table.to_csv(lists / "one.csv", index=False)
    with pytest.raises(RequestError, match=rf"one\.csv, rows 290 to 433: stratum G has {kind} only"):
        read(dataset, lists / "one.csv")


def test_a_medium_of_nobody_is_refused(
    make_dataset: Callable[[list[dict[str, str]]], Dataset], lists: Path, dataset: Dataset
) -> None:
    rows = dataset.manifest.to_dict("records")
    for row in rows:
        if row["identity"] == "id001":
            row["identity"] = ""
    with pytest.raises(RequestError, match=r"verification\.csv, row \d+: .* has no identity"):
        read(make_dataset(rows), lists / "verification.csv")


def test_retrieval_of_one_modality_is_refused(dataset: Dataset, lists: Path) -> None:
    table = pd.read_csv(lists / "retrieval.csv")
    table[table["modality"] == "voice"].to_csv(lists / "retrieval.csv", index=False)
    with pytest.raises(RequestError, match="no row with modality 'face'"):
        read(dataset, lists / "retrieval.csv")


@pytest.mark.parametrize("content", [None, "", "voice,face,label\n"])
def test_an_absent_or_empty_list_is_refused(dataset: Dataset, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "list.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RequestError, match=r"list\.csv"):
        read(dataset, path)
