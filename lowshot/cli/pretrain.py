"""`lowshot pretrain`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lowshot.cli.options import config_options, json_option, open_dataset, resolve_config, say_outcome
from lowshot.schema import MODEL
from lowshot.settings import METHODS

if TYPE_CHECKING:
    from lowshot.config import Config
    from lowshot.training.distributed import World


@click.command("pretrain")
@click.option("--method", help=f"{', '.join(METHODS)}.  [default: cmpc]")
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
@json_option
def command(
    method: str | None,
    preset: str | None,
    config_file: Path | None,
    sets: tuple[str, ...],
    data: str | None,
    seed: int | None,
    out: Path | None,
    resume: str,
    as_json: bool,
) -> None:
    """Learn a voice-face representation without identity labels.

    Several processes share the work of one run when torchrun starts them:

    \b
      torchrun --nproc-per-node 2 -m lowshot pretrain
    """
    flags = {"data": data, "seed": seed, "method": {"name": method} if method else None}
    config = resolve_config(preset, config_file, sets, flags)

    from lowshot.training.distributed import FailedElsewhere, processes

    try:
        with processes() as world:
            run = run_pretraining(config, out, resume, world)
    except FailedElsewhere:
        # The process that failed says why, and its exit code counts. Were this one to fail too, torchrun might stop
        # that process before it has spoken.
        return
    if world.leads:
        say_outcome(as_json, run, weights=str(run / MODEL), method=config.method.name)


def run_pretraining(config: "Config", out: Path | None, resume: str, world: "World") -> Path:
    """Open the data and train, as one of the processes of `world`; gives the run directory."""
    from lowshot.data.readers.choice import open_reader
    from lowshot.training.loop import pretrain

    # The first process before the others: an embedded world is rendered once.
    for turn in (world.leads, not world.leads):
        with world.together():
            if turn:
                reader = open_reader(open_dataset(config.data), config.model, config.voice, config.face)
    return pretrain(config, reader, out, resume, world=world)
