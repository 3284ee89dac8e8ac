"""`lowshot pretrain`."""

from pathlib import Path
from typing import Any

import click

from lowshot.cli.options import config_options, json_option, say_outcome, terminal
from lowshot.runs import read_config
from lowshot.schema import MODEL
from lowshot.settings import METHODS


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
    help="Continue an unfinished run with the same settings, start a new run, or continue the run at PATH.",
)
@json_option
def command(as_json: bool, **request: Any) -> None:
    """Learn a voice-face representation without identity labels.

    Several processes share one run if torchrun starts them:

    \b
      torchrun --nproc-per-node 2 -m lowshot pretrain
    """
    from lowshot.training.distributed import FailedElsewhere, processes
    from lowshot.workflows.pretrain import pretrain

    try:
        with processes() as world:
            run = pretrain(**request, report=terminal(), world=world)
    except FailedElsewhere:
        # The failed process prints why. If this one failed too, torchrun might stop that process before it prints.
        return
    if world.leads:
        say_outcome(as_json, run, weights=str(run / MODEL), method=read_config(run).method.name)
