"""Labelled subsets on disk: lists to freeze and cite, and their recipe.

The recipe reproduces the lists.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ValidationError

from lowshot import __version__
from lowshot.adapt.subsets import Unit, Variant, draw_subset, labels_sha, training_videos
from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.files import atomic_path, bundled_folder, write_text
from lowshot.schema import RECIPE

FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0)
"""The default label fractions of frozen lists."""


class Pool(BaseModel):
    """The size of the pool that subsets are drawn from."""

    identities: int
    videos: int

    def __str__(self) -> str:
        return f"{self.identities} training identities with {self.videos} videos"


class Listed(Pool):
    """The content of one list, and the hash of its bytes."""

    fraction: float
    seed: int
    sha256: str


class Recipe(BaseModel):
    """The data and the rule of the lists beside it."""

    lowshot: str
    data: str
    data_sha: str
    labels_sha: str
    unit: Unit
    variant: Variant
    training: Pool
    lists: dict[str, Listed]


def list_name(fraction: float, seed: int) -> str:
    """File name of a list: per cent and seed, as in `per01-seed0.csv`."""
    percent = f"{100 * Decimal(str(fraction)):f}"
    if "." in percent:
        percent = percent.rstrip("0").rstrip(".")
    return f"per{percent.zfill(2)}-seed{seed}.csv"


def list_bytes(rows: Sequence[Sequence[str]], unit: Unit) -> bytes:
    """A subset as CSV in UTF-8 with Unix line ends.

    The columns are `identity`, and `video` in a subset of videos.
    """
    columns = ["identity"] if unit == "identity" else ["identity", "video"]
    return pd.DataFrame(list(rows), columns=columns).to_csv(index=False, lineterminator="\n").encode()


def write_subsets(
    out: Path, dataset: Dataset, fractions: Sequence[float], seeds: Sequence[int], unit: Unit, variant: Variant
) -> list[Path]:
    """Write labelled subsets of a dataset as lists, with `recipe.json`.

    Equal requests write equal bytes.

    Args:
        out: the directory.
        dataset: whose training identities are labelled.
        fractions, seeds: a list for each pair of them.
        unit, variant: as in `draw_subset`.

    Returns:
        The files written, the recipe last.

    Raises:
        RequestError: see `draw_subset`; nothing was written.
    """
    videos = training_videos(dataset.manifest)
    per_identity = videos["identity"].value_counts()
    drawn = {
        list_name(fraction, seed): draw_subset(dataset.manifest, fraction, seed, unit, variant, "fractions")
        for fraction in fractions
        for seed in seeds
    }
    lists = {}
    for name, subset in drawn.items():
        data = list_bytes(subset.rows, unit)
        with atomic_path(out / name) as temporary:
            temporary.write_bytes(data)
        lists[name] = Listed(
            identities=len(subset.identities),
            videos=len(subset) if unit == "video" else int(per_identity[subset.identities].sum()),
            fraction=subset.fraction,
            seed=int(subset.seed or 0),
            sha256=hashlib.sha256(data).hexdigest(),
        )
    recipe = Recipe(
        lowshot=__version__,
        data=dataset.name,
        data_sha=dataset.sha,
        labels_sha=labels_sha(dataset.manifest, variant),
        unit=unit,
        variant=variant,
        training=Pool(identities=len(per_identity), videos=len(videos)),
        lists=lists,
    )
    write_text(out / RECIPE, recipe.model_dump_json(indent=2) + "\n")
    return [*(out / name for name in drawn), out / RECIPE]


def read_recipe(folder: Path) -> Recipe | None:
    """Read the recipe of labelled subsets in a folder; None without one.

    A recipe of other lists gives None too.

    Raises:
        RequestError: the file is damaged.
    """
    path = folder / RECIPE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        # Trial lists have recipes too.
        return Recipe.model_validate(content) if "labels_sha" in content else None
    except ValidationError as error:
        first = error.errors()[0]
        fault = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (ValueError, TypeError) as error:
        fault = f"not JSON: {error}"
    raise RequestError(f"{path}: is damaged ({fault}); draw its lists again with `lowshot protocols subsets`")


def frozen_subsets() -> Iterator[tuple[Path, Recipe]]:
    """The folders of labelled subsets that come with lowshot, and their recipes."""
    for folder in sorted(path for path in bundled_folder("protocols").iterdir() if path.is_dir()):
        if (recipe := read_recipe(folder)) is not None:
            yield folder, recipe
