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
    help="What is compared: methods of `pretrain`, scratch for fresh weights, and variants by settings, as in "
    "cmpc:method.recalibration=none:train.epochs=30.",
)
@click.option(
    "--fractions",
    metavar="SHARE,...",
    help="Labelled shares of the training identities; 0 is without labels.  [default: 0 and those of the "
    "setting labels that come to two people or more]",
)
@click.option("--adaptations", default="probe,finetune", show_default=True, help="How labels are used.")
@click.option(
    "--subset-seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Labelled subsets of each share, from 0 on.",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Training seeds, from --seed on."
)
@click.option("--reference", default="cid", show_default=True, help="Which method the others are held against.")
@click.option(
    "--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="Pretrainings side by side, on a CPU."
)
@config_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory.  [default: that of the same request, or the next in runs/]",
)
@json_option
def command(methods: str, fractions: str | None, adaptations: str, as_json: bool, **request: Any) -> None:
    """Hold methods against each other at several shares of labels, over seeds.

    Each method is pretrained with each training seed, then adapted with each labelled subset of each share, and
    measured on the same trials. Writes results.csv, differences.csv (each method minus the reference, paired, with
    intervals over identities), label_efficiency.csv (how many labels the reference needs for what others reach), plots
    and one page. Given again after a stop, the same command goes on where it was.
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
        click.echo("\nlabels that come to the same, by verification AUC:")
        for line in lines:
            click.echo(f"  {line}")
    for warning in found.warnings:
        click.echo(f"warning: {warning}")
    click.echo(f"\nresults: {directory / RESULTS}\nreport:  {directory / REPORT}")
