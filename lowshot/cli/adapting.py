"""What `lowshot finetune` and `lowshot probe` share."""

from pathlib import Path

import click

from lowshot.adapt.names import Adaptation, adaptation_name
from lowshot.adapt.run import adapt, labelled_share
from lowshot.adapt.start import find_start, fresh_start
from lowshot.cli.options import open_dataset, resolve_config
from lowshot.data.reader import MediaReader


def run_adaptation(
    adaptation: Adaptation,
    labels: float,
    source: str | None,
    subset_seed: int,
    preset: str | None,
    config_file: Path | None,
    sets: tuple[str, ...],
    data: str | None,
    seed: int | None,
    out: Path | None,
    strategy: str | None = None,
) -> None:
    """Resolve the request, adapt, and say where the outcome lies and what it was chosen by."""
    flags = {"data": data, "seed": seed, "adapt": {"strategy": strategy} if strategy else None}
    if source == "scratch":
        config = resolve_config(preset, config_file, sets, flags)
        start = fresh_start(config)
    else:
        start = find_start(source, ("pretrain",))
        # A run's own settings come first: its data, its crops, its seed.
        config = resolve_config(preset, config_file, sets, flags, base=start.config)
        # The input and the towers are those that the weights were made for.
        model = start.model
        config = config.model_copy(
            update={"voice": model.voice_config, "face": model.face_config, "model": model.model_config}
        )
    dataset = open_dataset(config.data)
    reader = MediaReader(dataset, config.voice, config.face)
    name = adaptation_name(adaptation, config.adapt)
    click.echo(f"{name} of {start.name} with {labelled_share(dataset, labels)} labelled ...", err=True)
    run, chosen = adapt(start, adaptation, labels, subset_seed, reader, config, out)
    click.echo(str(chosen), err=True)
    click.echo(str(run))
