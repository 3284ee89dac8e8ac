"""`lowshot protocols`."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from lowshot.cli.options import json_option, terminal, trust_option
from lowshot.cli.parsing import parse_fractions


@click.group("protocols")
def command() -> None:
    """List and show protocols; write and audit trial lists; sample labelled subsets."""


@command.command("list")
@json_option
def list_protocols(as_json: bool) -> None:
    """List the protocols and the frozen lists of labelled subsets."""
    from lowshot.adapt.subset_lists import frozen_subsets
    from lowshot.evaluation.protocols.registry import find, names

    protocols = [find(name) for name in names()]
    if as_json:
        summaries = {protocol.name: protocol.summary for protocol in protocols}
        subsets = [{"folder": str(folder), **recipe.model_dump()} for folder, recipe in frozen_subsets()]
        click.echo(json.dumps({"protocols": summaries, "subsets": subsets}))
        return
    for protocol in protocols:
        click.echo(f"{protocol.name:12}  {protocol.summary}")
    for folder, recipe in frozen_subsets():
        pool = f"{recipe.training.identities} training identities of {recipe.data}"
        click.echo(f"{folder.name:12}  {len(recipe.lists)} labelled subsets of the {pool}: {folder}")


@command.command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Print the definition of the protocol NAME."""
    import yaml

    from lowshot.evaluation.protocols.registry import find

    text = find(name).text()
    click.echo(json.dumps(yaml.safe_load(text)) if as_json else text, nl=as_json)


@command.command("build")
@trust_option
@click.option("--data", required=True, help="A directory, a manifest, or synth:tiny|demo|bench.")
@click.option("--split", type=click.Choice(["test", "val"]), default="test", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--stratum",
    "strata",
    multiple=True,
    metavar="STRATUM",
    help="What impostors share: U, G, N, A, GN, GNA; may be repeated.  [default: those that `evaluate` measures]",
)
@click.option(
    "--exclude-same-video", is_flag=True, help="Skip probes whose identity has no other video for a positive."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Directory to make.")
@json_option
def build(as_json: bool, **request: Any) -> None:
    """Write the trial lists that `evaluate` scores, as CSV.

    The file recipe.json says how to make them again. --stratum writes lists of these strata for verification and
    matching of unseen people. It adds lists of seen people if the data have unheard clips of training identities.
    """
    from lowshot.workflows.trial_lists import build_lists

    _say_files(as_json, build_lists(**request, report=terminal()))


@command.command("audit")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@trust_option
@click.option("--data", help="The dataset that the lists name: a directory, a manifest, or synth:tiny|demo|bench.")
@click.option(
    "--meta",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="VoxCeleb's vox1_meta.csv.  [default: the one beside the manifest]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def audit(files: tuple[Path, ...], as_json: bool, **request: Any) -> None:
    """Count what the trial lists FILE... contain.

    `!` marks what a reader of their figures should know. Without --data, people and videos are read from the names in
    the lists and from --meta.
    """
    from lowshot.workflows.trial_lists import audit_lists

    audits = audit_lists(files, **request, report=terminal())
    if as_json:
        click.echo(json.dumps([found.record() for found in audits], indent=2))
    else:
        click.echo("\n\n".join(map(str, audits)))


@command.command("subsets")
@trust_option
@click.option("--data", required=True, help="A directory, a manifest, or synth:tiny|demo|bench.")
@click.option("--labels", type=float, help="Labelled fraction; prints the subset, one name a line.")
@click.option("--subset-seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the subset.")
@click.option(
    "--fractions",
    metavar="FRACTION,...",
    help="Labelled fractions of the lists in --out.  [default: 0.01,0.05,0.1,0.2,0.5,1]",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Number of lists of each fraction."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Directory to make, for --fractions.")
@click.option(
    "--unit",
    type=click.Choice(["identity", "video"]),
    default="identity",
    show_default=True,
    help="What to label: identities, with all their training videos, or videos.",
)
@click.option(
    "--variant",
    type=click.Choice(["gender", "balanced", "random"]),
    default="gender",
    show_default=True,
    help="Stratify the sampling by gender, by gender and nationality (balanced), or by nothing.",
)
@json_option
@click.pass_context
def subsets(
    context: click.Context,
    labels: float | None,
    subset_seed: int,
    fractions: str | None,
    seeds: int,
    out: Path | None,
    as_json: bool,
    **request: Any,
) -> None:
    """Print one labelled subset, or write several as lists.

    A small subset is part of every larger one of the same seed. The lists are CSV, with a recipe.json beside them.
    `finetune --subset` and `probe --subset` take such a list.
    """
    from lowshot.workflows.trial_lists import sample_subset, write_subset_lists

    others = ("fractions", "seeds") if out is None else ("subset_seed",)
    for name in others:
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            goes = "--out, which writes lists" if out is None else "--labels, which prints one subset"
            raise click.UsageError(f"--{name.replace('_', '-')} belongs to {goes}")
    if labels is not None and out is None:
        rows = sample_subset(labels=labels, subset_seed=subset_seed, **request, report=terminal())
        click.echo(json.dumps(rows) if as_json else "\n".join("\t".join(row) for row in rows))
    elif out is not None and labels is None:
        shares = None if fractions is None else parse_fractions(fractions)
        _say_files(as_json, write_subset_lists(out=out, fractions=shares, seeds=seeds, **request, report=terminal()))
    else:
        raise click.UsageError("give --labels to print one subset, or --out to write lists")


def _say_files(as_json: bool, paths: Iterable[Path]) -> None:
    """Print the written files, one a line or as JSON."""
    names = [str(path) for path in paths]
    click.echo(json.dumps({"files": names}) if as_json else "\n".join(names))
