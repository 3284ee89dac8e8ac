"""`lowshot finetune`."""

from typing import Any, get_args

import click

from lowshot.cli.options import adaptation_options, config_options, say_adapted, terminal
from lowshot.settings import Strategy


@click.command("finetune")
@adaptation_options
@click.option(
    "--strategy",
    type=click.Choice(get_args(Strategy)),
    help="What to train: all weights, the projection after each tower, that and each tower's last stage, or a probe "
    "first and then all weights.  [default: the setting adapt.strategy, full]",
)
@config_options
def command(as_json: bool, **request: Any) -> None:
    """Adapt a model with a few labelled identities: all weights.

    The setting adapt.objective names the loss: contrast, classifier, margin-classifier or semi-supervised. The last
    adds CMPC over all training videos to the loss of the labelled ones.

    The validation identities choose the learning rate and the stopping step. The test identities choose nothing.
    """
    from lowshot.workflows.adapt import finetune

    say_adapted(as_json, finetune(**request, report=terminal()))
