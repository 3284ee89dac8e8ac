"""`lowshot pretrain`."""

from pathlib import Path

import click

from lowshot.cli.options import config_options, open_dataset, resolve_config


@click.command("pretrain")
@click.option("--method", help="cmpc or cid.  [default: cmpc]")
@config_options
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="RUN", help="Run directory.  [default: the next in runs/]"
)
@click.option(
    "--resume",
    default="auto",
    show_default=True,
    metavar="auto|never|PATH",
    help="Go on with an unfinished run of the same settings, start anew, or go on with the run at PATH.",
)
def command(
    method: str | None,
    preset: str | None,
    config_file: Path | None,
    sets: tuple[str, ...],
    data: str | None,
    seed: int | None,
    out: Path | None,
    resume: str,
) -> None:
    """Learn a voice-face representation without identity labels."""
    flags = {"data": data, "seed": seed, "method": {"name": method} if method else None}
    config = resolve_config(preset, config_file, sets, flags)
    dataset = open_dataset(config.data)

    from lowshot.data.reader import MediaReader
    from lowshot.training.loop import pretrain

    reader = MediaReader(dataset, config.voice, config.face)
    click.echo(str(pretrain(config, reader, out, resume)))
