"""Turn a dataset into embeddings."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from lowshot.files import check_new_folder
from lowshot.progress import Report, counter, message, quiet
from lowshot.schema import MODALITIES
from lowshot.workflows.datasets import open_dataset
from lowshot.workflows.settings import Sections, Settings, resolve_config

if TYPE_CHECKING:
    import numpy as np


def embed(
    model: str | Path | None = None,
    *,
    out: Path,
    data: str | Path | None = None,
    settings: Settings | None = None,
    trust_paths: bool = False,
    report: Report = quiet,
    **sections: Unpack[Sections],
) -> Path:
    """Turn a dataset into embeddings.

    The embeddings need not fit into memory: each is written when it is made.

    Args:
        model: a run directory, a weights file or `pretrained:NAME`; the newest model if None.
        out: the directory to make.
        data: the dataset; the one the model was trained on if None.
        settings, sections: see `resolve_config`.
        trust_paths: let the manifest name files outside its folder.
        report: takes progress events.

    Returns:
        `out`.

    Raises:
        RequestError: the request cannot be carried out as it is; nothing was written.
    """
    import numpy as np

    from lowshot.data.dataset import write_features
    from lowshot.models.device import default_device
    from lowshot.models.embedding import USUAL, embed_blocks
    from lowshot.models.loaded import load_model

    check_new_folder(out)
    loaded = load_model(model)
    config = resolve_config(settings=settings, named={**sections, "data": data}, base=loaded.config)
    dataset = open_dataset(config.data, trust_paths=trust_paths, report=report)
    # Each medium is read once, so a cache gains nothing.
    reader = loaded.open_reader(dataset, cache_bytes=0)
    rows = {modality: np.arange(len(dataset.rows(modality))) for modality in MODALITIES}
    for modality, indices in rows.items():
        dataset.check_files(modality, indices)
    message(report, f"embed {dataset.name} with {loaded.name}")
    towers = loaded.towers.to(default_device())
    facts = {"init": loaded.name, **loaded.metadata}
    # Vectors have neither crops nor mirror images.
    for name in () if dataset.has_features else ("voice_crops", "mirror"):
        if (value := getattr(config.evaluate, name)) != getattr(USUAL, name):
            facts[name] = str(value)
    advance = counter(report, "embed", sum(len(indices) for indices in rows.values()), "file", brief=True)

    def blocks(modality: str) -> "Iterator[np.ndarray]":
        for block in embed_blocks(towers, reader, modality, rows[modality], config.evaluate):
            yield block
            advance(len(block))

    write_features(out, dataset, blocks("voice"), blocks("face"), facts)
    if loaded.trained is not None:
        shutil.copyfile(loaded.trained, out / loaded.trained.name)
    return out
