"""Score a model, embeddings or score tables by the protocols."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from lowshot.config import Config
from lowshot.errors import RequestError
from lowshot.progress import Report, message, quiet, warning
from lowshot.reporting.page import write_report
from lowshot.runs import called_with, check_out, command_line, open_run, safe_name, start_run, write_provenance
from lowshot.schema import TRAINED
from lowshot.workflows.datasets import open_dataset
from lowshot.workflows.settings import Sections, Settings, resolve_config

if TYPE_CHECKING:
    import pandas as pd

    from lowshot.data.dataset import Dataset
    from lowshot.evaluation.scorers import EmbeddingScorer
    from lowshot.evaluation.trial_set import TrialSet
    from lowshot.models.loaded import LoadedModel


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The outcome of an evaluation.

    Attributes:
        directory: with results.csv, scores, plots and report.html.
        results: the rows of results.csv, fractions in [0, 1]. They include chance and, on embedded data, the upper
            bound.
    """

    directory: Path
    results: "pd.DataFrame"


def evaluate(
    model: str | Path | None = None,
    *,
    embeddings: str | Path | None = None,
    scores: Sequence[Path] = (),
    protocol: str | None = None,
    data: str | Path | None = None,
    split: str | None = None,
    trials: Sequence[Path] = (),
    meta: Path | None = None,
    skip_missing: bool = False,
    settings: Settings | None = None,
    out: Path | None = None,
    trust_paths: bool = False,
    report: Report = quiet,
    **sections: Unpack[Sections],
) -> Evaluation:
    """Measure a model, embeddings or score tables into a run directory.

    Args:
        model: a run directory, a weights file or `pretrained:NAME`; the newest model if None.
        embeddings: directory of embeddings, instead of a model.
        scores: score tables and folders of them, instead of a model and a dataset.
        protocol: `verification`, `matching`, `retrieval`, `enrolment`, one of your own, or `all`; all if None.
        data: the dataset; the one the model was trained on if None.
        split: `test` or `val`; `test` if None.
        trials: lists to score instead of trials built from the manifest.
        meta: VoxCeleb's table of people, for `trials`; the one beside the manifest if None.
        skip_missing: skip trials that name media the dataset lacks.
        settings, sections: see `resolve_config`.
        out: the directory; the next one in `runs/` if None.
        trust_paths: let the manifest name files outside its folder.
        report: takes progress events.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was written.
    """
    _check_together(
        {
            "protocol": protocol,
            "model": model,
            "embeddings": embeddings,
            "data": data,
            "split": split,
            "trials": trials,
            "meta": meta,
            "skip_missing": skip_missing,
            "trust_paths": trust_paths,
        },
        scores,
    )
    if scores:
        # No dataset is read and no network needed: torch is not imported.
        from lowshot.workflows.evaluate_scores import evaluate_scores

        source = scores[0] if scores[0].is_dir() else scores[0].parent
        config = resolve_config(settings=settings, named={**sections, "data": source})
        return Evaluation(*evaluate_scores(scores, config, out, report))
    from lowshot.evaluation.protocols.registry import ALL, chosen

    asked = _Asked(chosen(protocol or ALL), split or "test", tuple(trials), meta, skip_missing)
    if embeddings is not None:
        config = resolve_config(settings=settings, named={**sections, "data": embeddings})
        dataset = open_dataset(config.data, trust_paths=trust_paths, report=report)
        return _evaluate_embeddings(dataset, config, asked, out, report)
    layers = {"settings": settings, "named": {**sections, "data": data}}
    return _evaluate_model(model, layers, asked, out, trust_paths, report)


