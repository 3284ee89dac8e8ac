"""`lowshot data`."""

from pathlib import Path

import click

from lowshot.cli import data_import
from lowshot.cli.data_check import check
from lowshot.cli.options import json_option, open_dataset, say_outcome, trust_option
from lowshot.cli.packing import pack


@click.group("data")
def command() -> None:
    """Make, import, check and describe datasets."""


command.add_command(check)
command.add_command(data_import.command)
command.add_command(pack)


@command.command("synth")
@click.option("--size", type=click.Choice(["tiny", "demo", "bench"]), default="demo", show_default=True)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another world of the same kind."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Directory to make.  [default: the cache]")
@json_option
def synth(size: str, seed: int, out: Path | None, as_json: bool) -> None:
    """Render the embedded talking-face world: voices as WAV, faces as JPEG, and a manifest."""
    from dataclasses import replace

    from tqdm import tqdm

    from lowshot.errors import RequestError
    from lowshot.synthetic.render import ensure_world, render_world
    from lowshot.synthetic.world import SIZES

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
    say_outcome(as_json, out, "out")


@command.command("describe")
@click.argument("source")
@trust_option
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def describe(source: str, trust_paths: bool, as_json: bool) -> None:
    """Count videos, identities, voices and faces of the dataset SOURCE by split."""
    import json

    dataset = open_dataset(source, trust_paths=trust_paths)
    splits = {
        str(split or "(none)"): {
            "videos": int(rows["video"].nunique()),
            "identities": int(rows.loc[rows["identity"] != "", "identity"].nunique()),
            "voices": int((rows["modality"] == "voice").sum()),
            "faces": int((rows["modality"] == "face").sum()),
        }
        for split, rows in dataset.manifest.groupby("split", sort=False)
    }
    if as_json:
        found = {"name": dataset.name, "manifest": str(dataset.manifest_path), "sha": dataset.sha, "splits": splits}
        click.echo(json.dumps(found))
        return
    click.echo(f"{dataset.name}: {dataset.manifest_path} (sha {dataset.sha})")
    for split, count in splits.items():
        click.echo(
            f"  {split}: {count['videos']} videos of {count['identities']} identities, "
            f"{count['voices']} voices, {count['faces']} faces"
        )
