"""Evaluation: build the trials once, score any number of models on them, beside chance and the ceiling."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from lowshot import __version__
from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.matching import (
    matching_chance,
    matching_figures,
    matching_score_table,
    matching_scores,
    matching_trials,
)
from lowshot.evaluation.protocols import (
    PROTOCOLS,
)
from lowshot.evaluation.results import Figure, figure_row, results_frame
from lowshot.evaluation.retrieval import Queries, query_table, rank_queries
from lowshot.evaluation.retrieval_figures import retrieval_chance, retrieval_figures
from lowshot.evaluation.scorers import OracleScorer, Scorer, checked_scores
from lowshot.evaluation.trial_lists.submission import submission
from lowshot.evaluation.trial_set import TrialSet, build_trial_set
from lowshot.evaluation.trials import (
    MatchingTrials,
    VerificationTrials,
)
from lowshot.evaluation.verification import (
    error_curve,
    verification_chance,
    verification_figures,
    verification_scores,
    verification_trials,
)
from lowshot.synthetic.oracle import Oracle


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """Figures of one model, or of chance and the ceiling too.

    Args:
        rows: in the columns of `RESULT_COLUMNS`.
        scores: score tables by name, one row per trial or query.
        curves: ROC and DET points by name of the verification list: `fpr, tpr, fnr, threshold`.
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
        trials: as `build_trial_set` gives them.
        scorer: the model's scores.
        labels: which model this is: values of `results.LABEL_COLUMNS`. `data_sha` and `version` are filled in.

    Raises:
        RunError: scores that are not finite.
    """
    rows: list[dict[str, object]] = []
    scores: dict[str, pd.DataFrame] = {}
    curves: dict[str, pd.DataFrame] = {}
    said = _labels(trials, labels)
    verification, matching, retrieval = (
        trials.verification_protocol,
        trials.matching_protocol,
        trials.retrieval_protocol,
    )
    for verified in trials.verification:
        found = checked_scores(scorer.pairs(verified.voice, verified.face))
        table = verification_scores(verified, found, trials.dataset)
        figures = verification_figures(table, verification, *trials.resamples(verification))
        rows += _rows(figures, _place(verified), said)
        scores[score_key(_place(verified))] = table
        curves[score_key(_place(verified))] = error_curve(table)
    for matched in trials.matching:
        table = matching_score_table(matched, matching_scores(matched, scorer), trials.dataset)
        figures = matching_figures(table, matching, trials.gallery_sizes, *trials.resamples(matching))
        rows += _rows(figures, _place(matched), said)
        scores[score_key(_place(matched))] = table
    rankings = rank_queries(trials.queries, scorer, trials.dataset, retrieval.recall_at)
    for queries, table in zip(trials.queries, rankings, strict=True):
        figures = retrieval_figures(table, retrieval, *trials.resamples(retrieval))
        rows += _rows(figures, _place(queries), said)
        scores[score_key(_place(queries))] = table
    for own in trials.own:
        rows += _rows(own.figures(trials.dataset, scorer, trials.replicates, trials.seed), own.place, said)
    submissions = {
        hidden.name: submission(hidden, checked_scores(scorer.pairs(hidden.voice, hidden.face)))
        for hidden in trials.hidden
    }
    return EvaluationResult(results_frame(rows), scores, curves, trials.warnings, submissions)


def chance(trials: TrialSet) -> pd.DataFrame:
    """Rows of `method=chance`, in closed form."""
    said = _labels(trials, {"method": "chance"})
    rows: list[dict[str, object]] = []
    for verified in trials.verification:
        figures = verification_chance(verification_trials(verified, trials.dataset), trials.verification_protocol)
        rows += _rows(figures, _place(verified), said)
    for matched in trials.matching:
        table = matching_trials(matched, trials.dataset)
        figures = matching_chance(table, trials.matching_protocol, trials.gallery_sizes)
        rows += _rows(figures, _place(matched), said)
    for queries in trials.queries:
        figures = retrieval_chance(query_table(queries, trials.dataset), trials.retrieval_protocol)
        rows += _rows(figures, _place(queries), said)
    for own in trials.own:
        rows += _rows(own.chance(trials.dataset, trials.replicates, trials.seed), own.place, said)
    return results_frame(rows)


def oracle(trials: TrialSet) -> EvaluationResult | None:
    """The ceiling on the same trials: `method=oracle`, from the true latents of an embedded world.

    Returns:
        None when the dataset holds no truth. No rows, and a warning why, when its truth is that of other identities.

    Raises:
        RequestError: the truth cannot be read.
    """
    truth = Oracle.open(trials.dataset.root)
    if truth is None:
        return None
    # A likelihood ratio is no distance, and a challenge has no use for a ceiling.
    trials = replace(trials, hidden=())
    used = {
        *trials.dataset.voices["identity"].iloc[trials.voices],
        *trials.dataset.faces["identity"].iloc[trials.faces],
    }
    try:
        truth.llr(sorted(used), sorted(used))
    except RequestError as error:
        return EvaluationResult(results_frame([]), {}, {}, (f"no ceiling: {error}",))
    return score(trials, OracleScorer(trials.dataset, truth), {"method": "oracle"})


def evaluate(
    dataset: Dataset,
    scorer: Scorer,
    labels: Mapping[str, object],
    *,
    protocols: Sequence[str] = PROTOCOLS,
    split: str = "test",
    strata: Sequence[str] | None = None,
    gallery_sizes: Sequence[int] | None = None,
    seed: int = 0,
    replicates: int | None = None,
) -> EvaluationResult:
    """Measure one model on a dataset, with rows of chance and, where there is a truth, of the ceiling.

    Args:
        dataset, protocols, split, strata, gallery_sizes, seed, replicates: as in `build_trial_set`.
        scorer, labels: as in `score`.

    Returns:
        The model's scores and curves, and rows of all three.
    """
    trials = build_trial_set(
        dataset,
        protocols=protocols,
        split=split,
        strata=strata,
        gallery_sizes=gallery_sizes,
        seed=seed,
        replicates=replicates,
    )
    result = score(trials, scorer, labels)
    ceiling = oracle(trials)
    tables = [result.rows, chance(trials)]
    warnings = result.warnings
    if ceiling is not None:
        tables.append(ceiling.rows)
        # The ceiling's warnings repeat those of the trials, unless it has one of its own.
        warnings += tuple(warning for warning in ceiling.warnings if warning not in warnings)
    rows = pd.concat([table for table in tables if len(table)], ignore_index=True)
    return EvaluationResult(rows, result.scores, result.curves, warnings)


def _labels(trials: TrialSet, labels: Mapping[str, object]) -> dict[str, object]:
    return {"data_sha": trials.dataset.sha, "version": __version__, **labels}


def _place(trials: VerificationTrials | MatchingTrials | Queries) -> dict[str, object]:
    if isinstance(trials, VerificationTrials):
        protocol, direction = "verification", ""
    else:
        protocol, direction = "matching" if isinstance(trials, MatchingTrials) else "retrieval", trials.direction
    return {
        "protocol": protocol,
        "direction": direction,
        "stratum": trials.stratum,
        "seen": trials.seen,
        "n_skipped": trials.skipped,
    }


def score_key(place: Mapping[str, object]) -> str:
    """Name of the score table of a place in results: its `protocol`, `direction`, `stratum` and `seen`."""
    if place["protocol"] == "verification":
        return f"verification-{place['seen']}-{place['stratum']}"
    suffix = "" if place["stratum"] == "U" else f"-{place['stratum']}"
    return f"{place['protocol']}-{place['seen']}-{place['direction']}{suffix}"


def _rows(
    figures: Sequence[Figure], place: Mapping[str, object], labels: Mapping[str, object]
) -> list[dict[str, object]]:
    return [figure_row(figure, place, labels) for figure in figures]