def _check_together(given: Mapping[str, object], scores: Sequence[Path]) -> None:
    """Refuse arguments that exclude each other."""
    named = [name for name, value in given.items() if value not in (None, (), [], False)]
    if scores and named:
        raise RequestError(f"`scores` needs nothing else; leave `{named[0]}` out")
    if given["embeddings"] is not None:
        if given["model"] is not None:
            raise RequestError("give `model` or `embeddings`, not both")
        data = given["data"]
        if data is not None and Path(str(data)).resolve() != Path(str(given["embeddings"])).resolve():
            raise RequestError("`embeddings` brings its own manifest; leave `data` out")
    if not given["trials"] and (given["meta"] or given["skip_missing"]):
        raise RequestError("`meta` and `skip_missing` belong to `trials`")
    if given["trials"] and (others := [name for name in ("protocol", "split") if name in named]):
        raise RequestError(f"`trials` says what is measured; leave `{others[0]}` out")


@dataclass(frozen=True)
class _Asked:
    """The trials to measure on.

    Args:
        protocols, split: of trials built from the manifest.
        lists: trial lists to score instead.
        meta: VoxCeleb's table of people, if given.
        skip_missing: skip trials of lists that name media the dataset lacks.
    """

    protocols: tuple[str, ...]
    split: str
    lists: tuple[Path, ...] = ()
    meta: Path | None = None
    skip_missing: bool = False

    @property
    def splits(self) -> tuple[str, ...] | None:
        """Splits of the rows that take part; None for all.

        Beside the test split, unheard clips without a split take part.
        """
        if self.lists:
            return None
        return ("test", "") if self.split == "test" else (self.split,)

    def record(self) -> dict[str, Any]:
        """Return the same for provenance.json; lists have their hashes."""
        if not self.lists:
            return {"split": self.split}
        hashes = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in self.lists}
        return {"trials": hashes, "skip_missing": self.skip_missing}

    def __str__(self) -> str:
        return f"{len(self.lists)} list{'s' * (len(self.lists) > 1)}" if self.lists else f"split {self.split}"


def _evaluate_model(
    source: str | Path | None,
    layers: Mapping[str, Any],
    asked: _Asked,
    out: Path | None,
    trust_paths: bool,
    report: Report,
) -> Evaluation:
    from lowshot.evaluation.run import check_trial_files, embed_trials
    from lowshot.models.device import default_device
    from lowshot.models.loaded import load_model

    check_out(out, "evaluate")
    loaded = load_model(source)
    config = resolve_config(**layers, base=loaded.config)
    dataset = open_dataset(config.data, splits=asked.splits, trust_paths=trust_paths, report=report)
    if not asked.lists:
        same_data = loaded.config is not None and loaded.config.data == config.data
        _refuse_seen(loaded, dataset, asked.split, same_data, report)
    reader = loaded.open_reader(dataset)
    trials = _trials(dataset, config, asked)
    check_trial_files(trials)
    model = loaded.towers.to(default_device())
    facts = {"init": loaded.name, **loaded.metadata}

    def embed() -> "EmbeddingScorer":
        return embed_trials(trials, model, reader, config.evaluate, report)

    # The newest model may be another one tomorrow, so the command on the page names it.
    named = {} if source else {"model": str(loaded.path)}
    return _evaluate(
        loaded.name, facts, embed, trials, config, out, {"model": loaded.name}, asked, report, loaded, named
    )


def _evaluate_embeddings(
    dataset: "Dataset", config: Config, asked: _Asked, out: Path | None, report: Report
) -> Evaluation:
    from lowshot.data.trained import refuse_trained
    from lowshot.evaluation.scorers import EmbeddingScorer

    check_out(out, "evaluate")
    if not dataset.has_features:
        raise RequestError(f"`embeddings` {dataset.root}: no features.safetensors there; make one with `lowshot embed`")
    if not asked.lists and (dataset.root / TRAINED).is_file():
        refuse_trained(dataset.root / TRAINED, dataset.name, dataset, asked.split, same_data=False)
    trials = _trials(dataset, config, asked)
    scorer = EmbeddingScorer(dataset.features["voice"], dataset.features["face"])
    # Vectors of `lowshot embed` name their model; others do not.
    known = dataset.feature_facts
    facts = known if "method" in known else {"method": "embeddings", "init": "external"}
    measured = {"embeddings": dataset.name}
    return _evaluate(dataset.name, facts, lambda: scorer, trials, config, out, measured, asked, report)


