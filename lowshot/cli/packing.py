"""`lowshot data pack`, and what `lowshot data check` does with a pack."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lowshot.cli.options import (
    json_option,
    open_dataset,
    say_outcome,
    settings_options,
    trust_option,
)

if TYPE_CHECKING:
    from lowshot.data.dataset import Dataset


@click.command("pack")
@click.argument("source")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", required=True, help="Directory to make.")
@trust_option
@settings_options
@click.option(
    "--faces",
    type=click.Choice(["pixels", "jpeg"]),
    default="pixels",
    show_default=True,
    help="Keep faces decoded, or as their files' bytes: smaller, of any face.size, and decoded when they are read.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes.  [default: as many as CPUs, at most 8]")
@click.option("--skip-unreadable", is_flag=True, help="Leave out rows whose files cannot be decoded; they are listed.")
@json_option
def pack(
    source: str,
    trust_paths: bool,
    out: Path,
    preset: str | None,
    config: Path | None,
    settings: dict[str, Any],
    faces: str,
    jobs: int | None,
    skip_unreadable: bool,
    as_json: bool,
) -> None:
    """Decode the media of the dataset SOURCE once, into a dataset that --data takes.

    The settings of the sections voice and face decide how. A command that was stopped goes on where it was, and checks
    what is there.
    """
    from tqdm import tqdm

    from lowshot.data.packing.writing import pack_dataset
    from lowshot.errors import RequestError
    from lowshot.schema import UNREADABLE
    from lowshot.workflows.settings import resolve_config

    resolved = resolve_config(preset=preset, config=config, settings=settings)
    dataset = open_dataset(source, trust_paths=trust_paths)
    with tqdm(desc="pack", unit="file", disable=None) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        packed = pack_dataset(
            dataset,
            out,
            resolved.voice,
            resolved.face,
            "jpeg" if faces == "jpeg" else "pixels",
            jobs,
            skip_unreadable,
            advance,
        )
    for entry in packed.unreadable:
        click.echo(entry.fault, err=True)
    count = f"{len(packed.unreadable):,} of {packed.rows:,} files cannot be decoded (above, and in {out / UNREADABLE})"
    if not packed.record.finished:
        raise RequestError(
            f"{out}: {count}; mend them and give the same command again, or leave them out with --skip-unreadable"
        )
    if packed.unreadable:
        click.echo(f"left out: {count}", err=True)
    shards = packed.record.shards
    size = sum(shard.bytes for shard in shards) / 1e6
    rows = sum(shard.rows for shard in shards)
    kept = f", {packed.kept} of which were there" if packed.kept else ""
    click.echo(f"{rows:,} files, {size:,.1f} MB in {len(shards)} shards{kept}", err=True)
    say_outcome(
        as_json,
        out,
        "out",
        files=rows,
        bytes=sum(shard.bytes for shard in shards),
        shards=len(shards),
        skipped=len(packed.unreadable),
    )


def check_pack(dataset: "Dataset") -> str:
    """Read every shard of a pack and compare it with its hash.

    Returns:
        That it is whole, in words.

    Raises:
        RequestError: some are damaged, or missing; they are listed on standard output.
    """
    from tqdm import tqdm

    from lowshot.data.packing.pack import damaged_files
    from lowshot.errors import RequestError

    with tqdm(desc="check", unit="B", unit_scale=True, disable=None) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        damaged = damaged_files(dataset.root, advance)
    for path in damaged:
        click.echo(f"{path}: damaged or missing")
    if damaged:
        raise RequestError(
            f"{dataset.name}: {len(damaged)} files of the pack are damaged; the `lowshot data pack` command that made "
            "it mends it"
        )
    return f"{dataset.name}: the pack is whole: {len(dataset.voices):,} voices, {len(dataset.faces):,} faces"
