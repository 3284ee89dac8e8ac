"""`lowshot demo`."""

import time
from pathlib import Path

import click

from lowshot.cli.options import config_options, json_option, open_dataset, resolve_config, say_outcome


@click.command("demo")
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Training seeds, from --seed on."
)
@config_options
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="RUN", help="Directory.  [default: a stopped one, or the next]"
)
@json_option
def command(
    seeds: int,
    preset: str | None,
    config_file: Path | None,
    sets: tuple[str, ...],
    data: str | None,
    seed: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Run the whole job on embedded data and write a report.

    Pretrains CMPC and instance-wise contrast without labels, adapts both and fresh weights with a few labelled
    identities by probes and fine-tuning, measures all by three protocols on unseen identities. Given again after a
    stop, the same command goes on where it was.
    """
    started = time.monotonic()
    config = resolve_config(preset, config_file, sets, {"data": data, "seed": seed})
    dataset = open_dataset(config.data)

    from lowshot.experiments.demo import run_demo
    from lowshot.reporting.tables import headline, to_text
    from lowshot.runs import read_provenance

    def say(line: str) -> None:
        click.echo(f"[{time.monotonic() - started:5.0f} s] {line}", err=True)

    directory, rows = run_demo(config, dataset, seeds, out, say)
    if as_json:
        say_outcome(
            True,
            directory,
            results=str(directory / "results.csv"),
            report=str(directory / "report.html"),
            warnings=read_provenance(directory)["warnings"],
        )
        return
    click.echo(to_text(headline(rows)))
    for warning in read_provenance(directory)["warnings"]:
        click.echo(f"warning: {warning}")
    click.echo()
    click.echo(f"report: {directory / 'report.html'}")
