"""Reading of lists of labelled identities or videos.

Names are looked up in the dataset, and lists that would leak held-out identities are refused.
"""

import hashlib
from pathlib import Path

import pandas as pd

from lowshot.adapt.subset_lists import Pool, Recipe, list_bytes, read_recipe
from lowshot.adapt.subsets import Subset, Unit, labels_sha, training_videos
from lowshot.data.dataset import Dataset
from lowshot.data.table_text import Rows, read_columns
from lowshot.errors import RequestError
from lowshot.schema import MODALITIES


def read_subset(path: Path, dataset: Dataset) -> tuple[Subset, str]:
    """Read a list of labelled identities or videos for a dataset.

    If the `recipe.json` beside it names the list, the list must be unchanged. It must also come from the same training
    videos of the same people. Names alone are not enough, because two datasets may both have an `id10001`. A list
    without a recipe is matched by names only.

    Args:
        path: CSV with the column `identity`, and `video` if videos are labelled; other columns are ignored.
        dataset: the dataset of the training identities.

    Returns:
        The labelled subset: its fraction is the list's share, its seed that of the recipe. And a warning if something
        could not be checked or differs without harm, else "".

    Raises:
        RequestError: the file cannot be read, lacks a column or has a duplicate row; it was changed or drawn from other
            data; it names an identity or a video that is unknown, not of split train or without both modalities, or a
            video of another identity; or it labels fewer than two identities. Names file and row.
    """
    listed = read_columns(path, "list of labelled identities")
    unit, rows = _named(listed)
    sha = hashlib.sha256(list_bytes(rows, unit)).hexdigest()
    recipe = read_recipe(path.parent)
    entry = recipe.lists.get(path.name) if recipe else None
    warning = f"{path}: no recipe says which data it was drawn from; it is matched by names only"
    if recipe and entry:
        if sha != entry.sha256:
            raise RequestError(
                f"{path}: its rows or their order differ from its recipe; restore the original list, or give your own "
                "list another name"
            )
        warning = _check_origin(path, recipe, dataset)
    videos = training_videos(dataset.manifest)
    check = _Checker(path, dataset, videos)
    for line, row in zip(listed.line[1:].tolist(), rows, strict=True):
        check.identity(line, row[0])
        if unit == "video":
            check.video(line, *row)
    if len({row[0] for row in rows}) < 2:
        raise RequestError(f"{path}: labels fewer than 2 identities, but adaptation needs at least 2; list more")
    total = len(videos) if unit == "video" else videos["identity"].nunique()
    return Subset(unit, rows, len(rows) / total, total, entry.seed if entry else None, path.stem, sha), warning


def _named(listed: Rows) -> tuple[Unit, tuple[tuple[str, ...], ...]]:
    """The unit of a list, and its rows as in `Subset`."""
    header = [name.strip() for name in listed.fields[0]]
    for column in ("identity", "video"):
        if header.count(column) > 1:
            raise RequestError(f"{listed.path}: column '{column}' occurs twice")
    if "identity" not in header:
        raise RequestError(
            f"{listed.path}: column 'identity' is missing; name a list with the column identity, and video "
            "if it labels single videos"
        )
    columns = [name for name in ("identity", "video") if name in header]
    places = [header.index(name) for name in columns]
    rows = tuple(tuple(row[place] for place in places) for row in listed.fields[1:])
    seen: dict[tuple[str, ...], int] = {}
    for line, row in zip(listed.line[1:].tolist(), rows, strict=True):
        for column, value in zip(columns, row, strict=True):
            if not value:
                raise RequestError(f"{listed.path}, row {line}: {column} is empty")
        if row in seen:
            raise RequestError(
                f"{listed.path}, row {line}: {columns[-1]} '{row[-1]}' is also in row {seen[row]}; remove one"
            )
        seen[row] = line
    return ("video" if "video" in columns else "identity"), rows


def _check_origin(path: Path, recipe: Recipe, dataset: Dataset) -> str:
    """Refuse a list of other people or videos.

    Returns:
        A warning that other parts of the data differ, or "".
    """
    origin = f"{path}: was drawn from {recipe.data} (data {recipe.data_sha})"
    if labels_sha(dataset.manifest, recipe.variant) != recipe.labels_sha:
        videos = training_videos(dataset.manifest)
        here = Pool(identities=videos["identity"].nunique(), videos=len(videos))
        differ = f"{recipe.training} there, {here} here"
        if recipe.training == here:
            differ = (
                "the same number of training identities and videos, but others, or with other genders or nationalities"
            )
        raise RequestError(
            f"{origin}, this is {dataset.name} (data {dataset.sha}): {differ}; draw lists for this dataset with "
            "`lowshot protocols subsets`"
        )
    if dataset.sha == recipe.data_sha:
        return ""
    return f"{origin}; {dataset.name} (data {dataset.sha}) differs, but not in training videos, people and attributes"


class _Checker:
    """Checker of the names in a list.

    Args:
        path: the list, for messages.
        dataset: the dataset that has the names.
        videos: the result of `training_videos`.
    """

    def __init__(self, path: Path, dataset: Dataset, videos: pd.DataFrame) -> None:
        self.path = path
        self.dataset = dataset
        self.labelled = set(videos["identity"])
        self.owner = dict(zip(videos["video"], videos["identity"], strict=True))

    def identity(self, line: int, name: str) -> None:
        """Refuse an identity that cannot be labelled."""
        if name in self.labelled:
            return
        self._refuse(line, f"identity '{name}'", self.dataset.manifest[self.dataset.manifest["identity"] == name])

    def video(self, line: int, identity: str, name: str) -> None:
        """Refuse a video that cannot be labelled with an identity."""
        if self.owner.get(name) == identity:
            return
        rows = self.dataset.manifest[self.dataset.manifest["video"] == name]
        owners = sorted(set(rows["identity"]) - {""})
        if owners and identity not in owners:
            raise RequestError(
                f"{self.path}, row {line}: video '{name}' is of identity '{owners[0]}', not '{identity}'"
            )
        self._refuse(line, f"video '{name}'", rows)

    def _refuse(self, line: int, what: str, rows: pd.DataFrame) -> None:
        """Refuse a name, and say why it cannot be labelled."""
        if rows.empty:
            fault = f"is not in {self.dataset.manifest_path}"
        elif held_out := sorted(set(rows["split"]) & {"val", "test"}):
            fault = f"is of split {held_out[0]}; labelling it would leak held-out data"
        elif not (trained := rows[rows["split"] == "train"]).empty:
            missing = [modality for modality in MODALITIES if modality not in set(trained["modality"])]
            fault = f"has no {missing[0]} in split train" if missing else "has no training video with voice and face"
        else:
            fault = "has no row of split train"
        raise RequestError(f"{self.path}, row {line}: {what} {fault}")
