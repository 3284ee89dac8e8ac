"""Evaluate score tables alone, without a dataset or a model."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from lowshot import __version__
from lowshot.data.table_text import read_rows
from lowshot.errors import RequestError
from lowshot.evaluation.evaluate import EvaluationResult
from lowshot.evaluation.protocols.base import TableProtocol
from lowshot.evaluation.protocols.registry import names, table_protocols
from lowshot.evaluation.results import figure_row, results_frame
from lowshot.evaluation.score_files import Place, ScoreFile
from lowshot.evaluation.trial_lists.listed import seen_of, stratum_of
from lowshot.schema import DIRECTIONS, MIXED, SEEN, UNSEEN, VALIDATION

EXTERNAL: Mapping[str, object] = {"method": "scores", "init": "external"}
_DIRECTED = re.compile(rf"({'|'.join(DIRECTIONS)})(?:-(.+))?")


def evaluate_scores(
    files: Sequence[Path], labels: Mapping[str, object] = EXTERNAL, *, replicates: int | None = None, seed: int = 0
) -> EvaluationResult:
    """Measure one model by its scores.

    Args:
        files: score tables of protocols, recognised by their columns. Identities (`voice_identity, face_identity`;
            `identity`) are needed for intervals and for `cllr`, `gender` for its groups. Names of media are checked if
            they are given. The file's name gives stratum, population and direction, as an evaluation writes it.
        labels: values of `results.LABEL_COLUMNS` that say which model this is.
        replicates: number of resamples for intervals; that of the protocols if None.
        seed: seed of the resamples.

    Returns:
        Rows of the model and of chance, the tables by name, the curves, and warnings.

    Raises:
        RequestError: a file cannot be read, has an unknown form, or has a fault (the message names its row), or two
            files belong to one place in the results.
    """
    said = {"version": __version__, **labels}
    rows: list[dict[str, object]] = []
    by_chance: list[dict[str, object]] = []
    scores: dict[str, pd.DataFrame] = {}
    curves: dict[str, pd.DataFrame] = {}
    warnings: list[str] = []
    for path in files:
        protocol, parts = _read(path, warnings)
        for place, table in parts:
            key = protocol.score_key(place)
            if key in scores:
                raise RequestError(f"{path}: a second file of {key}; give the scores of one model")
            measured = protocol.measured(table, replicates, seed)
            rows += [figure_row(figure, {**place, "n_skipped": 0}, said) for figure in measured.figures]
            nobody = {**said, "method": "chance", "init": ""}
            by_chance += [
                figure_row(figure, {**place, "n_skipped": 0}, nobody) for figure in protocol.chance_figures(table)
            ]
            scores[key] = table
            if measured.curve is not None:
                curves[key] = measured.curve
    if not rows:
        raise RequestError("no score tables; name at least one")
    return EvaluationResult(results_frame(rows + by_chance), scores, curves, tuple(warnings))


def _read(path: Path, warnings: list[str]) -> tuple[TableProtocol, list[tuple[Place, pd.DataFrame]]]:
    """Read and check a score table; return its protocol and its parts."""
    rows = read_rows(path)
    header = [name.strip() for name in rows.fields[0]]

    def likeness(protocol: TableProtocol) -> tuple[float, int]:
        columns = protocol.score_columns
        share = len(set(columns) & set(header)) / len(columns)
        # If two forms are complete, the longer one is meant.
        return share, len(columns) if share == 1 else 0

    # Take the form with the most of its columns, so that a message can name the missing one.
    protocol = max(table_protocols(), key=likeness)
    for column in protocol.score_columns:
        if column not in header:
            raise RequestError(
                f"{path}: column '{column}' is missing; scores of {protocol.name} have "
                f"{', '.join(protocol.score_columns)}"
            )
    twice = [name for place, name in enumerate(header) if name in header[:place]]
    if twice:
        raise RequestError(f"{path}: column '{twice[0]}' is there twice")
    if len(rows.fields) == 1:
        raise RequestError(f"{path}: no trials")
    seen, direction, stratum = _said(path)
    if not seen:
        warnings.append(f"{path}: the file name does not give the population; {UNSEEN} is assumed")
    place = {"protocol": protocol.name, "direction": direction, "stratum": stratum or "U", "seen": seen or UNSEEN}
    return protocol, protocol.read_scores(ScoreFile(rows), place, warnings)


def _said(path: Path) -> tuple[str, str, str]:
    """Read population, direction and stratum from a file's name; empty if unknown."""
    form = rf"(?:{'|'.join(map(re.escape, names()))})-({UNSEEN}|{SEEN}|{VALIDATION}|{MIXED})-(.+)"
    if own := re.fullmatch(form, path.stem):
        seen, rest = own[1], own[2]
        directed = _DIRECTED.fullmatch(rest)
        return (seen, directed[1], directed[2] or "") if directed else (seen, "", rest)
    direction = next((name for name in DIRECTIONS if name in path.stem), "")
    return seen_of(path.name), direction, stratum_of(path.name) or ""
