"""What `lowshot evaluate` does once torch is wanted."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pandas as pd

from lowshot.adapt.early_stopping import UNCHANGED
from lowshot.cli.options import open_dataset, resolve_config
from lowshot.config import Config
from lowshot.data.dataset import Dataset
from lowshot.data.trained import refuse_trained
from lowshot.errors import RequestError
from lowshot.evaluation.evaluate import score
from lowshot.evaluation.gallery import write_gallery
from lowshot.evaluation.run import check_trial_files, embed_trials, labels_of, write_evaluation
from lowshot.evaluation.scorers import EmbeddingScorer
from lowshot.evaluation.trial_lists.list_set import read_trial_set
from lowshot.evaluation.trial_lists.vox_names import find_meta
from lowshot.evaluation.trial_set import TrialSet, build_trial_set
from lowshot.experiments.curves import keep_training_log, pretraining_curves
from lowshot.models.device import default_device
from lowshot.models.loaded import LoadedModel, load_model
from lowshot.models.pretrained import PREFIX
from lowshot.reporting.page import write_report
from lowshot.runs import called_with, check_out, open_run, safe_name, start_run, write_provenance
from lowshot.schema import TRAINED


@dataclass(frozen=True)
class Asked:
    """What is to be measured.

    Args:
        protocols, split: of trials built from the manifest.
        lists: trial lists to score instead.
        meta: `--meta`, if given.
        skip_missing: leave out trials of lists that name media the dataset lacks.
    """

    protocols: tuple[str, ...]
    split: str
    lists: tuple[Path, ...] = ()
    meta: Path | None = None
    skip_missing: bool = False

    @property
    def splits(self) -> tuple[str, ...] | None:
        """Which rows take part: those of the split, and beside the test split unheard clips; None: any."""
        if self.lists:
            return None
        return ("test", "") if self.split == "test" else (self.split,)

    def record(self) -> dict[str, Any]:
        """The same for provenance.json; lists with their hashes, for names say little."""
        if not self.lists:
            return {"split": self.split}
        hashes = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in self.lists}
        return {"trials": hashes, "skip_missing": self.skip_missing}

    def __str__(self) -> str:
        return f"{len(self.lists)} list{'s' * (len(self.lists) > 1)}" if self.lists else f"split {self.split}"


def evaluate_model(
    source: str | None, data: str | None, sets: tuple[str, ...], asked: Asked, out: Path | None
) -> tuple[Path, pd.DataFrame]:
    """Evaluate a run or a weights file; see `lowshot evaluate`."""
    check_out(out, "evaluate")
    start = load_model(source)
    config = resolve_config(None, None, sets, {"data": data}, base=start.config)
    dataset = open_dataset(config.data, asked.splits)
    if not asked.lists:
        same_data = start.config is not None and start.config.data == config.data
        _refuse_seen(start, dataset, asked.split, same_data)
    reader = start.open_reader(dataset)
    trials = _trials(dataset, config, asked)
    check_trial_files(trials)
    model = start.towers.to(default_device())
    facts = {"init": start.name, **start.metadata}

    def embed() -> EmbeddingScorer:
        return embed_trials(trials, model, reader, config.evaluate)

    # The newest model is another one tomorrow.
    named = [] if source else ["--model", str(start.path)]
    return _evaluate(start.name, facts, embed, trials, config, out, {"model": start.name}, asked, start, named)


def evaluate_embeddings(dataset: Dataset, config: Config, asked: Asked, out: Path | None) -> tuple[Path, pd.DataFrame]:
    """Evaluate anyone's embeddings; see `lowshot evaluate --embeddings`."""
    check_out(out, "evaluate")
    if not dataset.has_features:
        raise RequestError(f"--embeddings {dataset.root}: no features.safetensors there; make one with `lowshot embed`")
    if not asked.lists and (dataset.root / TRAINED).is_file():
        refuse_trained(dataset.root / TRAINED, dataset.name, dataset, asked.split, same_data=False)
    trials = _trials(dataset, config, asked)
    scorer = EmbeddingScorer(dataset.features["voice"], dataset.features["face"])
    # Vectors of `lowshot embed` say which model made them; nothing is known of others.
    known = dataset.feature_facts
    facts = known if "method" in known else {"method": "embeddings", "init": "external"}
    return _evaluate(dataset.name, facts, lambda: scorer, trials, config, out, {"embeddings": dataset.name}, asked)


