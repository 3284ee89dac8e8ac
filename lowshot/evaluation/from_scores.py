"""Evaluation of scores alone: tables as an evaluation writes them, or anyone's of that form, without a dataset."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from lowshot import __version__
from lowshot.errors import RequestError
from lowshot.evaluation.evaluate import EvaluationResult, score_key
from lowshot.evaluation.matching import matching_chance, matching_figures
from lowshot.evaluation.protocols import matching_protocol, retrieval_protocol, verification_protocol
from lowshot.evaluation.results import Figure, figure_row, results_frame
from lowshot.evaluation.retrieval_figures import retrieval_chance, retrieval_figures
from lowshot.evaluation.score_files import read_score_file
from lowshot.evaluation.verification import error_curve, verification_chance, verification_figures

EXTERNAL: Mapping[str, object] = {"method": "scores", "init": "external"}


def evaluate_scores(
    files: Sequence[Path], labels: Mapping[str, object] = EXTERNAL, *, replicates: int | None = None, seed: int = 0
) -> EvaluationResult:
    """Measure one model by its scores.

    Args:
        files: score tables of verification (`label, score`), matching (`direction, score, score_1 ...`) and
            retrieval (as `rank_queries` gives them). Identities (`voice_identity, face_identity`; `identity`) are
            needed for intervals and for `cllr`, `gender` for its groups; names of media are checked where they are
            given. A file's name says stratum, population and direction as those do that an evaluation writes.
        labels: which model this is: values of `results.LABEL_COLUMNS`.
        replicates: number of resamples for intervals; None: what the protocols name.
        seed: seed of the resamples.

    Returns:
        Rows of the model and of chance, the tables by name, the curves, and warnings on what a reader should know.

    Raises:
        RequestError: a file that cannot be read, is of no known form, has a fault, which is named by its row, or two
            files for one place in the results.
    """
    said = {"version": __version__, **labels}
    rows: list[dict[str, object]] = []
    by_chance: list[dict[str, object]] = []
    scores: dict[str, pd.DataFrame] = {}
    curves: dict[str, pd.DataFrame] = {}
    warnings: list[str] = []
    for path in files:
        for place, table in read_score_file(path, warnings):
            key = score_key(place)
            if key in scores:
                raise RequestError(f"{path}: a second file of {key}; give the scores of one model")
            figures, chance = _measured(place, table, replicates, seed)
            rows += [figure_row(figure, {**place, "n_skipped": 0}, said) for figure in figures]
            nobody = {**said, "method": "chance", "init": ""}
            by_chance += [figure_row(figure, {**place, "n_skipped": 0}, nobody) for figure in chance]
            scores[key] = table
            if place["protocol"] == "verification":
                curves[key] = error_curve(table)
    if not rows:
        raise RequestError("no score tables; name at least one")
    return EvaluationResult(results_frame(rows + by_chance), scores, curves, tuple(warnings))


def _measured(
    place: Mapping[str, object], table: pd.DataFrame, replicates: int | None, seed: int
) -> tuple[list[Figure], list[Figure]]:
    """Figures of the model and of chance."""
    if place["protocol"] == "verification":
        verification = verification_protocol()
        resamples = replicates or verification.interval.replicates
        figures = verification_figures(table, verification, resamples, seed)
        return figures, verification_chance(table, verification)
    if place["protocol"] == "matching":
        matching = matching_protocol()
        largest = 1 + sum(column.startswith("score_") for column in table.columns)
        sizes = sorted({*matching.gallery_sizes, largest})
        figures = matching_figures(table, matching, sizes, replicates or matching.interval.replicates, seed)
        return figures, matching_chance(table, matching, sizes)
    retrieval = retrieval_protocol()
    figures = retrieval_figures(table, retrieval, replicates or retrieval.interval.replicates, seed)
    return figures, retrieval_chance(table, retrieval)
