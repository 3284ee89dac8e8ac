"""`lowshot models export`."""

import json
from pathlib import Path
from typing import Literal

import click


@click.command("export")
@click.argument("source", metavar="RUN|WEIGHTS|pretrained:NAME")
@click.option("--format", "kind", type=click.Choice(["torchscript", "onnx"]), default="torchscript", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Directory to make.")
@click.option("--json", "as_json", is_flag=True, help="Print where it lies and how equal it is, as JSON.")
def export(source: str, kind: Literal["torchscript", "onnx"], out: Path, as_json: bool) -> None:
    """Write a model's towers for programs without lowshot: TorchScript, or ONNX (pip install 'lowshot[onnx]').

    Each tower takes any number of samples, and voices of any length; model.json says what goes in. Its outputs are
    compared with the original's before anything is kept.
    """
    from lowshot.models.export import export_model
    from lowshot.models.loaded import load_model

    loaded = load_model(source)
    differences = export_model(
        loaded.towers, kind, out, name=loaded.name, weights_sha=loaded.sha, facts=loaded.metadata
    )
    if as_json:
        click.echo(json.dumps({"out": str(out), "format": kind, "largest_difference": differences}))
        return
    said = ", ".join(f"{modality} {value:.1g}" for modality, value in differences.items())
    click.echo(f"largest difference from the original's unit vectors: {said}", err=True)
    click.echo(str(out))
