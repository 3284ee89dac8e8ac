"""`lowshot data`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from lowshot.cli import data_import
from lowshot.cli.data_check import check
from lowshot.cli.options import json_option, say_outcome, settings_options, terminal, trust_option
from lowshot.schema import WORLD_SIZES


@click.group("data")
def command() -> None:
    """Make, import, check, describe and pack datasets."""


command.add_command(check)
command.add_command(data_import.command)


@command.command("synth")
@click.option("--size", type=click.Choice(WORLD_SIZES), default="demo", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the people in it.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Directory to make.  [default: the cache]")
@json_option
def synth(as_json: bool, **request: Any) -> None:
    """Render the embedded talking-face world.

    It holds voices as WAV, faces as JPEG, and a manifest.
    """
    from lowshot.workflows.data import synthesise_data

    say_outcome(as_json, synthesise_data(**request, report=terminal()), "out")


@command.command("describe")
@click.argument("source")
@trust_option
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def describe(source: str, trust_paths: bool, as_json: bool) -> None:
    """Count videos, identities, voices and faces of the dataset SOURCE by split."""
    from lowshot.workflows.data import describe_data

    found = describe_data(source, trust_paths=trust_paths, report=terminal())
    if as_json:
        click.echo(json.dumps(asdict(found) | {"manifest": str(found.manifest)}))
        return
    click.echo(f"{found.name}: {found.manifest} (sha {found.sha})")
    for split, count in found.splits.items():
        click.echo(
            f"  {split}: {count.videos} videos of {count.identities} identities, "
            f"{count.voices} voices, {count.faces} faces"
        )


@command.command("pack")
@click.argument("source")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", required=True, help="Directory to make.")
@trust_option
@settings_options
@click.option(
    "--faces",
    type=click.Choice(["pixels", "jpeg"]),
    default="pixels",
    show_default=True,
    help="Store decoded pixels, or the JPEG files: smaller, usable at any face.size, decoded at each reading.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Number of processes.  [default: the number of CPUs, at most 8]"
)
@click.option("--skip-unreadable", is_flag=True, help="Skip rows whose files cannot be decoded; a CSV lists them.")
@json_option
def pack(source: str, out: Path, as_json: bool, **request: Any) -> None:
    """Decode the media of the dataset SOURCE once.

    The result is a dataset that --data takes. The settings of the sections voice and face decide how media are decoded.
    If you stop the command, run it again: it checks what is there and continues.
    """
    from lowshot.workflows.data import pack_data

    packed = pack_data(source, out=out, **request, report=terminal())
    shards = packed.record.shards
    size, rows = sum(shard.bytes for shard in shards), sum(shard.rows for shard in shards)
    kept = f", {packed.kept} of them done before" if packed.kept else ""
    click.echo(f"{rows:,} files, {size / 1e6:,.1f} MB in {len(shards)} shards{kept}", err=True)
    facts = {"files": rows, "bytes": size, "shards": len(shards), "skipped": len(packed.unreadable)}
    say_outcome(as_json, out, "out", **facts)
