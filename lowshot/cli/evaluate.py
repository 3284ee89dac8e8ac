"""`lowshot evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lowshot.cli.options import model_option, open_dataset, resolve_config, trust_option

if TYPE_CHECKING:
    import pandas as pd


class _ProtocolChoice(click.ParamType):
    """A protocol of the registry, which modules of your own extend before one is named."""

    name = "protocol"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[{'|'.join(_protocols())}]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return value if value in _protocols() else click.Choice(_protocols()).convert(value, param, ctx)


def _protocols() -> list[str]:
    from lowshot.evaluation.protocols.registry import ALL, names

    return [*names(), ALL]


@click.command("evaluate")
@click.option("--protocol", type=_ProtocolChoice(), default="all", show_default=True)
@model_option
@click.option(
    "--embeddings", type=click.Path(path_type=Path), metavar="DIR", help="Score embeddings instead of a model's."
)
@click.option(
    "--scores",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    metavar="FILE|DIR",
    help="Measure score tables alone, without dataset or model; may be repeated.",
)
@trust_option
@click.option("--data", help="The dataset to measure on.  [default: the one of the model's run]")
@click.option("--split", type=click.Choice(["test", "val"]), default="test", show_default=True)
@click.option(
    "--trials",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Score this list instead of trials built from the manifest; may be repeated.",
)
@click.option(
    "--meta",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="VoxCeleb's vox1_meta.csv, for --trials.  [default: the one beside the manifest]",
)
@click.option("--skip-missing", is_flag=True, help="Leave out trials of --trials that name media the dataset lacks.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="As in evaluate.replicates=2000.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Directory.  [default: the next in runs/]")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.pass_context
def command(
    context: click.Context,
    protocol: str,
    model: str | None,
    embeddings: Path | None,
    scores: tuple[Path, ...],
    data: str | None,
    split: str,
    trials: tuple[Path, ...],
    meta: Path | None,
    skip_missing: bool,
    sets: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Score a model by verification, matching and retrieval; write CSV, plots and one page.

    Intervals resample identities. Rows of chance, and on embedded data of the ceiling, stand beside the model's.
    --trials takes lists of our own form, of VoxCeleb1's and of MAV-Celeb's; those with hidden labels give a file of
    scores to submit.
    """
    named = [name for name in context.params if context.get_parameter_source(name) is not _DEFAULT]
    if scores and (others := [name for name in named if name not in ("scores", "sets", "out", "as_json")]):
        raise click.UsageError(f"--scores needs nothing else; leave --{others[0].replace('_', '-')} out")
    if model and embeddings:
        raise click.UsageError("give --model or --embeddings, not both")
    if not trials and (meta or skip_missing):
        raise click.UsageError("--meta and --skip-missing belong to --trials")
    given = [name for name in ("protocol", "split") if context.get_parameter_source(name) is not _DEFAULT]
    if trials and given:
        raise click.UsageError(f"--trials says what is measured; leave --{given[0]} out")
    if scores:
        from lowshot.cli.evaluating_scores import evaluate_score_files

        folder = scores[0] if scores[0].is_dir() else scores[0].parent
        config = resolve_config(None, None, sets, {"data": str(folder)})
        directory, rows = evaluate_score_files(scores, config, out)
    else:
        from lowshot.cli.evaluating import Asked, evaluate_embeddings, evaluate_model
        from lowshot.evaluation.protocols.registry import chosen

        asked = Asked(chosen(protocol), split, trials, meta, skip_missing)
        if embeddings:
            config = resolve_config(None, None, sets, {"data": str(embeddings)})
            if data and Path(data).resolve() != embeddings.resolve():
                raise click.UsageError("--embeddings brings its own manifest; leave --data out")
            directory, rows = evaluate_embeddings(open_dataset(config.data), config, asked, out)
        else:
            directory, rows = evaluate_model(model, data, sets, asked, out)
    if as_json:
        click.echo(rows.to_json(orient="records"))
    else:
        _show(directory, rows, by_list=bool(trials or scores))


def _show(directory: Path, rows: "pd.DataFrame", *, by_list: bool) -> None:
    """Print figures and where they lie; `by_list`: what was measured need not hold what a headline asks for."""
    from lowshot.cli.listing import listing
    from lowshot.reporting.tables import headline, names_of_figures, to_text

    if len(rows):
        first = headline(rows)
        click.echo(listing(rows) if by_list or not names_of_figures(first) else to_text(first))
    for path in sorted(directory.glob("submissions/*/*.txt")):
        click.echo(f"submit:  {path}")
    if len(rows):
        click.echo(f"\nresults: {directory / 'results.csv'}\nreport:  {directory / 'report.html'}")


_DEFAULT = click.core.ParameterSource.DEFAULT
