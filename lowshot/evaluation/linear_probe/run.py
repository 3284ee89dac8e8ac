"""Fit probes of frozen embeddings, measure them, and write a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lowshot.adapt.run import label_facts, refuse_adapted, videos_of_subset
from lowshot.adapt.subsets import Subset
from lowshot.config import Config
from lowshot.data.readers.base import Reader
from lowshot.errors import RequestError
from lowshot.evaluation.linear_probe.figures import chance_figures, probe_figures, rows_of_figures
from lowshot.evaluation.linear_probe.probe import UNTRIED, FittedProbe, fit_probe, fits_of
from lowshot.evaluation.linear_probe.tasks import TARGETS, Clips, Task, clips_of, task_of
from lowshot.evaluation.protocols.registry import find_table
from lowshot.evaluation.results import results_frame, write_results, write_scores
from lowshot.evaluation.run import labels_of
from lowshot.metrics.verification import FloatArray
from lowshot.models.device import default_device
from lowshot.models.embedding import embed_rows
from lowshot.models.loaded import LoadedModel
from lowshot.progress import Report, counter, quiet, warning
from lowshot.runs import WITHIN, lock_run, open_run, safe_name, start_run, write_provenance
from lowshot.schema import CHANCE, RESULTS, SCORES

ADAPTATION = "within-probe"


def probe_within(
    pretrained: LoadedModel,
    modalities: Sequence[str],
    targets: Sequence[str],
    subset: Subset,
    reader: Reader,
    config: Config,
    out: Path | None = None,
    report: Report = quiet,
) -> tuple[Path, pd.DataFrame]:
    """Fit and measure probes of a model's embeddings.

    The run holds results.csv and the single answers.

    Args:
        pretrained: the model, pretrained without labels; its weights stay frozen.
        modalities: `voice`, `face` or both.
        targets: some of `TARGETS`; if empty, all that the data allow, with warnings about the others.
        subset: the labelled rows.
        reader: of the dataset.
        config: `config.evaluate` sets crops, mirror images and intervals.
        out: the run directory; the next one in `runs/` if None.
        report: takes progress and warnings.

    Returns:
        The run directory and the rows of its results.csv, including chance.

    Raises:
        RequestError: the request cannot be carried out as it is, and nothing was written; or another process is writing
            to this run.
    """
    refuse_adapted(pretrained)
    dataset = reader.dataset
    labelled = videos_of_subset(dataset, subset)
    bounds = find_table("verification").definition.age_bounds
    clips = {modality: clips_of(dataset, modality, labelled, bounds) for modality in modalities}
    seed = subset.seed or 0
    tasks, warnings = _tasks(clips, targets, seed)
    for modality, part in clips.items():
        dataset.check_files(modality, part.rows)
    for line in warnings:
        warning(report, line)
    name = "-".join(modalities)
    run = open_run(out, WITHIN, f"{pretrained.metadata['method']}-{name}-{subset.name}")
    with lock_run(run):
        facts = {
            "method": pretrained.metadata["method"],
            "init": pretrained.name,
            "adaptation": ADAPTATION,
            **label_facts(subset),
        }
        record: dict[str, Any] = {
            **facts,
            "start_sha": pretrained.sha,
            "modalities": list(modalities),
            "warnings": warnings,
        }
        start_run(run, WITHIN, config, dataset.sha, **record)
        key = safe_name(pretrained.name.removesuffix(".safetensors"))
        train_seed = pretrained.metadata.get("train_seed", str(config.seed))
        labels = labels_of(key, {**facts, "train_seed": train_seed, "config_sha": config.sha()})
        rows: list[dict[str, object]] = []
        chance: list[dict[str, object]] = []
        answers: dict[str, pd.DataFrame] = {}
        chosen: dict[str, dict[str, Any]] = {}
        vectors = {
            modality: _embedded(pretrained, modality, part, reader, config, report) for modality, part in clips.items()
        }
        fits = sum(fits_of(task.fit_classes, task.fit_groups) for _, task in tasks)
        advance = counter(report, "fit", fits, "fit", brief=True)
        for modality, task in tasks:
            probe = fit_probe(vectors[modality][task.fitted], task.fit_classes, task.fit_groups, seed, advance)
            figures, table = probe_figures(
                task, probe, vectors[modality], config.evaluate.replicates, config.evaluate.seed
            )
            rows += rows_of_figures(figures, task, modality, labels, dataset.sha)
            blind = chance_figures(task, len(probe.classes))
            chance += rows_of_figures(blind, task, modality, {"method": CHANCE}, dataset.sha)
            answers[f"probe-{task.target}-{modality}"] = table
            chosen[f"{task.target} {modality}"] = _choice(probe)
        write_scores(run / SCORES / key, answers)
        results = results_frame([*rows, *chance])
        write_results(run / RESULTS, results)
        write_provenance(
            run,
            WITHIN,
            config,
            dataset.sha,
            **record,
            labelled_identities=len(subset.identities),
            labelled_videos=len(labelled),
            chosen=chosen,
            finished=True,
        )
    return run, results


def _tasks(clips: dict[str, Clips], targets: Sequence[str], seed: int) -> tuple[list[tuple[str, Task]], list[str]]:
    """Return the tasks of each modality, and warnings."""
    tasks: list[tuple[str, Task]] = []
    warnings: list[str] = []
    refused: list[RequestError] = []
    for modality, part in clips.items():
        for target in targets or TARGETS:
            try:
                task = task_of(target, part, seed)
            except RequestError as error:
                if targets:
                    raise
                refused.append(error)
                continue
            tasks.append((modality, task))
            warnings += task.warnings
            if fits_of(task.fit_classes, task.fit_groups) == 1:
                warnings.append(f"{target}: too few labels for cross-validation; C is {UNTRIED:g}")
    if not tasks:
        raise refused[0]
    # Both modalities give the same warnings about people.
    return tasks, list(dict.fromkeys([*(f"skipped {error}" for error in refused), *warnings]))


def _embedded(
    pretrained: LoadedModel, modality: str, clips: Clips, reader: Reader, config: Config, report: Report
) -> FloatArray:
    """Embed the videos, each medium once: [n, d]."""
    model = pretrained.towers.to(default_device())
    advance = counter(report, "embed", len(clips.rows), "file", brief=True)
    return clips.vectors(embed_rows(model, reader, modality, clips.rows, config.evaluate, advance))


def _choice(probe: FittedProbe) -> dict[str, Any]:
    """Record how a probe was chosen, for provenance.json."""
    tried = {"folds": probe.folds, "log_loss": probe.log_loss} if probe.folds else {"folds": 0}
    return {"C": probe.regularisation, **tried, "classes": len(probe.classes), "converged": probe.converged}
