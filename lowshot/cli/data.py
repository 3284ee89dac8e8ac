"""`lowshot data`."""

from pathlib import Path

import click

from lowshot.cli.options import open_dataset
from lowshot.cli.packing import check_pack, pack


@click.group("data")
def command() -> None:
    """Make, check and describe datasets."""


command.add_command(pack)


@command.command("synth")
@click.option("--size", type=click.Choice(["tiny", "demo", "bench"]), default="demo", show_default=True)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another world of the same kind."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Directory to make.  [default: the cache]")
def synth(size: str, seed: int, out: Path | None) -> None:
    """Render the embedded talking-face world: voices as WAV, faces as JPEG, and a manifest."""
    from dataclasses import replace

    from tqdm import tqdm

    from lowshot.data.synthetic.render import ensure_world, render_world
    from lowshot.data.synthetic.world import SIZES
    from lowshot.errors import RequestError

    if out is not None and out.exists():
        raise RequestError(f"--out {out}: exists; name a directory to make")
    with tqdm(desc=f"render {size}", unit="video", disable=None) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        if out is None:
            out = ensure_world(size, seed, progress=advance)
        else:
            render_world(replace(SIZES[size], seed=seed), out, progress=advance)
    click.echo(str(out))


@command.command("check")
@click.argument("source")
def check(source: str) -> None:
    """Open every file of the dataset SOURCE and name those that cannot be read."""
    import numpy as np
    from tqdm import tqdm

    from lowshot.data.reader import MediaReader
    from lowshot.errors import RequestError
    from lowshot.settings import FaceConfig, VoiceConfig

    dataset = open_dataset(source)
    if dataset.has_features:
        shapes = {modality: list(tensor.shape) for modality, tensor in dataset.features.items()}
        click.echo(f"{dataset.name}: features are whole: voice {shapes['voice']}, face {shapes['face']}")
        return
    if dataset.has_pack:
        check_pack(dataset)
        return
    reader = MediaReader(dataset, VoiceConfig(), FaceConfig(), cache_bytes=0)
    faults = []
    total = len(dataset.voices) + len(dataset.faces)
    with tqdm(desc="check", total=total, unit="file", disable=None) as bar:
        for read, count in ((reader.voice, len(dataset.voices)), (reader.face, len(dataset.faces))):
            for index in np.arange(count):
                try:
                    read(int(index))
                except RequestError as error:
                    faults.append(str(error))
                bar.update()
    for fault in faults:
        click.echo(fault)
    if faults:
        raise RequestError(f"{dataset.name}: {len(faults)} of {total} files cannot be used; they are listed above")
    click.echo(f"{dataset.name}: all {total} files can be read")


@command.command("describe")
@click.argument("source")
def describe(source: str) -> None:
    """Count videos, identities, voices and faces of the dataset SOURCE by split."""
    dataset = open_dataset(source)
    click.echo(f"{dataset.name}: {dataset.manifest_path} (sha {dataset.sha})")
    table = dataset.manifest.assign(split=dataset.manifest["split"].replace("", "(none)"))
    for split, rows in table.groupby("split", sort=False):
        known = rows.loc[rows["identity"] != "", "identity"].nunique()
        counts = rows["modality"].value_counts()
        click.echo(
            f"  {split}: {rows['video'].nunique()} videos of {known} identities, "
            f"{counts.get('voice', 0)} voices, {counts.get('face', 0)} faces"
        )
