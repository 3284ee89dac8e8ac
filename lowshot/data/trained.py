"""The list of videos that a model learned from: it lies beside the weights, so that none counts as unseen."""

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
        videos: videos that it learns from.
        before: list of the model that it starts from; its videos are added.
    """
    table = pd.DataFrame({"video": videos.names, "identity": videos.identities})
    if before is not None:
        table = pd.concat([read_trained(before), table]).drop_duplicates()
    write_text(folder / TRAINED, table.to_csv(index=False, lineterminator="\n"))


def read_trained(path: Path) -> pd.DataFrame:
    """Read a list: columns `video` and `identity`; an unknown identity is "".

    Raises:
        RequestError: the file is damaged.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        return table[list(TRAINED_COLUMNS)]
    except (ValueError, KeyError, OSError) as error:
        raise RequestError(f"{path}: is damaged; make the model anew") from error


def refuse_trained(path: Path, model: str, dataset: Dataset, split: str, same_data: bool) -> None:
    """Refuse to evaluate a model on videos or people that it learned from.

    Names of videos are compared across datasets. Names of people are compared only within one dataset, because two
    datasets may give two people one name.

    Args:
        path: the model's list.
        model: its name in the message.
        dataset: dataset of the evaluation.
        split: split of the evaluation.
        same_data: whether the model learned from this dataset, or an earlier state of it.

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
                f"{'videos' if column == 'video' else 'identities'} of split '{split}', as {column} '{known[0]}'; "
                "they are not unseen. Pretrain again on the data with these splits"
            )
