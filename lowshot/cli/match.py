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
    """Rank faces by similarity to a voice, or voices to a face.

    The first file is the probe, a voice or a face; the candidates are of the other modality. Faces are cropped images;
    the command does not search for a face in a picture.

    \b
      lowshot match voice.wav faces/*.jpg
      lowshot match face.jpg voices/*.wav

    A calibrated model also gives a probability. Do not decide about a person by it.
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
    """Return the ranking in a form that JSON can hold."""
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
