"""`lowshot compare`."""

from pathlib import Path
from typing import Any

import click

from lowshot.cli.options import config_options, json_option, say_outcome, terminal
from lowshot.cli.parsing import parse_fractions, parse_methods, parse_names
from lowshot.schema import DIFFERENCES, EFFICIENCY, REPORT, RESULTS


@click.command("compare")
@click.option(
    "--methods",
    default="cmpc,cid,scratch",
    show_default=True,
    metavar="NAME,...",
    help="Methods to compare: those of `pretrain`, scratch (fresh weights), and variants with other settings, such as "
    "cmpc:method.recalibration=none:train.epochs=30.",
)
@click.option(
    "--fractions",
    metavar="FRACTION,...",
    help="Labelled fractions of the training identities; 0 uses no labels.  [default: 0, and the fractions of the "
    "setting labels that give two people or more]",
)
@click.option("--adaptations", default="probe,finetune", show_default=True, help="How to use the labels.")
@click.option(
    "--subset-seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Number of labelled subsets of each fraction.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Number of training seeds.")
@click.option("--reference", default="cid", show_default=True, help="Method to compare the others with.")
@click.option(
    "--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="Pretrainings to run in parallel on a CPU."
)
@config_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory to write.  [default: that of the same request, or the next in runs/]",
)
@json_option
def command(methods: str, fractions: str | None, adaptations: str, as_json: bool, **request: Any) -> None:
    """Compare methods at several label fractions over seeds.

    The command pretrains each method with each training seed, and adapts it with each labelled subset. It measures all
    models on the same trials.

    It writes results.csv, plots, one page, and two more tables. differences.csv holds each method minus the reference,
    paired, with intervals over identities. label_efficiency.csv says how many labels the reference needs to reach the
    others. If you stop the command, run it again: it continues.
    """
    from lowshot.experiments.efficiency import efficiency_lines
    from lowshot.reporting.tables import headline, read_csv, to_text
    from lowshot.workflows.compare import compare
    from lowshot.workflows.comparison import over_subsets

    found = compare(
        parse_methods(methods),
        fractions=None if fractions is None else parse_fractions(fractions),
        adaptations=parse_names(adaptations),
        **request,
        report=terminal(),
    )
    directory = found.directory
    if as_json:
        say_outcome(
            True,
            directory,
            results=str(directory / RESULTS),
            differences=str(directory / DIFFERENCES),
            report=str(directory / REPORT),
            warnings=found.warnings,
        )
        return
    click.echo(to_text(headline(over_subsets(found.results))))
    if (directory / EFFICIENCY).is_file() and (lines := efficiency_lines(read_csv(directory / EFFICIENCY))):
        click.echo("\nlabels needed for the same verification AUC:")
        for line in lines:
            click.echo(f"  {line}")
    for warning in found.warnings:
        click.echo(f"warning: {warning}")
    click.echo(f"\nresults: {directory / RESULTS}\nreport:  {directory / REPORT}")
