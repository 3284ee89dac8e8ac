"""metrics.csv: one row per logged step, appended as the run goes."""

import csv
import os
from pathlib import Path

COLUMNS = (
    "step",
    "epoch",
    "learning_rate",
    "loss",
    "loss_instance",
    "loss_prototype",
    "mean_weight",
    "clustered",
    "val_auc",
)


class MetricsLog:
    """Appends rows; a resumed run first cuts off what was written after its checkpoint.

    Args:
        path: the file; made with its header when `size` is 0.
        size: bytes to keep, as `sync` gave them when the checkpoint was taken.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("r+" if size else "w", encoding="utf-8", newline="")
        self._file.truncate(size)
        self._file.seek(size)
        self._writer = csv.DictWriter(self._file, COLUMNS, restval="", lineterminator="\n")
        if not size:
            self._writer.writeheader()

    def write(self, row: dict[str, float | int | str]) -> None:
        """Append a row; columns it lacks stay empty. Floats are written so that they read back exactly."""
        self._writer.writerow(row)
        self._file.flush()

    def sync(self) -> int:
        """Bring what was written to the disk and return its size in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
