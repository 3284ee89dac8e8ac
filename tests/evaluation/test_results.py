"""The results table: one form on disk, checked on the way in."""

from pathlib import Path

import pandas as pd
import pytest

from lowshot.errors import RequestError
from lowshot.evaluation.results import (
    Figure,
    figure_row,
    read_results,
    read_scores,
    results_frame,
    write_results,
    write_scores,
)
from lowshot.metrics.bootstrap import Interval
from lowshot.schema import RESULT_COLUMNS

PLACE = {"protocol": "matching", "direction": "voice_to_face", "stratum": "U", "seen": "unseen-unheard"}


@pytest.fixture
def table() -> pd.DataFrame:
    measured = Figure("accuracy", 1 / 3, 600, 100, Interval(0.3, 0.36, "identity-bootstrap-percentile"), 2, 5)
    labels = {"method": "cmpc", "run_id": "007", "fraction": 0.01, "train_seed": 2, "version": "0.1.0"}
    closed = Figure("accuracy", 0.2, 600, 100, gallery_size=5)
    return results_frame([figure_row(measured, PLACE, labels), figure_row(closed, PLACE, {"method": "chance"})])


def test_a_table_is_read_as_it_was_written(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "run" / "results.csv"
    write_results(path, table[list(reversed(RESULT_COLUMNS))])
    read = read_results(path)
    pd.testing.assert_frame_equal(read, table)
    assert read["run_id"].tolist() == ["007", ""]
    assert read["train_seed"].tolist() == [2, pd.NA]
    header = path.read_text().splitlines()[0]
    assert header == (
        "run_id,method,init,adaptation,protocol,direction,stratum,seen,gallery_size,fraction,subset_seed,train_seed,"
        "metric,value,ci_low,ci_high,ci_method,n_trials,n_identities,n_ties,data_sha,config_sha,version,n_skipped,group"
    )
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="ci_low"), "column 'ci_low' is missing"),
        (lambda t: t.assign(mood="good"), "column 'mood' is unknown"),
        (lambda t: t.astype({"value": object}).assign(value="high"), "row 2: value 'high'"),
        (lambda t: t.astype({"n_trials": object}).assign(n_trials="600.5"), "row 2: n_trials '600.5'"),
    ],
)
def test_another_table_is_refused(table: pd.DataFrame, tmp_path: Path, change, message: str) -> None:
    change(table).to_csv(tmp_path / "results.csv", index=False)
    with pytest.raises(RequestError, match=message):
        read_results(tmp_path / "results.csv")


def test_nothing_is_written_of_an_incomplete_table(table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="column 'value' is missing"):
        write_results(tmp_path / "run" / "results.csv", table.drop(columns="value"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00"])
def test_an_absent_or_unreadable_table_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "results.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError, match=r"results\.csv"):
        read_results(path)


def test_an_unknown_label_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="colour"):
        figure_row(Figure("auc", 0.5, 2, 2), PLACE, {"colour": "red"})


def test_score_tables_keep_names_as_text_and_scores_to_the_bit(tmp_path: Path) -> None:
    scores = pd.DataFrame({"voice": ["001", "NA"], "voice_identity": ["007", "null"], "score": [0.1, 1 / 3]})
    write_scores(tmp_path / "scores", {"verification": scores})
    pd.testing.assert_frame_equal(read_scores(tmp_path / "scores" / "verification.csv"), scores)


def test_a_score_that_is_no_number_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("voice,score\na,high\n")
    with pytest.raises(RequestError, match=r"s.csv: column 'score'"):
        read_scores(tmp_path / "s.csv")
    with pytest.raises(RequestError, match="no such score table"):
        read_scores(tmp_path / "none.csv")
