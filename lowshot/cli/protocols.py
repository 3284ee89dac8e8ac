"""`lowshot protocols`."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lowshot.cli.options import json_option, open_dataset, trust_option
from lowshot.cli.wording import in_flags

if TYPE_CHECKING:
    from lowshot.adapt.subsets import Unit, Variant


@click.group("protocols")
def command() -> None:
    """List and show protocols; write and audit trial lists; draw labelled subsets."""


@command.command("list")
@json_option
def list_protocols(as_json: bool) -> None:
    """Name the protocols, each with its summary, and the frozen lists of labelled subsets, with where they lie."""
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
    "--exclude-same-video", is_flag=True, help="Leave out probes whose identity has no other video for a positive."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Directory to make.")
@json_option
def build(
    data: str,
    trust_paths: bool,
    split: str,
    seed: int,
    strata: tuple[str, ...],
    exclude_same_video: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Write the trial lists that `evaluate` scores, as CSV, with the recipe that makes them again.

    With --stratum, lists of these strata for verification and matching, of unseen people and, where the data has
    unheard clips of training identities, of seen ones.
    """
    from lowshot.evaluation.trial_lists.writing import write_lists
    from lowshot.evaluation.trial_set import build_trial_set

    _check_new(out)
    dataset = open_dataset(data, trust_paths=trust_paths)
    trials = build_trial_set(
        dataset, split=split, strata=strata or None, seed=seed, exclude_same_video=exclude_same_video
    )
    for warning in trials.warnings:
        click.echo(f"warning: {warning}", err=True)
    _say_files(as_json, write_lists(out, trials, split=split, strata=strata, exclude_same_video=exclude_same_video))


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
def audit(files: tuple[Path, ...], trust_paths: bool, data: str | None, meta: Path | None, as_json: bool) -> None:
    """Count what the trial lists FILE... really contain; `!` marks what a reader of their figures should know.

    Without --data, what is said of people and videos comes from the names in the lists and from --meta.
    """
    from lowshot.evaluation.trial_lists.audit import Auditor
    from lowshot.evaluation.trial_lists.media import MediaIndex
    from lowshot.evaluation.trial_lists.media_metadata import MetadataFinder
    from lowshot.evaluation.trial_lists.read_list import read_list
    from lowshot.evaluation.trial_lists.vox_names import find_meta

    lists = [part for path in files for part in read_list(path)]
    dataset = open_dataset(data, trust_paths=trust_paths) if data else None
    known = find_meta(meta, dataset)
    auditor = Auditor(MetadataFinder(dataset, known), MediaIndex(dataset, known) if dataset else None)
    audits = [*auditor.audit(lists), *([auditor.total(lists)] if len(lists) > 1 else [])]
    if as_json:
        click.echo(json.dumps([found.record() for found in audits], indent=2))
    else:
        click.echo(in_flags("\n\n".join(map(str, audits))))


@command.command("subsets")
@trust_option
@click.option("--data", required=True, help="A directory, a manifest, or synth:tiny|demo|bench.")
@click.option("--labels", type=float, help="Share to label; prints what that labels, one a line.")
@click.option("--subset-seed", type=click.IntRange(min=0), default=0, show_default=True, help="Which of its subsets.")
@click.option(
    "--fractions",
    metavar="SHARE,...",
    help="Shares to write lists of to --out.  [default: 0.01,0.05,0.1,0.2,0.5,1]",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Lists of each share, seeds from 0 on."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Directory to make, for --fractions.")
@click.option(
    "--unit",
    type=click.Choice(["identity", "video"]),
    default="identity",
    show_default=True,
    help="What the share is of: identities with all their training videos, or videos.",
)
@click.option(
    "--variant",
    type=click.Choice(["gender", "balanced", "random"]),
    default="gender",
    show_default=True,
    help="What every subset has in fair shares: genders, genders and nationalities, or nothing in particular.",
)
@json_option
@click.pass_context
def subsets(
    context: click.Context,
    data: str,
    trust_paths: bool,
    labels: float | None,
    subset_seed: int,
    fractions: str | None,
    seeds: int,
    out: Path | None,
    unit: "Unit",
    variant: "Variant",
    as_json: bool,
) -> None:
    """Print what a labelled share labels, or write the lists of several shares and seeds.

    Small subsets lie inside large ones of the same seed. Written lists have columns that spreadsheets read, and
    recipe.json beside them; `finetune --subset` and `probe --subset` learn from one.
    """
    from lowshot.adapt.subset_lists import FRACTIONS, write_subsets
    from lowshot.adapt.subsets import draw_subset

    others = ("fractions", "seeds") if out is None else ("subset_seed",)
    for name in others:
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            goes = "--out, which writes lists" if out is None else "--labels, which prints one subset"
            raise click.UsageError(f"--{name.replace('_', '-')} belongs to {goes}")
    if labels is not None and out is None:
        rows = draw_subset(
            open_dataset(data, trust_paths=trust_paths).manifest, labels, subset_seed, unit, variant
        ).rows
        click.echo(json.dumps(rows) if as_json else "\n".join("\t".join(row) for row in rows))
    elif out is not None and labels is None:
        _check_new(out)
        shares = FRACTIONS if fractions is None else _shares(fractions)
        dataset = open_dataset(data, trust_paths=trust_paths)
        _say_files(as_json, write_subsets(out, dataset, shares, range(seeds), unit, variant))
    else:
        raise click.UsageError("give --labels to print one subset, or --out to write lists")


def _say_files(as_json: bool, paths: Iterable[Path]) -> None:
    """Print the files that were written, a line each or as JSON."""
    names = [str(path) for path in paths]
    click.echo(json.dumps({"files": names}) if as_json else "\n".join(names))


def _shares(text: str) -> tuple[float, ...]:
    """The numbers of `--fractions`, rising.

    Raises:
        RequestError: one is none.
    """
    from lowshot.errors import RequestError

    try:
        return tuple(sorted({float(item) for item in text.split(",")}))
    except ValueError as error:
        raise RequestError(f"--fractions {text}: write numbers with commas between, as in 0.01,0.1") from error


def _check_new(out: Path) -> None:
    """Refuse a directory that holds something, and a file.

    Raises:
        RequestError: it does, or is one.
    """
    from lowshot.errors import RequestError

    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise RequestError(f"--out {out}: exists; name an empty directory")
