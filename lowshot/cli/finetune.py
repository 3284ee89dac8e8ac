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
    help="What is trained: all weights, the projection after each tower, that and each tower's last stage, or a probe "
    "first and then all weights.  [default: the setting adapt.strategy, full]",
)
@config_options
def command(as_json: bool, **request: Any) -> None:
    """Adapt a model with a few labelled identities: all weights of both towers, or a part of them.

    The setting adapt.objective says by what: contrast, classifier, margin-classifier, or semi-supervised, which goes
    on with CMPC over all training videos beside the labelled ones.

    Learning rate and stopping step are chosen on the validation identities, never on the test identities.
    """
    from lowshot.workflows.adapt import finetune

    say_adapted(as_json, finetune(**request, report=terminal()))
