"""The training curves that belong to a table of results."""

from pathlib import Path

import pandas as pd


def pretraining_curves(directory: Path, results: pd.DataFrame) -> dict[str, Path]:
    """Logs of the pretraining runs in a directory, by the runs' names.

    Args:
        directory: of `lowshot demo`, which may also hold runs of seeds that were asked for another time.
        results: in the columns of results.csv; the runs of its `train_seed` values count.
    """
    return {
        path.parent.name: path
        for seed in sorted(results["train_seed"].dropna().unique())
        for path in sorted(directory.glob(f"pretrain-*-seed{int(seed)}/metrics.csv"))
    }
