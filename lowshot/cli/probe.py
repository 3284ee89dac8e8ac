"""`lowshot probe`."""

from typing import Any

import click

from lowshot.cli.options import adaptation_options, config_options


@click.command("probe")
@adaptation_options
@config_options
def command(**request: Any) -> None:
    """Adapt a model with a few labelled identities: one linear map after each frozen tower.

    Learning rate and stopping step are chosen on the validation identities, never on the test identities.
    """
    from lowshot.cli.adapting import run_adaptation

    run_adaptation("probe", **request)
