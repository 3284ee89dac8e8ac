"""The results table: one row per figure, in fixed columns."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lowshot.errors import RequestError
from lowshot.evaluation.groups import GROUPED_BY
from lowshot.files import write_table
from lowshot.metrics.bootstrap import Interval
from lowshot.schema import LABEL_COLUMNS, RESULT_COLUMNS

_LATER = ("n_skipped", "group")
_REAL = ("value", "ci_low", "ci_high", "fraction")
_WHOLE = ("gallery_size", "subset_seed", "train_seed", "n_trials", "n_identities", "n_ties", "n_skipped")
# Text columns of score tables; others hold numbers.
_NAMES = (
    "voice",
    "face",
    "voice_identity",
    "face_identity",
    "direction",
    "probe",
    "identity",
    "target",
    "query",
    "candidate",
    *GROUPED_BY,
)


@dataclass(frozen=True)
class Figure:
    """One measured or closed-form figure on one list of trials.

    Args:
        metric: auc, eer, tpr@fpr=0.01, min_dcf, cllr, min_cllr, accuracy, map, recall@1, median_rank, ... Parameters of
            a metric stand behind `@`.
        value: a fraction in [0, 1]; `cllr` in bits, 0 or more; `median_rank` from 1. NaN if it cannot be computed.
        n_trials: number of trials or queries.
        n_identities: number of identities in them; None if scores came without identities.
        interval: None if the figure has none.
        n_ties: trials that a tie decides; None for a closed form.
        gallery_size: N of 1:N matching.
        group: part of the list, such as `gender=f`; empty for all of it.
        n_skipped: trials of the list that this figure skips.
    """

    metric: str
    value: float
    n_trials: int
    n_identities: int | None
    interval: Interval | None = None
    n_ties: int | None = None
    gallery_size: int | None = None
    group: str = ""
    n_skipped: int = 0


def figure_row(figure: Figure, place: Mapping[str, object], labels: Mapping[str, object]) -> dict[str, object]:
    """Make one row of results.

    Args:
        figure: what was measured.
        place: protocol, direction, stratum, seen and `n_skipped`.
        labels: values of `LABEL_COLUMNS`; others stay empty.

    Raises:
        ValueError: a label is not one of `LABEL_COLUMNS`.
    """
    unknown = set(labels) - set(LABEL_COLUMNS)
    if unknown:
        raise ValueError(f"labels {sorted(unknown)} are not among {LABEL_COLUMNS}")
    interval = figure.interval or Interval(float("nan"), float("nan"), "")
    return {
        **labels,
        **place,
        "metric": figure.metric,
        "value": figure.value,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "ci_method": interval.method,
        "n_trials": figure.n_trials,
        "n_identities": figure.n_identities,
        "n_ties": figure.n_ties,
        "gallery_size": figure.gallery_size,
        "group": figure.group,
        "n_skipped": int(str(place.get("n_skipped", 0))) + figure.n_skipped,
    }


def results_frame(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Turn rows into a table with all of `RESULT_COLUMNS`.

    Missing text is "", and whole numbers may be missing.
    """
    return _typed(pd.DataFrame([dict(row) for row in rows], columns=list(RESULT_COLUMNS)))


def write_results(path: Path, results: pd.DataFrame) -> None:
    """Write a results table as CSV, atomically.

    Args:
        path: the file.
        results: with the columns of `RESULT_COLUMNS`, in any order.

    Raises:
        RequestError: a column is missing or unknown.
    """
    write_table(path, _typed(_checked(results, "results")))


def read_results(path: Path) -> pd.DataFrame:
    """Read a results table.

    Raises:
        RequestError: the file is missing, is not a CSV table, lacks a column, or holds text for a number.
    """
    if not path.is_file():
        raise RequestError(f"{path}: no such results table; `lowshot evaluate` writes one")
    text = _read_text(path)
    # Tables of old versions, without skipped trials and groups, lack their columns.
    table = _checked(text.assign(**{column: "" for column in _LATER if column not in text.columns}), str(path))
    for column in (*_REAL, *_WHOLE):
        numbers = pd.to_numeric(table[column].replace("", "nan"), errors="coerce").to_numpy(dtype=np.float64)
        wrong = np.isnan(numbers) & (table[column] != "").to_numpy()
        if column in _WHOLE:
            wrong |= ~np.isnan(numbers) & (numbers % 1 != 0)
        if wrong.any():
            row = int(wrong.argmax())
            raise RequestError(
                f"{path}, row {row + 2}: {column} '{table[column].iloc[row]}' is not a number it can hold"
            )
        table[column] = table[column].replace("", "nan").astype("float64")
    return _typed(table)


def write_scores(folder: Path, scores: Mapping[str, pd.DataFrame]) -> None:
    """Write score tables as `folder`/<key>.csv, each atomically."""
    for key, table in scores.items():
        write_table(folder / f"{key}.csv", table)


def read_scores(path: Path) -> pd.DataFrame:
    """Read a score table: names as text, all else as numbers.

    Empty cells of numbers are NaN.

    Raises:
        RequestError: the file is missing, is not a CSV table, or holds text for a number.
    """
    if not path.is_file():
        raise RequestError(f"{path}: no such score table; `lowshot evaluate` writes one per list of trials")
    table = _read_text(path)
    for column in table.columns:
        # Columns of names may be numbered, such as candidate_3.
        if re.sub(r"_\d+$", "", column) in _NAMES:
            continue
        try:
            table[column] = table[column].replace("", "nan").astype("float64")
        except ValueError as error:
            raise RequestError(f"{path}: column '{column}' must hold numbers ({error})") from error
    return table


def _read_text(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: not a CSV table in UTF-8 ({str(error).strip()})") from error


def _checked(table: pd.DataFrame, name: str) -> pd.DataFrame:
    missing = [column for column in RESULT_COLUMNS if column not in table.columns]
    if missing:
        raise RequestError(f"{name}: column '{missing[0]}' is missing; a results table has {', '.join(RESULT_COLUMNS)}")
    extra = [column for column in table.columns if column not in RESULT_COLUMNS]
    if extra:
        raise RequestError(f"{name}: column '{extra[0]}' is unknown; a results table has {', '.join(RESULT_COLUMNS)}")
    return table[list(RESULT_COLUMNS)].copy()


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    for column in RESULT_COLUMNS:
        if column in _REAL:
            table[column] = pd.to_numeric(table[column]).astype("float64")
        elif column in _WHOLE:
            table[column] = pd.to_numeric(table[column]).astype("Int64")
        else:
            text = table[column].astype(object)
            table[column] = text.where(text.notna(), "").astype(str)
    return table
