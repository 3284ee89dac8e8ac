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
@set_option("Change one setting, such as evaluate.mirror=true.")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Directory to make.")
@json_option
def command(out: Path, as_json: bool, **request: Any) -> None:
    """Turn a dataset into embeddings.

    The command writes a directory with manifest.csv and features.safetensors. This is a dataset again: `lowshot
    evaluate --embeddings DIR` scores it. The embeddings need not fit into memory: each is written when it is made.
    """
    from lowshot.workflows.embed import embed

    embed(**request, out=out, report=terminal())
    say_outcome(as_json, out, "out", features=str(out / FEATURES), manifest=str(out / MANIFEST))
