"""`lowshot compare`."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lowshot.cli.options import config_options, json_option, open_dataset, resolve_config, say_outcome

if TYPE_CHECKING:
    from lowshot.data.dataset import Dataset


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
def command(
    methods: str,
    fractions: str | None,
    adaptations: str,
    subset_seeds: int,
    seeds: int,
    reference: str,
    jobs: int,
    preset: str | None,
    config_file: Path | None,
    sets: tuple[str, ...],
    data: str | None,
    seed: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Hold methods against each other at several shares of labels, over seeds.

    Each method is pretrained with each training seed, then adapted with each labelled subset of each share, and
    measured on the same trials. Writes results.csv, differences.csv (each method minus the reference, paired, with
    intervals over identities), label_efficiency.csv (how many labels the reference needs for what others reach), plots
    and one page. Given again after a stop, the same command goes on where it was.
    """
    started = time.monotonic()
    config = resolve_config(preset, config_file, sets, {"data": data, "seed": seed})

    from lowshot.experiments.cells import comparison_plan

    # What cannot be compared is refused before a world is rendered.
    plan = comparison_plan(config, methods, fractions, adaptations, subset_seeds, seeds, reference)
    dataset = open_dataset(config.data)
    if fractions is None and (possible := _possible(plan.labelled, dataset)) != plan.labelled:
        asked = ",".join(f"{share:g}" for share in (0.0, *possible))
        plan = comparison_plan(config, methods, asked, adaptations, subset_seeds, seeds, reference)

    from lowshot.experiments.compare import over_subsets, run_comparison
    from lowshot.experiments.efficiency import efficiency_lines
    from lowshot.reporting.tables import headline, read_csv, to_text
    from lowshot.runs import read_provenance
    from lowshot.schema import EFFICIENCY

    def say(line: str) -> None:
        click.echo(f"[{time.monotonic() - started:5.0f} s] {line}", err=True)

    directory, rows = run_comparison(plan, config, dataset, out, jobs, say)
    if as_json:
        say_outcome(
            True,
            directory,
            results=str(directory / "results.csv"),
            differences=str(directory / "differences.csv"),
            report=str(directory / "report.html"),
            warnings=read_provenance(directory)["warnings"],
        )
        return
    click.echo(to_text(headline(over_subsets(rows))))
    if (directory / EFFICIENCY).is_file() and (lines := efficiency_lines(read_csv(directory / EFFICIENCY))):
        click.echo("\nlabels that come to the same, by verification AUC:")
        for line in lines:
            click.echo(f"  {line}")
    for warning in read_provenance(directory)["warnings"]:
        click.echo(f"warning: {warning}")
    click.echo(f"\nresults: {directory / 'results.csv'}\nreport:  {directory / 'report.html'}")


def _possible(shares: tuple[float, ...], dataset: "Dataset") -> tuple[float, ...]:
    """The shares that nobody asked for by name and the data can give; says which are left out.

    Where that is none of them, two people are labelled.
    """
    from lowshot.adapt.subsets import labelled_count, training_people
    from lowshot.errors import RequestError

    people, possible = len(training_people(dataset.manifest)), []
    for share in shares:
        try:
            labelled_count(people, share, "--fractions")
            possible.append(share)
        except RequestError as error:
            click.echo(f"warning: left out: {error}", err=True)
    if not possible and people > 1:
        possible.append(math.ceil(200 / people) / 100)
        click.echo(f"warning: --fractions {possible[0]:g} is taken instead, two of {people} people", err=True)
    return tuple(possible)
