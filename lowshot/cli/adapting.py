"""What `lowshot finetune` and `lowshot probe` share."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from lowshot.adapt.early_stopping import Selected
from lowshot.adapt.listed_subset import read_subset
from lowshot.adapt.names import Adaptation, adaptation_name
from lowshot.adapt.run import adapt_to
from lowshot.adapt.subsets import Subset, draw_subset
from lowshot.cli.listing import listing
from lowshot.cli.options import open_dataset, resolve_config, say_outcome
from lowshot.config import Config
from lowshot.data.dataset import Dataset
from lowshot.data.readers.base import Reader
from lowshot.data.readers.choice import open_reader
from lowshot.models.loaded import LoadedModel, load_model, model_from_scratch
from lowshot.runs import WITHIN, check_out
from lowshot.schema import MODEL, RESULTS


def run_adaptation(
    adaptation: Adaptation,
    labels: float,
    subset: Path | None,
    source: str | None,
    subset_seed: int,
    preset: str | None,
    config_file: Path | None,
    sets: tuple[str, ...],
    data: str | None,
    seed: int | None,
    out: Path | None,
    as_json: bool,
    strategy: str | None = None,
) -> None:
    """Resolve the request, adapt, and say where the outcome lies and what it was chosen by."""
    check_labels(subset)
    flags = {"data": data, "seed": seed, "adapt": {"strategy": strategy} if strategy else None}
    run, chosen = adapt_as_asked(adaptation, labels, subset, source, subset_seed, preset, config_file, sets, flags, out)
    click.echo(str(chosen), err=True)
    say_outcome(as_json, run, weights=str(run / MODEL), selected=asdict(chosen))


def adapt_as_asked(
    adaptation: Adaptation,
    labels: float,
    subset: Path | None,
    source: str | None,
    subset_seed: int,
    preset: str | None,
    config_file: Path | None,
    sets: tuple[str, ...],
    flags: Mapping[str, Any],
    out: Path | None,
) -> tuple[Path, Selected]:
    """Resolve the request and adapt.

    Args:
        adaptation, labels, subset, source, subset_seed, out: as of `lowshot finetune`.
        preset, config_file, sets, flags: as `resolve_config` takes them.

    Returns:
        The run directory and how the weights were chosen.
    """
    check_out(out, adaptation)
    start, config, reader = resolve_start(source, preset, config_file, sets, flags)
    asked = labelled_subset(reader.dataset, labels, subset, subset_seed)
    name = adaptation_name(adaptation, config.adapt)
    click.echo(f"{name} of {start.name} with {asked} labelled ...", err=True)
    return adapt_to(start, adaptation, asked, reader, config, out)


def run_within(
    modalities: tuple[str, ...],
    targets: tuple[str, ...],
    labels: float,
    subset: Path | None,
    source: str | None,
    subset_seed: int,
    preset: str | None,
    config_file: Path | None,
    sets: tuple[str, ...],
    data: str | None,
    seed: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Resolve the request, probe within modalities, and print the figures and where they lie."""
    # Brings scikit-learn along, which nothing else here needs.
    from lowshot.evaluation.linear_probe.run import probe_within

    check_labels(subset)
    check_out(out, WITHIN)
    start, config, reader = resolve_start(source, preset, config_file, sets, {"data": data, "seed": seed})
    asked = labelled_subset(reader.dataset, labels, subset, subset_seed)
    click.echo(f"probe {' and '.join(modalities)} of {start.name} with {asked} labelled ...", err=True)

    def warning(line: str) -> None:
        click.echo(f"warning: {line}", err=True)

    run, rows = probe_within(start, modalities, targets, asked, reader, config, out, warning)
    if as_json:
        click.echo(rows.to_json(orient="records"))
        return
    click.echo(listing(rows))
    click.echo(f"\nresults: {run / RESULTS}")


def resolve_start(
    source: str | None,
    preset: str | None,
    config_file: Path | None,
    sets: tuple[str, ...],
    flags: Mapping[str, Any],
) -> tuple[LoadedModel, Config, Reader]:
    """The model that labels are to be added to, the settings for it, and what reads its data.

    Args:
        source: `--from`.
        preset, config_file, sets, flags: as `resolve_config` takes them.

    Raises:
        RequestError: see `load_model` and `resolve_config`; or the model takes something else than the data.
    """
    if source == "scratch":
        config = resolve_config(preset, config_file, sets, flags)
        reader = open_reader(open_dataset(config.data), config.model, config.voice, config.face)
        start = model_from_scratch(config, reader.statistics)
    else:
        start = load_model(source, kinds=("pretrain",))
        # A run's own settings come first: its data, its crops, its seed.
        config = resolve_config(preset, config_file, sets, flags, base=start.config)
        # The input and the towers are those that the weights were made for.
        model = start.towers
        config = config.model_copy(
            update={"voice": model.voice_config, "face": model.face_config, "model": model.model_config}
        )
        reader = start.open_reader(open_dataset(config.data))
    return start, config, reader


def check_labels(listed: Path | None) -> None:
    """Refuse a share to label beside a list of what is labelled.

    Raises:
        UsageError: both were given.
    """
    context = click.get_current_context()
    for name in ("labels", "subset_seed"):
        if listed is not None and context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--subset says what is labelled; leave --{name.replace('_', '-')} out")


def labelled_subset(dataset: Dataset, labels: float, listed: Path | None, subset_seed: int) -> Subset:
    """What is labelled: the share of `--labels`, or what the list of `--subset` names.

    Raises:
        RequestError: see `draw_subset` and `read_subset`.
    """
    if listed is None:
        return draw_subset(dataset.manifest, labels, subset_seed)
    subset, warning = read_subset(listed, dataset)
    if warning:
        click.echo(f"warning: {warning}", err=True)
    return subset
