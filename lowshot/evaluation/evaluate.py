"""Measure models, chance and the upper bound on the same trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from lowshot import __version__
from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.protocols.base import Protocol
from lowshot.evaluation.results import Figure, figure_row, results_frame
from lowshot.evaluation.scorers import OracleScorer, Scorer, checked_scores
from lowshot.evaluation.trial_lists.submission import submission
from lowshot.evaluation.trial_set import TrialSet, build_trial_set
from lowshot.synthetic.oracle import Oracle


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """Figures of one model, with chance and upper bound if wanted.

    Args:
        rows: in the columns of `RESULT_COLUMNS`.
        scores: score tables by name, one row per trial or query.
        curves: ROC and DET points by the same names: `fpr, tpr, fnr, threshold`.
        warnings: those of the trials.
        submissions: scores of lists with hidden labels, by name of the list.
    """

    rows: pd.DataFrame
    scores: dict[str, pd.DataFrame]
    curves: dict[str, pd.DataFrame]
    warnings: tuple[str, ...]
    submissions: dict[str, pd.DataFrame] = field(default_factory=dict)


def score(trials: TrialSet, scorer: Scorer, labels: Mapping[str, object]) -> EvaluationResult:
    """Measure one model.

    Args:
        trials: from `build_trial_set`.
        scorer: the model's scores.
        labels: values of `results.LABEL_COLUMNS` that say which model this is; `data_sha` and `version` are added.

    Raises:
        RunError: scores are not finite.
    """
    rows: list[dict[str, object]] = []
    scores: dict[str, pd.DataFrame] = {}
    curves: dict[str, pd.DataFrame] = {}
    said = _labels(trials, labels)
    for part in trials.parts:
        protocol = part.protocol
        measured = protocol.measure(part.lists, scorer, trials.dataset, trials.replicates, trials.seed)
        for listed, found in zip(part.lists, measured, strict=True):
            place = protocol.place(listed)
            rows += _rows(found.figures, place, said)
            if found.table is not None:
                scores[protocol.score_key(place)] = found.table
            if found.curve is not None:
                curves[protocol.score_key(place)] = found.curve
    submissions = {
        hidden.name: submission(hidden, checked_scores(scorer.pairs(hidden.voice, hidden.face)))
        for hidden in trials.hidden
    }
    return EvaluationResult(results_frame(rows), scores, curves, trials.warnings, submissions)


def chance(trials: TrialSet) -> pd.DataFrame:
    """Rows of `method=chance`."""
    said = _labels(trials, {"method": "chance"})
    rows: list[dict[str, object]] = []
    for part in trials.parts:
        for listed in part.lists:
            rows += _rows(part.protocol.chance(listed, trials.dataset), part.protocol.place(listed), said)
    return results_frame(rows)


def oracle(trials: TrialSet) -> EvaluationResult | None:
    """Measure the upper bound on the same trials.

    Its rows have `method=oracle`. They come from the true latents of synthetic data.

    Returns:
        None if the dataset holds no truth. No rows, and a warning, if its truth is that of other identities.

    Raises:
        RequestError: the truth cannot be read.
    """
    truth = Oracle.open(trials.dataset.root)
    if truth is None:
        return None
    # A likelihood ratio is not a distance, and a challenge needs no upper bound.
    trials = replace(trials, hidden=())
    used = {
        *trials.dataset.voices["identity"].iloc[trials.voices],
        *trials.dataset.faces["identity"].iloc[trials.faces],
    }
    try:
        truth.llr(sorted(used), sorted(used))
    except RequestError as error:
        return EvaluationResult(results_frame([]), {}, {}, (f"no upper bound: {error}",))
    return score(trials, OracleScorer(trials.dataset, truth), {"method": "oracle"})


def evaluate(
    dataset: Dataset,
    scorer: Scorer,
    labels: Mapping[str, object],
    *,
    protocols: Sequence[str | Protocol[Any]] | None = None,
    split: str = "test",
    strata: Sequence[str] | None = None,
    seed: int = 0,
    replicates: int | None = None,
) -> EvaluationResult:
    """Measure one model on a dataset, with chance and the upper bound.

    The upper bound needs the true latents of synthetic data.

    Args:
        dataset, protocols, split, strata, seed, replicates: as in `build_trial_set`.
        scorer, labels: as in `score`.

    Returns:
        The model's scores and curves, and rows of all three.
    """
    trials = build_trial_set(
        dataset,
        protocols=protocols,
        split=split,
        strata=strata,
        seed=seed,
        replicates=replicates,
    )
    result = score(trials, scorer, labels)
    ceiling = oracle(trials)
    tables = [result.rows, chance(trials)]
    warnings = result.warnings
    if ceiling is not None:
        tables.append(ceiling.rows)
        # Most of these repeat the warnings of the trials.
        warnings += tuple(warning for warning in ceiling.warnings if warning not in warnings)
    rows = pd.concat([table for table in tables if len(table)], ignore_index=True)
    return EvaluationResult(rows, result.scores, result.curves, warnings)


def _labels(trials: TrialSet, labels: Mapping[str, object]) -> dict[str, object]:
    return {"data_sha": trials.dataset.sha, "version": __version__, **labels}


def _rows(
    figures: Sequence[Figure], place: Mapping[str, object], labels: Mapping[str, object]
) -> list[dict[str, object]]:
    return [figure_row(figure, place, labels) for figure in figures]