def _refuse_seen(loaded: "LoadedModel", dataset: "Dataset", split: str, same_data: bool, report: Report) -> None:
    """Refuse people that a model was trained on; warn if unknown."""
    from lowshot.data.trained import refuse_trained
    from lowshot.models.pretrained import PREFIX

    if loaded.trained is not None:
        refuse_trained(loaded.trained, loaded.name, dataset, split, same_data)
    elif not loaded.name.startswith(PREFIX) and loaded.metadata.get("data_sha", "") not in ("", dataset.sha):
        warning(
            report,
            f"{loaded.name}: cannot check whether it was trained on people of split '{split}': it was trained on other "
            f"data, and no {TRAINED} beside it lists them",
        )


def _trials(dataset: "Dataset", config: Config, asked: _Asked) -> "TrialSet":
    from lowshot.evaluation.trial_lists.list_set import read_trial_set
    from lowshot.evaluation.trial_lists.vox_names import find_meta
    from lowshot.evaluation.trial_set import build_trial_set

    seed, replicates = config.evaluate.seed, config.evaluate.replicates
    if not asked.lists:
        return build_trial_set(dataset, protocols=asked.protocols, split=asked.split, seed=seed, replicates=replicates)
    return read_trial_set(
        dataset,
        asked.lists,
        meta=find_meta(asked.meta, dataset),
        skip_missing=asked.skip_missing,
        on_disk=not dataset.has_features and not dataset.has_pack,
        seed=seed,
        replicates=replicates,
    )


def _evaluate(
    name: str,
    facts: Mapping[str, str],
    embed: "Callable[[], EmbeddingScorer]",
    trials: "TrialSet",
    config: Config,
    out: Path | None,
    measured: Mapping[str, str],
    asked: _Asked,
    report: Report,
    loaded: "LoadedModel | None" = None,
    named: Mapping[str, str] | None = None,
) -> Evaluation:
    """Measure one model into a run directory.

    Args:
        name: of the model's run, file or dataset.
        facts: metadata of the model.
        embed: returns its embeddings of the trials.
        trials: what it is measured on.
        config: written to config.yaml.
        out: the directory, if given.
        measured: names the model in provenance.json.
        asked: names the trials in provenance.json.
        report: takes progress events.
        loaded: the model; None for embeddings.
        named: values of open arguments, for the command on the page.
    """
    from lowshot.adapt.early_stopping import UNCHANGED
    from lowshot.evaluation.evaluate import score
    from lowshot.evaluation.gallery import write_gallery
    from lowshot.evaluation.run import labels_of, write_evaluation
    from lowshot.workflows.training_logs import keep_training_log, pretraining_curves

    # Not the stem: a run's name has a dot in its label fraction.
    key = safe_name(name.removesuffix(".safetensors"))
    directory = open_run(out, "evaluate", key)
    sha = trials.dataset.sha
    request = {**measured, **asked.record()}
    start_run(directory, "evaluate", config, sha, **request)
    warnings = list(trials.warnings)
    if facts.get("start_kept"):
        init = facts.get("init", "scratch")
        warnings.insert(0, f"{name}: {UNCHANGED} ({'fresh weights' if init == 'scratch' else init})")
    for line in warnings:
        warning(report, line)
    message(report, f"evaluate {name} on {trials.dataset.name}, {asked}")
    scorer = embed()
    rows = write_evaluation(directory, trials, {key: score(trials, scorer, labels_of(key, facts))})
    for line in write_gallery(directory, trials, scorer, config.evaluate, key):
        warning(report, line)
    write_provenance(directory, "evaluate", config, sha, **request, warnings=warnings, finished=True)
    if skipped := keep_training_log(loaded, directory):
        warning(report, skipped)
    # Lists with hidden labels give no figures.
    if len(rows):
        curves = pretraining_curves(directory, rows)
        commands = [command_line(called_with(), named or {})]
        write_report(directory, title=f"{key} on {trials.dataset.name}", curves=curves, commands=commands)
    return Evaluation(directory, rows)
