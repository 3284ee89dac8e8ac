"""Scores as the only input: the same figures as with a dataset, and faults named by file and row."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.evaluate import EvaluationResult, evaluate
from lowshot.evaluation.from_scores import evaluate_scores
from lowshot.evaluation.results import write_scores

from .test_evaluate import QUICK, noisy

KEYS = ["method", "protocol", "direction", "stratum", "seen", "gallery_size", "group", "metric"]
VERIFICATION = "verification-unseen-unheard-G"
MATCHING = "matching-unseen-unheard-voice_to_face"
RETRIEVAL = "retrieval-unseen-unheard-face_to_voice"


@pytest.fixture(scope="module")
def result(dataset: Dataset) -> EvaluationResult:
    """With chance; these data have no truth."""
    return evaluate(dataset, noisy(dataset, 1.5), {"method": "cmpc", "init": "x"}, replicates=QUICK)


@pytest.fixture(scope="module")
def written(result: EvaluationResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its score tables as files; to be read only."""
    folder = tmp_path_factory.mktemp("scores")
    write_scores(folder, result.scores)
    return folder


def by_key(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.set_index(KEYS).sort_index()


def test_every_figure_is_had_again_from_the_score_files(result: EvaluationResult, written: Path) -> None:
    again = evaluate_scores(sorted(written.glob("*.csv")), {"method": "cmpc", "init": "x"}, replicates=QUICK)
    expected, found = by_key(result.rows), by_key(again.rows)
    assert len(found) == len(expected)
    found = found.loc[expected.index]
    for column in ("value", "ci_low", "ci_high"):
        # Scores pass through text: calibrated ones differ in the last places.
        np.testing.assert_allclose(found[column], expected[column], atol=1e-6)
    for column in ("n_trials", "n_identities", "n_ties", "ci_method", "init"):
        pd.testing.assert_series_equal(found[column], expected[column])
    assert again.warnings == ()
    assert set(again.scores) == set(result.scores)
    for key, curve in result.curves.items():
        pd.testing.assert_frame_equal(again.curves[key], curve)


@pytest.mark.slow
def test_neither_torch_nor_a_dataset_is_needed(written: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from lowshot.evaluation.from_scores import evaluate_scores; "
        f"rows = evaluate_scores([Path({str(written / (VERIFICATION + '.csv'))!r})], replicates=100).rows; "
        "assert len(rows) and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_labels_and_scores_alone_give_figures_without_intervals(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    scores = rng.normal(size=60) + labels
    path = tmp_path / "my_scores.csv"
    pd.DataFrame({"label": labels, "score": scores}).to_csv(path, index=False)
    result = evaluate_scores([path], replicates=QUICK)
    own = result.rows[result.rows["method"] == "scores"].set_index("metric")
    assert own.loc["auc", "value"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    assert own["ci_low"].isna().all() and own["n_identities"].isna().all()
    assert np.isnan(own.loc["cllr", "value"]) and own.loc["min_cllr", "value"] < 1
    assert set(zip(own["stratum"], own["seen"], strict=True)) == {("U", "unseen-unheard")}
    assert [warning.split(": ")[1] for warning in result.warnings] == [
        "the file name does not give the population; unseen-unheard is assumed",
        "no columns voice_identity, face_identity",
    ]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("verification-seen-heard-N.csv", ("N", "seen-heard")),
        ("verification-unseen-unheard-hard.csv", ("hard", "unseen-unheard")),
        ("veriflist_test_G_seenheard.csv", ("G", "seen-heard")),
        ("mine_validation.csv", ("U", "validation")),
        ("verification-mixed-G.csv", ("G", "mixed")),
    ],
)
def test_the_name_says_stratum_and_population(tmp_path: Path, name: str, place: tuple[str, str]) -> None:
    (tmp_path / name).write_text("label,score\n1,0.9\n0,0.1\n1,0.5\n")
    rows = evaluate_scores([tmp_path / name], replicates=QUICK).rows
    assert set(zip(rows["stratum"], rows["seen"], strict=True)) == {place}


def test_a_column_may_say_the_stratum(written: Path, tmp_path: Path) -> None:
    tables = [pd.read_csv(written / f"verification-unseen-unheard-{name}.csv", dtype=str) for name in ("U", "GN")]
    joined = pd.concat([tables[0].assign(stratum="U"), tables[1].assign(stratum="GN")])
    joined.to_csv(tmp_path / "verification-unseen-unheard-all.csv", index=False)
    rows = evaluate_scores([tmp_path / "verification-unseen-unheard-all.csv"], replicates=QUICK).rows
    for name in ("U", "GN"):
        alone = evaluate_scores([written / f"verification-unseen-unheard-{name}.csv"], replicates=QUICK).rows
        part = rows[rows["stratum"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(
            part.set_index(KEYS).sort_index(), alone.set_index(KEYS).sort_index(), check_exact=False
        )


@pytest.mark.parametrize("form", ["bom", "utf-16", "windows", "tabs"])
def test_other_peoples_text_is_read(written: Path, tmp_path: Path, form: str) -> None:
    text = (written / f"{VERIFICATION}.csv").read_text(encoding="utf-8")
    data = {
        "bom": text.encode("utf-8-sig"),
        "utf-16": text.encode("utf-16"),
        "windows": text.replace("\n", "\r\n").encode(),
        "tabs": text.replace(",", "\t").encode(),
    }[form]
    (tmp_path / f"{VERIFICATION}.csv").write_bytes(data)
    found, expected = (evaluate_scores([at / f"{VERIFICATION}.csv"], replicates=QUICK) for at in (tmp_path, written))
    pd.testing.assert_frame_equal(found.rows, expected.rows)


def test_repeated_trials_are_counted(written: Path, tmp_path: Path) -> None:
    table = pd.read_csv(written / f"{VERIFICATION}.csv", dtype=str)
    pd.concat([table, table.iloc[[3, 5]]]).to_csv(tmp_path / f"{VERIFICATION}.csv", index=False)
    (warning,) = evaluate_scores([tmp_path / f"{VERIFICATION}.csv"], replicates=QUICK).warnings
    assert warning == f"{tmp_path / VERIFICATION}.csv: 2 trials repeat earlier ones, the first in row {len(table) + 2}"


Change = Callable[[pd.DataFrame], pd.DataFrame]


def cell(row: int, column: str, value: str) -> Change:
    """A change of one cell; `row` as a person counts, the header being row 1."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        changed = table.copy()
        changed.loc[changed.index[row - 2], column] = value
        return changed

    return change


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        (VERIFICATION, cell(5, "score", "nan"), "row 5: score 'nan' is not a finite number"),
        (VERIFICATION, cell(5, "score", "inf"), "row 5: score 'inf' is not a finite number"),
        (VERIFICATION, cell(5, "score", ""), "row 5: score '' is not a finite number"),
        (VERIFICATION, cell(7, "label", "2"), "row 7: label '2' is neither 0 nor 1"),
        (VERIFICATION, cell(7, "label", "yes"), "row 7: label 'yes' is not a finite number"),
        (VERIFICATION, cell(3, "label", "1"), "row 3: label 1, but the identities are id000, id"),
        (VERIFICATION, cell(4, "face_identity", ""), "row 4: one of voice_identity, face_identity is empty"),
        (VERIFICATION, lambda t: t.assign(stratum=""), "row 2: the stratum is empty"),
        (VERIFICATION, lambda t: t[t["label"] == "1"], "all trials of stratum G are labelled 1"),
        (VERIFICATION, lambda t: t.iloc[:0], "no trials"),
        (VERIFICATION, lambda t: t.drop(columns="score"), "column 'score' is missing; scores of verification have"),
        (MATCHING, cell(6, "score_3", ""), "row 6: a score is missing before the last one"),
        (MATCHING, cell(6, "score_3", "high"), "row 6: score_3 'high' is not a finite number"),
        (MATCHING, cell(6, "score", ""), "row 6: score '' is not a finite number"),
        (MATCHING, cell(6, "direction", "up"), "row 6: direction 'up' is none of"),
        (MATCHING, cell(6, "identity", ""), "row 6: identity is empty"),
        (MATCHING, lambda t: t.assign(candidate_4=t["target"]), "row 2: the target is among the candidates too"),
        (
            MATCHING,
            lambda t: t.rename(columns={"score_3": "score_33"}),
            "scores must be in columns score, score_1 ...",
        ),
        (RETRIEVAL, cell(9, "average_precision", "1.5"), "row 9: one of average_precision, .* lies outside"),
        (RETRIEVAL, cell(9, "n_relevant", "0"), "row 9: 0 relevant of"),
        (RETRIEVAL, cell(9, "identity", ""), "row 9: identity is empty"),
        (RETRIEVAL, lambda t: t.drop(columns="tied"), "column 'tied' is missing; scores of retrieval have"),
    ],
)
def test_faults_are_named_by_file_and_row(
    written: Path, tmp_path: Path, key: str, change: Change, message: str
) -> None:
    path = tmp_path / f"{key}.csv"
    change(pd.read_csv(written / f"{key}.csv", dtype=str, keep_default_na=False)).to_csv(path, index=False)
    with pytest.raises(RequestError, match=rf"{key}\.csv(, |: ){message}"):
        evaluate_scores([path], replicates=QUICK)


def test_short_galleries_are_no_fault(written: Path, tmp_path: Path) -> None:
    table = pd.read_csv(written / f"{MATCHING}.csv", dtype=str, keep_default_na=False)
    table.loc[3:, ["score_8", "score_9"]] = ""
    table.to_csv(tmp_path / f"{MATCHING}.csv", index=False)
    rows = evaluate_scores([tmp_path / f"{MATCHING}.csv"], replicates=QUICK).rows
    counts = rows[(rows["method"] == "scores") & (rows["group"] == "")].set_index("gallery_size")["n_trials"]
    assert counts.loc[[8, 9, 10]].tolist() == [len(table), 3, 3]


def test_what_is_no_score_file_is_refused(written: Path, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RequestError, match=r"other\.csv: column 'label' is missing"):
        evaluate_scores([tmp_path / "other.csv"])
    (tmp_path / "ragged.csv").write_text("label,score\n1,2,3\n")
    with pytest.raises(RequestError, match=r"ragged\.csv, row 2: 3 fields"):
        evaluate_scores([tmp_path / "ragged.csv"])
    (tmp_path / "twice.csv").write_text("label,score,score\n1,2,3\n")
    with pytest.raises(RequestError, match=r"twice\.csv: column 'score' is there twice"):
        evaluate_scores([tmp_path / "twice.csv"])
    with pytest.raises(RequestError, match="no score tables"):
        evaluate_scores([])
    path = written / f"{VERIFICATION}.csv"
    with pytest.raises(RequestError, match="a second file of verification-unseen-unheard-G; give the scores of one"):
        evaluate_scores([path, path], replicates=QUICK)
    renamed = tmp_path / "retrieval.csv"
    renamed.write_bytes((written / f"{RETRIEVAL}.csv").read_bytes())
    with pytest.raises(RequestError, match=r"call it retrieval-unseen-unheard-voice_to_face\.csv or"):
        evaluate_scores([renamed])
