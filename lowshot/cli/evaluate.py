"""`lowshot evaluate`."""

from pathlib import Path

import click

from lowshot.cli.options import open_dataset, resolve_config

PROTOCOLS = ("verification", "matching", "retrieval")


@click.command("evaluate")
@click.option("--protocol", type=click.Choice([*PROTOCOLS, "all"]), default="all", show_default=True)
@click.option(
    "--model", metavar="RUN|WEIGHTS", help="A run directory or .safetensors file.  [default: the newest model]"
)
@click.option(
    "--embeddings", type=click.Path(path_type=Path), metavar="DIR", help="Score embeddings instead of a model's."
)
@click.option("--data", help="The dataset to measure on.  [default: the one of the model's run]")
@click.option("--split", type=click.Choice(["test", "val"]), default="test", show_default=True)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="As in evaluate.replicates=2000.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Directory.  [default: the next in runs/]")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def command(
    protocol: str,
    model: str | None,
    embeddings: Path | None,
    data: str | None,
    split: str,
    sets: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Score a model by verification, matching and retrieval; write CSV, plots and one page.

    Intervals resample identities. Rows of chance, and on embedded data of the ceiling, stand beside the model's.
    """
    if model and embeddings:
        raise click.UsageError("give --model or --embeddings, not both")
    from lowshot.cli.evaluating import evaluate_embeddings, evaluate_model
    from lowshot.reporting.tables import headline, to_text

    protocols = PROTOCOLS if protocol == "all" else (protocol,)
    if embeddings:
        config = resolve_config(None, None, sets, {"data": str(embeddings)})
        if data and Path(data).resolve() != embeddings.resolve():
            raise click.UsageError("--embeddings brings its own manifest; leave --data out")
        directory, rows = evaluate_embeddings(open_dataset(config.data), config, protocols, split, out)
    else:
        directory, rows = evaluate_model(model, data, sets, protocols, split, out)
    if as_json:
        click.echo(rows.to_json(orient="records"))
    else:
        click.echo(to_text(headline(rows)))
        click.echo(f"\nresults: {directory / 'results.csv'}\nreport:  {directory / 'report.html'}")
