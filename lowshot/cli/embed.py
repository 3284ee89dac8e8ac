"""`lowshot embed`."""

from pathlib import Path
from typing import Any

import click

from lowshot.cli.options import json_option, model_option, say_outcome, set_option, terminal, trust_option
from lowshot.schema import FEATURES, MANIFEST


@click.command("embed")
@model_option
@trust_option
@click.option("--data", help="The dataset to embed.  [default: the one of the model's run]")
@set_option("As in evaluate.mirror=true.")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Directory to make.")
@json_option
def command(out: Path, as_json: bool, **request: Any) -> None:
    """Turn a dataset into embeddings: a directory with manifest.csv and features.safetensors.

    What it writes is a dataset again: `lowshot evaluate --embeddings DIR` scores it. Embeddings are written as they are
    made, so there may be more of them than the memory holds.
    """
    from lowshot.workflows.embed import embed

    embed(**request, out=out, report=terminal())
    say_outcome(as_json, out, "out", features=str(out / FEATURES), manifest=str(out / MANIFEST))