def _refuse_seen(start: LoadedModel, dataset: Dataset, split: str, same_data: bool) -> None:
    """Refuse people that a model learned from; say so where nobody can tell."""
    if start.trained is not None:
        refuse_trained(start.trained, start.name, dataset, split, same_data)
    elif not start.name.startswith(PREFIX) and start.metadata.get("data_sha", "") not in ("", dataset.sha):
        click.echo(
            f"warning: {start.name} learned from other data, and no {TRAINED} beside it lists them: that it has never "
            f"seen the people of split '{split}' is taken on trust",
            err=True,
        )


def _trials(dataset: Dataset, config: Config, asked: Asked) -> TrialSet:
    seed, replicates = config.evaluate.seed, config.evaluate.replicates
    if asked.lists:
        trials = read_trial_set(
            dataset,
            asked.lists,
            meta=find_meta(asked.meta, dataset),
            skip_missing=asked.skip_missing,
            on_disk=not dataset.has_features and not dataset.has_pack,
            seed=seed,
            replicates=replicates,
        )
    else:
        trials = build_trial_set(
            dataset, protocols=asked.protocols, split=asked.split, seed=seed, replicates=replicates
        )
    return trials


def _evaluate(
    name: str,
    facts: Mapping[str, str],
    embed: Callable[[], EmbeddingScorer],
    trials: TrialSet,
    config: Config,
    out: Path | None,
    measured: Mapping[str, str],
    asked: Asked,
    start: LoadedModel | None = None,
    named: Sequence[str] = (),
) -> tuple[Path, pd.DataFrame]:
    """Measure one model into a run directory.

    Args:
        name: of the model's run, file or dataset.
        facts: what is known of the model.
        embed: gives its embeddings of the trials.
        trials: what it is measured on.
        config: written to config.yaml.
        out: `--out`, if given.
        measured: which model, and
        asked: on what; both go into provenance.json.
        start: the model, where it is one, and
        named: options that say what the command line left open, for whoever wants the same again.
    """
    # Not the stem of the name: in a run's name, what follows a dot is a labelled fraction.
    key = safe_name(name.removesuffix(".safetensors"))
    directory = open_run(out, "evaluate", key)
    sha = trials.dataset.sha
    request = {**measured, **asked.record()}
    start_run(directory, "evaluate", config, sha, **request)
    warnings = list(trials.warnings)
    if facts.get("start_kept"):
        init = facts.get("init", "scratch")
        warnings.insert(0, f"{name}: {UNCHANGED}, {'fresh weights' if init == 'scratch' else init}")
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"evaluate {name} on {trials.dataset.name}, {asked}", err=True)
    scorer = embed()
    rows = write_evaluation(directory, trials, {key: score(trials, scorer, labels_of(key, facts))})
    for warning in write_gallery(directory, trials, scorer, config.evaluate, key):
        click.echo(f"warning: {warning}", err=True)
    write_provenance(directory, "evaluate", config, sha, **request, warnings=warnings, finished=True)
    if skipped := keep_training_log(start, directory):
        click.echo(f"warning: {skipped}", err=True)
    # Of lists whose labels are hidden there is nothing to report.
    if len(rows):
        curves = pretraining_curves(directory, rows)
        write_report(directory, title=f"{key} on {trials.dataset.name}", curves=curves, commands=_command(named))
    return directory, rows


def _command(named: Sequence[str]) -> list[str]:
    import shlex

    return [shlex.join([*called_with(), *named])]
