"""Which videos a model learned from: a list beside its weights, so that none of them is ever taken for unseen."""

from pathlib import Path

import pandas as pd

from lowshot.data.dataset import Dataset
from lowshot.data.pairs import Videos
from lowshot.errors import RequestError
from lowshot.files import write_text
from lowshot.schema import TRAINED, TRAINED_COLUMNS


def write_trained(folder: Path, videos: Videos, before: Path | None = None) -> None:
    """Write the list of a run.

    Args:
        folder: of the run.
        videos: what it learns from.
        before: the list of the model that it began with; its videos are learned from as well.
    """
    table = pd.DataFrame({"video": videos.names, "identity": videos.identities})
    if before is not None:
        table = pd.concat([read_trained(before), table]).drop_duplicates()
    write_text(folder / TRAINED, table.to_csv(index=False, lineterminator="\n"))


def read_trained(path: Path) -> pd.DataFrame:
    """Read such a list: columns video and identity, the latter empty where it was not known.

    Raises:
        RequestError: the file is damaged.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        return table[list(TRAINED_COLUMNS)]
    except (ValueError, KeyError, OSError) as error:
        raise RequestError(f"{path}: is no list of videos as a run writes it; make the model anew") from error


def refuse_trained(path: Path, model: str, dataset: Dataset, split: str, same_data: bool) -> None:
    """Refuse to measure a model on what it learned from.

    Two datasets may name different people alike, but hardly two videos: identities are compared within one alone.

    Args:
        path: the model's list.
        model: what to call it.
        dataset: what it is to be measured on.
        split: whose rows are taken for unseen.
        same_data: whether this is the dataset that the model learned from, or what has become of it.

    Raises:
        RequestError: a video of the split is on the list or, in the same dataset, one of its identities.
    """
    learned, rows = read_trained(path), dataset.manifest[dataset.manifest["split"] == split]
    for column in TRAINED_COLUMNS if same_data else TRAINED_COLUMNS[:1]:
        names = rows.loc[rows[column] != "", column].unique()
        known = names[pd.Index(names).isin(learned[column])]
        if len(known):
            raise RequestError(
                f"{dataset.manifest_path}: {model} learned from {len(known)} of the {len(names)} "
                f"{'videos' if column == 'video' else 'identities'} of split '{split}', as {column} '{known[0]}': "
                "what it makes of them says nothing about unseen people; pretrain again on the data with these splits"
            )
