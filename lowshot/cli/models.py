"""`lowshot models`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lowshot.cli.models_bundled import calibrate_model, list_models
from lowshot.cli.models_export import export
from lowshot.cli.options import json_option, say_outcome

if TYPE_CHECKING:
    from lowshot.models.two_tower import TwoTower


@click.group("models")
def command() -> None:
    """List and show models; convert, calibrate and export them."""


command.add_command(list_models)
command.add_command(calibrate_model)
command.add_command(export)


@command.command("convert")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Directory to make.  [default: the next in runs/]"
)
@json_option
def convert(file: Path, out: Path | None, as_json: bool) -> None:
    """Turn FILE, a checkpoint that the CMPC authors released, into a model of lowshot.

    What it writes is for `--model` of `evaluate` and `embed`, and for `--from` of `finetune` and `probe`. Nothing in
    FILE is executed.
    """
    from lowshot.models.convert import convert_checkpoint

    say_outcome(as_json, convert_checkpoint(file, out))
    click.echo(
        "warning: the model sees spectrograms and faces as the released code makes them, but lowshot chooses crops and "
        "measures in its own way; see docs/fidelity.md before you compare figures with the paper's",
        err=True,
    )


@command.command("show")
@click.argument("source", metavar="RUN|WEIGHTS|pretrained:NAME")
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
def show(source: str, as_json: bool) -> None:
    """Print what a model is: a run directory, a .safetensors file, or a model that comes with lowshot."""
    import json

    from lowshot.models.loaded import load_model

    loaded = load_model(source)
    model = loaded.towers
    parameters = {
        part: sum(weight.numel() for weight in getattr(model, part).parameters())
        for part in ("voice", "face", "voice_head", "face_head")
    }
    shown: dict[str, object] = {
        "name": loaded.name,
        "tower": model.model_config.tower,
        "dim": model.model_config.dim,
        "linear_heads": model.model_config.linear_heads,
        **_inputs(model),
        "voice_parameters": parameters["voice"],
        "face_parameters": parameters["face"],
        "parameters": sum(parameters.values()),
        "weights_sha": loaded.sha,
        **_registered(source),
    }
    if as_json:
        click.echo(json.dumps({**shown, "facts": loaded.metadata}))
        return
    for key, value in {**shown, **{f"facts.{key}": value for key, value in loaded.metadata.items()}}.items():
        click.echo(f"{key:18}{f'{value:,}' if key.endswith('parameters') else value}")


def _inputs(model: "TwoTower") -> dict[str, object]:
    """What the towers take: the shape of a sample of either modality, and how media become it."""
    if model.widths is not None:
        return {"voice_input": [model.widths["voice"]], "face_input": [model.widths["face"]]}
    voice, face = model.voice_config, model.face_config
    return {
        "voice_input": [1, voice.mel_bands, voice.frames],
        "window_ms": voice.window_ms,
        "hop_ms": voice.hop_ms,
        "voice_front_end": voice.front_end,
        "face_input": [3, face.size, face.size],
        "face_front_end": face.front_end,
    }


def _registered(source: str) -> dict[str, object]:
    """What the registry says of a model, if it comes with lowshot."""
    from lowshot.models.pretrained import PREFIX, find_entry, pretrained_folder

    if not source.startswith(PREFIX):
        return {}
    entry = find_entry(source)
    return {
        "summary": entry.summary,
        "file": str(entry.path),
        "sha256": entry.sha256,
        "licence": entry.licence,
        "data": entry.data.name,
        "made_by": entry.commands[0],
        "card": str(pretrained_folder() / entry.card),
    }
