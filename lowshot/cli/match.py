"""`lowshot match`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lowshot.cli.options import model_option

if TYPE_CHECKING:
    from lowshot.models.match import Matches


@click.command("match")
@click.argument("probe", metavar="VOICE|FACE", type=click.Path(path_type=Path))
@click.argument("candidates", metavar="FACES...|VOICES...", type=click.Path(path_type=Path), nargs=-1, required=True)
@model_option
@click.option("--json", "as_json", is_flag=True, help="Print the ranking as JSON.")
def command(probe: Path, candidates: tuple[Path, ...], model: str | None, as_json: bool) -> None:
    """Rank faces by similarity to a voice, or voices by similarity to a face.

    The first file decides which: after a voice come faces, after a face come voices. Faces are cropped images; nothing
    here finds a face in a picture.

    \b
      lowshot match voice.wav faces/*.jpg
      lowshot match face.jpg voices/*.wav

    A probability stands beside the similarity where the model was calibrated. Do not decide about a person by it.
    """
    from lowshot.workflows.match import match

    found = match(probe, candidates, model=model)
    if as_json:
        click.echo(json.dumps(as_record(found)))
        return
    click.echo(str(replace(found, warnings=())))
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)


def as_record(found: "Matches") -> dict[str, object]:
    """The same for JSON."""
    return {
        "model": found.model,
        found.modality: str(found.probe),
        "ranking": [
            {
                "rank": each.rank,
                "file": str(each.file),
                "similarity": each.similarity,
                "probability": each.probability,
            }
            for each in found.ranking
        ],
        "warnings": list(found.warnings),
    }
