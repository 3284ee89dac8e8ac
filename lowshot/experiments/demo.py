"""The whole job: CMPC against instance-wise contrast and from-scratch, without labels and with few."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lowshot.adapt.run import Adaptation, adapt, validation_videos
from lowshot.adapt.start import Start, find_start, fresh_start
from lowshot.adapt.subsets import labelled_count, training_people
from lowshot.config import Config
from lowshot.data.dataset import Dataset
from lowshot.data.reader import MediaReader
from lowshot.evaluation.evaluate import EvaluationResult
from lowshot.evaluation.run import check_trial_files, labels_of, score_model, write_evaluation
from lowshot.evaluation.trial_set import build_trial_set
from lowshot.experiments.differences import difference_row, differences_table
from lowshot.files import atomic_path, write_text
from lowshot.reporting.page import write_report
from lowshot.runs import MODEL, open_run, read_config, read_provenance, write_provenance
from lowshot.training.loop import CHECKPOINT, changed_settings, pretrain

METHODS = ("cmpc", "cid")
ADAPTATIONS: tuple[Adaptation, ...] = ("probe", "finetune")


@dataclass(frozen=True)
class Cell:
    """One model of the comparison.

    Attributes:
        method: what it was pretrained with, or `scratch`.
        adaptation: `none`, `probe` or `finetune`.
        fraction: labelled share; 0 without labels.
        seed: of the training; the labelled subset has the same seed.
    """

    method: str
    adaptation: str
    fraction: float
    seed: int

    @property
    def key(self) -> str:
        """Name of the model's folder of scores."""
        adapted = "" if self.adaptation == "none" else f"-{self.adaptation}-{self.fraction:g}"
        return f"{self.method}{adapted}-seed{self.seed}"


def run_demo(
    config: Config, dataset: Dataset, seeds: int, out: Path | None, say: Callable[[str], None]
) -> tuple[Path, pd.DataFrame]:
    """Pretrain, adapt, evaluate and report.

    Stopped, it goes on where it was when called again with the same `out`: finished models are not made again.

    Args:
        config: settings; `config.labels` are the fractions.
        dataset: opened from `config.data`.
        seeds: how many training seeds, from `config.seed` on.
        out: the directory; the next one in `runs/` when not given.
        say: called with a line about each stage.

    Returns:
        The directory and the rows of its results.csv.

    Raises:
        RequestError: the data or the fractions do not allow it; nothing was trained then.
    """
    people = len(training_people(dataset.manifest))
    for fraction in config.labels:
        labelled_count(people, fraction)
    validation_videos(dataset)
    trials = build_trial_set(dataset, seed=config.evaluate.seed, replicates=config.evaluate.replicates)
    check_trial_files(trials)
    reader = MediaReader(dataset, config.voice, config.face)
    directory = open_run(out, "demo", config.data.rsplit(":", 1)[-1].rsplit("/", 1)[-1])
    write_text(directory / "config.yaml", config.to_yaml())
    title = f"CMPC against instance-wise contrast on {dataset.name}"
    write_provenance(directory, "demo", config, dataset.sha, title=title, seeds=seeds, finished=False)
    say(f"run directory: {directory}")
    results: dict[Cell, EvaluationResult] = {}
    for seed in range(config.seed, config.seed + seeds):
        seeded = config.model_copy(update={"seed": seed})
        for cell, start in _models(seeded, reader, directory, say):
            labels = labels_of(cell.key, {**start.facts, "init": start.facts.get("init", start.name)})
            results[cell] = score_model(trials, start.model, reader, labels)
    rows = write_evaluation(directory, trials, {cell.key: result for cell, result in results.items()})
    _write_differences(directory, results, config)
    write_provenance(
        directory, "demo", config, dataset.sha, title=title, seeds=seeds, finished=True, notes=list(trials.notes)
    )
    curves = {path.parent.name: path for path in sorted(directory.glob("pretrain-*/metrics.csv"))}
    write_report(
        directory,
        title=title,
        curves=curves,
        commands=[f"lowshot demo --config config.yaml --seeds {seeds}"],
    )
    return directory, rows


def _models(
    config: Config, reader: MediaReader, directory: Path, say: Callable[[str], None]
) -> list[tuple[Cell, Start]]:
    """All models of one training seed, made or taken from an earlier, stopped call."""
    made: list[tuple[Cell, Start]] = []
    starts: dict[str, Start] = {}
    for method in METHODS:
        say(f"pretrain {method}, seed {config.seed}")
        run = _pretrained(config.with_method(method), reader, directory / f"pretrain-{method}-seed{config.seed}")
        starts[method] = find_start(str(run), ())
        made.append((Cell(method, "none", 0.0, config.seed), starts[method]))
    starts["scratch"] = fresh_start(config)
    for fraction in config.labels:
        for method, start in starts.items():
            for adaptation in ADAPTATIONS:
                cell = Cell(method, adaptation, fraction, config.seed)
                run = _adapted(cell, start, reader, config, directory / f"{adaptation}-{cell.key}", say)
                made.append((cell, find_start(str(run), ())))
    return made


def _pretrained(config: Config, reader: MediaReader, run: Path) -> Path:
    if _finished(run, config, reader.dataset):
        return run
    if (run / CHECKPOINT).is_file():
        return pretrain(config, reader, run, resume=str(run))
    return pretrain(config, reader, run, resume="never")


def _adapted(
    cell: Cell, start: Start, reader: MediaReader, config: Config, run: Path, say: Callable[[str], None]
) -> Path:
    if _finished(run, config, reader.dataset):
        return run
    adaptation: Adaptation = "probe" if cell.adaptation == "probe" else "finetune"
    run, chosen = adapt(start, adaptation, cell.fraction, cell.seed, reader, config, run)
    say(
        f"{cell.adaptation} {cell.method} with {cell.fraction:.0%} labelled, seed {cell.seed}: "
        f"validation AUC {chosen.start_auc:.3f} -> {chosen.val_auc:.3f}"
    )
    return run


def _finished(run: Path, config: Config, dataset: Dataset) -> bool:
    """Whether a run was made whole, with these very settings and data."""
    if not (run / MODEL).is_file() or read_provenance(run).get("data_sha") != dataset.sha:
        return False
    made_with = read_config(run)
    return not changed_settings(made_with, config) and made_with.adapt == config.adapt


def _write_differences(directory: Path, results: dict[Cell, EvaluationResult], config: Config) -> None:
    """differences.csv: CMPC against each other method, at every budget both were measured at."""
    rows = []
    budgets = dict.fromkeys((cell.adaptation, cell.fraction) for cell in results)
    for adaptation, fraction in budgets:
        by_method: dict[str, list[EvaluationResult]] = {}
        for cell, result in results.items():
            if (cell.adaptation, cell.fraction) == (adaptation, fraction):
                by_method.setdefault(cell.method, []).append(result)
        ours = by_method.pop("cmpc")
        for rival, theirs in by_method.items():
            rows.append(
                difference_row(
                    ("cmpc", rival),
                    adaptation,
                    fraction,
                    ours,
                    theirs,
                    config.evaluate.replicates,
                    config.evaluate.seed,
                )
            )
    with atomic_path(directory / "differences.csv") as temporary:
        differences_table(rows).to_csv(temporary, index=False, lineterminator="\n")
