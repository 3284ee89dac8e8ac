"""Make, measure and compare the models of a plan."""

import time
from pathlib import Path

import pandas as pd

from lowshot.adapt.early_stopping import UNCHANGED, start_kept
from lowshot.adapt.run import labelled_videos, training_videos, validation_videos
from lowshot.adapt.subsets import labelled_count, labelled_identities, training_people
from lowshot.config import Config
from lowshot.data.dataset import Dataset
from lowshot.data.readers.choice import check_towers, open_reader
from lowshot.errors import RequestError
from lowshot.evaluation.evaluate import EvaluationResult
from lowshot.evaluation.protocols.registry import compared_figures
from lowshot.evaluation.results import read_results
from lowshot.evaluation.run import check_trial_files, write_evaluation
from lowshot.evaluation.trial_set import TrialSet, build_trial_set
from lowshot.experiments.cells import Cell, Plan
from lowshot.experiments.differences import difference_rows, differences_table, enough_replicates
from lowshot.experiments.efficiency import Budget, Point, efficiency_rows, efficiency_table, points
from lowshot.experiments.runner import Making
from lowshot.files import write_table
from lowshot.progress import Report, message
from lowshot.reporting import style
from lowshot.reporting.page import write_report
from lowshot.runs import (
    RUNS,
    command_line,
    is_finished,
    lock_run,
    new_run,
    open_run,
    read_config,
    read_provenance,
    start_run,
    unfinished_run,
    write_provenance,
)
from lowshot.schema import CONFIG, DIFFERENCES, EFFICIENCY, REPORT, RESULTS
from lowshot.training.choice import changed_settings
from lowshot.workflows.training_logs import pretraining_curves

TOO_SMALL = "synth:tiny is too small to learn from; its figures only show what a comparison looks like"


def run_comparison(
    plan: Plan, title: str, config: Config, dataset: Dataset, out: Path | None, jobs: int, report: Report
) -> tuple[Path, pd.DataFrame]:
    """Make the models of a plan, measure, compare and report.

    All models are measured on the same trials. After a stop, the same call continues. A finished model with the same
    settings, data and first weights is not trained again, nor measured again on the same trials. This also holds for
    another plan in a directory of the same settings and data.

    Args:
        plan: what is compared.
        title: heading of the page, without the data.
        config: settings that all methods share.
        dataset: opened from `config.data`.
        out: the directory. If None, the newest unfinished one of the same request in `runs/`; for `compare`, else the
            newest finished one; else the next one there.
        jobs: number of pretrainings in parallel on a CPU.
        report: takes progress events.

    Returns:
        The directory and the rows of its results.csv.

    Raises:
        RequestError: the data or the fractions do not allow it, `out` holds something else or a comparison of other
            settings or data, or another process is writing to it; nothing was trained then.
        RunError: a pretraining failed or was stopped.
    """
    started = time.monotonic()

    def say(line: str) -> None:
        message(report, f"[{time.monotonic() - started:5.0f} s] {line}")

    for arm in plan.arms:
        check_towers(dataset, arm.config.model)
    reader = open_reader(dataset, config.model, config.voice, config.face)
    _check_labels(plan, config, dataset)
    trials = build_trial_set(dataset, seed=config.evaluate.seed, replicates=config.evaluate.replicates)
    check_trial_files(trials)
    title = f"{title} on {dataset.name}"
    directory = _directory(plan, config, dataset, out)
    with lock_run(directory):
        before = read_provenance(directory)
        earlier = float(before.get("seconds", 0.0))

        def spent() -> float:
            return round(earlier + time.monotonic() - started, 1)

        # The settings say how labels were used, but a person looks for it here too.
        used = {}
        if _fine_tunes(plan):
            used = {"strategy": config.adapt.strategy, "objective": config.adapt.objective}
        told = {"title": title, **plan.request, **used}

        def record(**facts: object) -> None:
            write_provenance(
                directory,
                plan.kind,
                config,
                dataset.sha,
                **told,
                seconds=spent(),
                **facts,
            )

        making = Making(plan, reader, trials, config.evaluate, directory, say, report, lambda: record(finished=False))
        if _finished(plan, directory) and making.whole():
            say(f"{directory} already holds this comparison, finished; to repeat it, name another directory by `out`")
            return directory, read_results(directory / RESULTS)
        start_run(directory, plan.kind, config, dataset.sha, **told, seconds=spent())
        # The page of an earlier plan would not fit the new results.
        (directory / REPORT).unlink(missing_ok=True)
        say(f"run directory: {directory}")
        making.make(jobs)
        say("compare")
        rows = _write_tables(plan, config, trials, making, directory)
        small = [TOO_SMALL] if dataset.name == "synth:tiny" else []
        record(warnings=[*small, *_starts_kept(plan, directory), *trials.warnings], finished=True)
        write_report(
            directory, title=title, curves=pretraining_curves(directory, rows), commands=[_command(plan, directory)]
        )
    return directory, rows


