"""`lowshot evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from lowshot.cli.options import model_option, set_option, terminal, trust_option
from lowshot.schema import REPORT, RESULTS

if TYPE_CHECKING:
    import pandas as pd


class _ProtocolChoice(click.ParamType):
    """A protocol of the registry, which your own modules may extend."""

    name = "protocol"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[{'|'.join(_protocols())}]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return value if value in _protocols() else click.Choice(_protocols()).convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return click.Choice(_protocols()).shell_complete(ctx, param, incomplete)


def _protocols() -> list[str]:
    from lowshot.evaluation.protocols.registry import ALL, names

    return [*names(), ALL]


@click.command("evaluate")
@click.option("--protocol", type=_ProtocolChoice(), help="What to measure.  [default: all]")
@model_option
@click.option(
    "--embeddings", type=click.Path(path_type=Path), metavar="DIR", help="Score these embeddings instead of a model."
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
@click.option("--split", type=click.Choice(["test", "val"]), help="Split to measure on.  [default: test]")
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
@click.option("--skip-missing", is_flag=True, help="Skip trials of --trials that name missing media.")
@set_option("Change one setting, such as evaluate.replicates=2000.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Run directory.  [default: the next in runs/]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def command(
    protocol: str | None, scores: tuple[Path, ...], trials: tuple[Path, ...], as_json: bool, **request: Any
) -> None:
    """Score a model by verification, matching and retrieval.

    The command writes CSV, plots and one page. Intervals resample identities. The results also hold chance and, on
    embedded data, the upper bound.

    --trials takes lists of lowshot, VoxCeleb1 and MAV-Celeb. For a list with hidden labels, the command writes a file
    of scores to submit.
    """
    from lowshot.workflows.evaluate import evaluate

    found = evaluate(protocol=protocol, scores=scores, trials=trials, **request, report=terminal())
    if as_json:
        click.echo(found.results.to_json(orient="records"))
        return
    _show(found.directory, found.results, by_list=bool(trials or scores))


def _show(directory: Path, rows: "pd.DataFrame", *, by_list: bool) -> None:
    """Print figures and the files that hold them.

    Args:
        directory: of the evaluation.
        rows: in the columns of results.csv.
        by_list: print every figure, because lists need not give those of the headline.
    """
    from lowshot.cli.listing import listing
    from lowshot.reporting.tables import headline, names_of_figures, to_text

    if len(rows):
        first = headline(rows)
        click.echo(listing(rows) if by_list or not names_of_figures(first) else to_text(first))
    for path in sorted(directory.glob("submissions/*/*.txt")):
        click.echo(f"submit:  {path}")
    if len(rows):
        click.echo(f"\nresults: {directory / RESULTS}\nreport:  {directory / REPORT}")
