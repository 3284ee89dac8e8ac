"""`lowshot models`."""

import json
from pathlib import Path
from typing import Any

import click

from lowshot.cli.options import json_option, say_outcome, set_option, terminal, trust_option

_MODEL = "RUN|WEIGHTS|pretrained:NAME"


@click.group("models")
def command() -> None:
    """List and show models; convert, calibrate and export them."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the whole registry as JSON.")
def list_models(as_json: bool) -> None:
    """List the bundled models.

    --model and --from take them as pretrained:NAME.
    """
    from lowshot.models.pretrained import PREFIX, pretrained_folder, read_registry

    known = read_registry()
    if as_json:
        found = {PREFIX + name: {**entry.model_dump(), "path": str(entry.path)} for name, entry in known.items()}
        click.echo(json.dumps(found))
        return
    width = max(len(PREFIX + name) for name in known)
    for name, entry in known.items():
        auc = next(figure for figure in entry.figures if figure.metric == "auc")
        click.echo(
            f"{PREFIX + name:{width}}  {entry.architecture}; trained on {entry.data.name}; "
            f"AUC {auc.value:.3f} [{auc.ci_low:.3f}, {auc.ci_high:.3f}] on its test split; {entry.licence}"
        )
    click.echo(f"\ncards: {pretrained_folder()}")


@command.command("show")
@click.argument("model", metavar=_MODEL)
@click.option("--json", "as_json", is_flag=True, help="Print the description as JSON.")
def show(model: str, as_json: bool) -> None:
    """Describe a model: its towers, inputs, size and hash."""
    from lowshot.workflows.models import describe_model

    found = describe_model(model)
    if as_json:
        click.echo(json.dumps(found))
        return
    facts: Any = found.pop("facts")
    for key, value in {**found, **{f"facts.{key}": value for key, value in facts.items()}}.items():
        click.echo(f"{key:18}{f'{value:,}' if key.endswith('parameters') else value}")


@command.command("convert")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Directory to make.  [default: the next in runs/]"
)
@json_option
def convert(file: Path, out: Path | None, as_json: bool) -> None:
    """Convert a checkpoint of the CMPC authors into a lowshot model.

    `evaluate` and `embed` take the result as --model, `finetune` and `probe` as --from. Nothing in FILE is executed.
    """
    from lowshot.workflows.models import convert_model

    say_outcome(as_json, convert_model(file, out=out, report=terminal()))


@command.command("calibrate")
@click.argument("model", metavar=_MODEL)
@click.option("--data", help="Dataset with a validation split.  [default: the one of the model's run]")
@trust_option
@set_option("Change one setting, such as evaluate.mirror=true.")
@click.option("--json", "as_json", is_flag=True, help="Print the map as JSON.")
def calibrate(model: str, as_json: bool, **request: Any) -> None:
    """Fit the map from a model's cosines to probabilities.

    The people of the validation split decide it. A run directory keeps it as calibration.json, which `lowshot match`
    reads.
    """
    from lowshot.workflows.models import calibrate_model

    found = calibrate_model(model, **request, report=terminal())
    fitted = found.calibration
    if as_json:
        click.echo(json.dumps({**fitted.model_dump(), "file": str(found.file) if found.file else None}))
        return
    click.echo(
        f"log odds = {fitted.scale:.4f} x cosine {fitted.offset:+.4f}, from {fitted.trials:,} trials of "
        f"{fitted.identities} people of {fitted.data}"
    )
    if found.file:
        click.echo(str(found.file))


@command.command("export")
@click.argument("model", metavar=_MODEL)
@click.option("--format", "fmt", type=click.Choice(["torchscript", "onnx"]), default="torchscript", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Directory to make.")
@click.option("--json", "as_json", is_flag=True, help="Print the directory and the largest differences as JSON.")
def export(model: str, fmt: Any, out: Path, as_json: bool) -> None:
    """Write a model's towers as TorchScript or ONNX.

    Programs without lowshot can run them. ONNX needs `pip install 'lowshot[onnx]'`. Each tower takes any number of
    samples, and voices of any length; model.json describes the inputs. The command compares the outputs with the
    original's before it keeps the files.
    """
    from lowshot.workflows.models import export_model

    differences = export_model(model, out=out, fmt=fmt)
    if as_json:
        click.echo(json.dumps({"out": str(out), "format": fmt, "largest_difference": differences}))
        return
    said = ", ".join(f"{modality} {value:.1g}" for modality, value in differences.items())
    click.echo(f"largest difference from the original's unit vectors: {said}", err=True)
    click.echo(str(out))