def _command(plan: Plan, directory: Path) -> str:
    """Return the command that makes a comparison again."""
    return command_line(["lowshot", plan.kind], {"config": directory / CONFIG, **plan.request})


def _check_labels(plan: Plan, config: Config, dataset: Dataset) -> None:
    """Refuse fractions that the data cannot give, or a missing validation split."""
    if not plan.labelled:
        return
    people = len(training_people(dataset.manifest))
    for fraction in plan.labelled:
        try:
            labelled_count(people, fraction)
            if _fine_tunes(plan) and config.adapt.objective == "semi-supervised":
                training_videos(dataset, labelled_videos(dataset, labelled_identities(dataset.manifest, fraction, 0)))
        except RequestError as error:
            raise RequestError(str(error).replace("`labels", f"`{plan.labels_key}")) from error
    validation_videos(dataset)


def _fine_tunes(plan: Plan) -> bool:
    return any(name.startswith("finetune") for name in plan.adaptations)


def _directory(plan: Plan, config: Config, dataset: Dataset, out: Path | None) -> Path:
    """Find or make the directory of a comparison; see `run_comparison`."""
    if out is not None and read_provenance(out).get("kind") == plan.kind:
        if changed := _changed(out, plan, config, dataset):
            what = "demo" if plan.kind == "demo" else "comparison"
            raise RequestError(f"`out` {out}: holds another {what}, {changed[0]} differs; name another directory")
        return out

    def same(run: Path) -> bool:
        return _same_request(plan, run) and not _changed(run, plan, config, dataset)

    label = dataset.name.removeprefix("synth:")
    if out is not None:
        return open_run(out, plan.kind, label)
    finished = [run for run in RUNS.glob(f"[0-9]*-{plan.kind}-*") if _finished(plan, run) and same(run)]
    known = unfinished_run(plan.kind, same)
    if known is None and plan.kind == "compare":
        known = max(finished, default=None, key=lambda run: int(run.name.split("-", 1)[0]))
    return known or new_run(plan.kind, label)


def _same_request(plan: Plan, run: Path) -> bool:
    provenance = read_provenance(run)
    return provenance.get("kind") == plan.kind and all(provenance.get(key) == plan.request[key] for key in plan.request)


def _finished(plan: Plan, run: Path) -> bool:
    """Tell if a directory holds all results of a plan."""
    tables = (RESULTS, DIFFERENCES, *([EFFICIENCY] if _converts(plan) else []))
    return is_finished(run) and _same_request(plan, run) and all((run / name).is_file() for name in tables)


