"""Measure a model and write its figures and score files."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from lowshot.data.readers.base import Reader
from lowshot.evaluation.evaluate import EvaluationResult, chance, oracle, score
from lowshot.evaluation.results import write_results, write_scores
from lowshot.evaluation.scorers import EmbeddingScorer
from lowshot.evaluation.trial_lists.submission import write_submissions
from lowshot.evaluation.trial_set import TrialSet
from lowshot.models.embedding import USUAL, embed_rows
from lowshot.models.two_tower import TwoTower
from lowshot.progress import Report, counter, quiet
from lowshot.schema import CURVES, RESULT_COLUMNS, RESULTS, SCORES, SUBMISSIONS
from lowshot.settings import EvaluateConfig


def score_model(
    trials: TrialSet,
    model: TwoTower,
    reader: Reader,
    labels: Mapping[str, object],
    settings: EvaluateConfig = USUAL,
    show: Callable[[EmbeddingScorer], object] | None = None,
    report: Report = quiet,
) -> EvaluationResult:
    """Embed the media of the trials, each once, and measure.

    Args:
        trials: of the dataset that `reader` reads.
        model: the towers.
        reader: of the dataset.
        labels: the model's label columns of results.csv.
        settings: crops and mirror images of each medium.
        show: called with the embeddings.
        report: takes progress events.
    """
    scorer = embed_trials(trials, model, reader, settings, report)
    if show is not None:
        show(scorer)
    return score(trials, scorer, labels)


def embed_trials(
    trials: TrialSet, model: TwoTower, reader: Reader, settings: EvaluateConfig = USUAL, report: Report = quiet
) -> EmbeddingScorer:
    """Embed the media of the trials, each once; arguments as in `score_model`."""
    voices, faces = trials.voices, trials.faces
    advance = counter(report, "embed", len(voices) + len(faces), "file", brief=True)
    voice = embed_rows(model, reader, "voice", voices, settings, advance)
    face = embed_rows(model, reader, "face", faces, settings, advance)
    return EmbeddingScorer(voice, face, voices, faces)


def labels_of(run_id: str, facts: Mapping[str, str]) -> dict[str, object]:
    """Return the label columns of results.csv from a model's metadata."""
    return {
        "run_id": run_id,
        "method": facts.get("method", "unknown"),
        "init": facts.get("init", ""),
        "adaptation": facts.get("adaptation", ""),
        "fraction": float(facts["fraction"]) if "fraction" in facts else None,
        "subset_seed": _whole(facts.get("subset_seed")),
        "train_seed": _whole(facts.get("train_seed")),
        "config_sha": facts.get("config_sha", ""),
    }


def _whole(text: str | None) -> int | None:
    return int(text) if text else None


def write_evaluation(out: Path, trials: TrialSet, models: Mapping[str, EvaluationResult]) -> pd.DataFrame:
    """Write the results of models on the same trials.

    The files are results.csv, scores/<model>/, curves/<model>/ and submissions/<model>/. Rows of chance and of the
    upper bound are added.

    Args:
        out: the directory.
        trials: what the models were measured on.
        models: results by `run_id`, which names the folder of scores; a single name.

    Returns:
        All rows, as they were written.
    """
    ceiling = oracle(trials)
    for key, result in {**models, **({"oracle": ceiling} if ceiling else {})}.items():
        write_scores(out / SCORES / key, result.scores)
        write_scores(out / CURVES / key, result.curves)
        write_submissions(out / SUBMISSIONS / key, result.submissions)
    tables = [result.rows for result in models.values()] + [chance(trials)] + ([ceiling.rows] if ceiling else [])
    rows = pd.concat(tables, ignore_index=True)[list(RESULT_COLUMNS)]
    write_results(out / RESULTS, rows)
    return rows


def check_trial_files(trials: TrialSet) -> None:
    """Refuse trials whose media are missing, before anything is embedded.

    Raises:
        RequestError: names the missing files.
    """
    trials.dataset.check_files("voice", trials.voices)
    trials.dataset.check_files("face", trials.faces)
