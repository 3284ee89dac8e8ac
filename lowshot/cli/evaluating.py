"""What `lowshot evaluate` does once torch is wanted."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import pandas as pd

from lowshot.adapt.start import find_start
from lowshot.cli.options import open_dataset, resolve_config
from lowshot.config import Config
from lowshot.data.dataset import Dataset
from lowshot.data.reader import MediaReader
from lowshot.errors import RequestError
from lowshot.evaluation.evaluate import EvaluationResult, score
from lowshot.evaluation.run import check_trial_files, labels_of, score_model, write_evaluation
from lowshot.evaluation.scorers import EmbeddingScorer
from lowshot.evaluation.trial_set import TrialSet, build_trial_set
from lowshot.files import write_text
from lowshot.reporting.page import write_report
from lowshot.runs import open_run, write_provenance
from lowshot.training.loop import default_device


def evaluate_model(
    source: str | None, data: str | None, sets: tuple[str, ...], protocols: Sequence[str], split: str, out: Path | None
) -> tuple[Path, pd.DataFrame]:
    """Evaluate a run or a weights file; see `lowshot evaluate`."""
    start = find_start(source, ("pretrain", "finetune", "probe"))
    config = resolve_config(None, None, sets, {"data": data}, base=start.config)
    dataset = open_dataset(config.data)
    trials = _trials(dataset, config, protocols, split)
    check_trial_files(trials)
    click.echo(f"evaluate {start.name} on {dataset.name}, split {split}", err=True)
    reader = MediaReader(dataset, start.model.voice_config, start.model.face_config)
    labels = labels_of(start.name, {"init": start.name, **start.facts})
    result = score_model(trials, start.model.to(default_device()), reader, labels)
    return _write(out, start.name, trials, result, config, {"model": start.name, "split": split})


def evaluate_embeddings(
    dataset: Dataset, config: Config, protocols: Sequence[str], split: str, out: Path | None
) -> tuple[Path, pd.DataFrame]:
    """Evaluate anyone's embeddings; see `lowshot evaluate --embeddings`."""
    if not dataset.has_features:
        raise RequestError(f"--embeddings {dataset.root}: no features.safetensors there; make one with `lowshot embed`")
    trials = _trials(dataset, config, protocols, split)
    labels = labels_of(dataset.name, {"method": "embeddings", "init": "external"})
    result = score(trials, EmbeddingScorer(dataset.features["voice"], dataset.features["face"]), labels)
    return _write(out, dataset.name, trials, result, config, {"embeddings": dataset.name, "split": split})


def _trials(dataset: Dataset, config: Config, protocols: Sequence[str], split: str) -> TrialSet:
    trials = build_trial_set(
        dataset,
        protocols=protocols,
        split=split,
        seed=config.evaluate.seed,
        replicates=config.evaluate.replicates,
    )
    for note in trials.notes:
        click.echo(f"note: {note}", err=True)
    return trials


def _write(
    out: Path | None, name: str, trials: TrialSet, result: EvaluationResult, config: Config, facts: Mapping[str, str]
) -> tuple[Path, pd.DataFrame]:
    directory = open_run(out, "evaluate", Path(name).stem)
    rows = write_evaluation(directory, trials, {"model": result})
    write_text(directory / "config.yaml", config.to_yaml())
    write_provenance(
        directory, "evaluate", config, trials.dataset.sha, **facts, notes=list(trials.notes), finished=True
    )
    write_report(directory, title=f"{name} on {trials.dataset.name}", curves={}, commands=_command())
    return directory, rows


def _command() -> list[str]:
    import shlex
    import sys

    return [shlex.join(["lowshot", *sys.argv[1:]])]
