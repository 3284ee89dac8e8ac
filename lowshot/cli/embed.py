"""`lowshot embed`."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import click

from lowshot.cli.options import json_option, model_option, open_dataset, resolve_config, say_outcome, trust_option
from lowshot.schema import FEATURES


@click.command("embed")
@model_option
@trust_option
@click.option("--data", help="The dataset to embed.  [default: the one of the model's run]")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="As in evaluate.mirror=true.")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Directory to make.")
@json_option
def command(model: str | None, data: str | None, sets: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Turn a dataset into embeddings: a directory with manifest.csv and features.safetensors.

    What it writes is a dataset again: `lowshot evaluate --embeddings DIR` scores it. Embeddings are written as they are
    made, so there may be more of them than the memory holds.
    """
    embed_dataset(model, data, sets, out)
    say_outcome(as_json, out, "out", features=str(out / FEATURES), manifest=str(out / "manifest.csv"))


def embed_dataset(model: str | None, data: str | None, sets: tuple[str, ...], out: Path) -> None:
    """Write embeddings to `out`; see `lowshot embed`."""
    import numpy as np

    from lowshot.data.dataset import write_features
    from lowshot.errors import RequestError
    from lowshot.models.device import default_device
    from lowshot.models.embedding import USUAL, embed_blocks, embedding_bar
    from lowshot.models.loaded import load_model

    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise RequestError(f"--out {out}: exists; name an empty directory")
    start = load_model(model)
    config = resolve_config(None, None, sets, {"data": data}, base=start.config)
    dataset = open_dataset(config.data)
    # Every medium is looked at once: nothing is gained by keeping it.
    reader = start.open_reader(dataset, cache_bytes=0)
    rows = {modality: np.arange(len(dataset.rows(modality))) for modality in ("voice", "face")}
    for modality, indices in rows.items():
        dataset.check_files(modality, indices)
    click.echo(f"embed {dataset.name} with {start.name}", err=True)
    towers = start.towers.to(default_device())
    facts = {"init": start.name, **start.metadata}
    # Vectors have neither crops nor mirror images.
    for name in () if dataset.has_features else ("voice_crops", "mirror"):
        if (value := getattr(config.evaluate, name)) != getattr(USUAL, name):
            facts[name] = str(value)
    with embedding_bar(sum(len(indices) for indices in rows.values())) as bar:

        def blocks(modality: str) -> Iterator[np.ndarray]:
            for block in embed_blocks(towers, reader, modality, rows[modality], config.evaluate):
                yield block
                bar.update(len(block))

        write_features(out, dataset, blocks("voice"), blocks("face"), facts)
    if start.trained is not None:
        shutil.copyfile(start.trained, out / start.trained.name)