def _changed(run: Path, plan: Plan, config: Config, dataset: Dataset) -> list[str]:
    """Name the settings in which a directory differs from a request."""
    if read_provenance(run).get("data_sha") != dataset.sha:
        return ["data"]
    # A run that was killed before it wrote its settings holds nothing else either.
    made_with = read_config(run) if (run / CONFIG).is_file() else config
    # The hash identifies the data, so their path may differ; a comparison's labels belong to the plan.
    left_open = {"data", "labels"} if plan.kind == "compare" else {"data"}
    return changed_settings(made_with, config, Config.model_fields.keys() - left_open)


def _converts(plan: Plan) -> bool:
    """Tell if the reference has a curve over label fractions."""
    return plan.reference is not None and bool(plan.labelled) and len(plan.fractions) > 1


def _write_tables(plan: Plan, config: Config, trials: TrialSet, making: Making, directory: Path) -> pd.DataFrame:
    """Write results.csv, differences.csv and, for several fractions, label_efficiency.csv."""
    cells = plan.cells()
    # The scores are already on disk.
    figures = {cell.key: EvaluationResult(making.measured.rows(cell.key), {}, {}, ()) for cell in cells}
    rows = write_evaluation(directory, trials, figures)
    replicates, seed = config.evaluate.replicates, config.evaluate.seed
    differences: list[dict[str, object]] = []
    measured: dict[str, dict[Budget, dict[int, Point]]] = {arm.label: {} for arm in plan.arms}
    budgets = dict.fromkeys((cell.adaptation, cell.fraction) for cell in cells)
    enough = enough_replicates(replicates, len(plan.pairs) * len(budgets) * len(compared_figures()))
    for budget in budgets:
        results = {
            label: [making.measured.compared(cell.key) for cell in chosen]
            for label in measured
            if (chosen := _of_budget(cells, label, budget))
        }
        for first, second in plan.pairs:
            if first in results and second in results:
                found = difference_rows((first, second), *budget, results[first], results[second], enough, seed)
                # A verdict counts trainings; subsets of one training do not add to them.
                differences += [{**row, "seeds": len(plan.seeds)} for row in found]
        if _converts(plan):
            for label, runs in results.items():
                measured[label][budget] = points(runs, replicates, seed)
    write_table(directory / DIFFERENCES, differences_table(differences))
    efficiency = directory / EFFICIENCY
    if _converts(plan) and plan.reference is not None:
        write_table(efficiency, efficiency_table(efficiency_rows(measured, plan.reference)))
    else:
        efficiency.unlink(missing_ok=True)
    return rows


def _starts_kept(plan: Plan, directory: Path) -> list[str]:
    """Count by budget and method the adaptations that kept the pretrained model."""
    warnings = []
    cells = [cell for cell in plan.cells() if cell.adaptation != "none"]
    for budget in dict.fromkeys((cell.adaptation, cell.fraction) for cell in cells):
        told = []
        for arm in plan.arms:
            chosen = _of_budget(cells, arm.label, budget)
            same = sum(start_kept(read_provenance(directory / cell.run)["selected"]) for cell in chosen)
            if same:
                told.append(f"{style.name(arm.label)} ({same} of {len(chosen)})")
        if told:
            warnings.append(f"{style.labels(*budget)}: {UNCHANGED}: {', '.join(told)}")
    return warnings


def _of_budget(cells: list[Cell], method: str, budget: Budget) -> list[Cell]:
    return [cell for cell in cells if (cell.method, (cell.adaptation, cell.fraction)) == (method, budget)]


def over_subsets(results: pd.DataFrame) -> pd.DataFrame:
    """Average results over the labelled subsets of each training.

    The remaining spread is that of the training alone.

    Args:
        results: in the columns of results.csv.

    Returns:
        A row per figure, budget and training seed: value and ends of the interval are means over the subsets.
    """
    means = ["value", "ci_low", "ci_high"]
    ignored = [*means, "run_id", "init", "subset_seed", "n_ties", "config_sha"]
    same = [column for column in results.columns if column not in ignored]
    return (
        results.groupby(same, dropna=False, sort=False, as_index=False)[means].mean().assign(subset_seed=float("nan"))
    )
