"""Find rows of a dataset by path, or by identity, video and clip."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.trial_lists.listed import TrialList
from lowshot.evaluation.trial_lists.vox_names import Medium, VoxMeta, parse_medium
from lowshot.evaluation.trials import BoolArray, row_names

ABSENT = -1
UNKNOWN = -2
_AMBIGUOUS = -3
# How many missing media a message names.
_SHOWN = 10


class MediaIndex:
    """Rows of a dataset by the names that lists use.

    A name is looked up as the manifest writes it. Otherwise it is read as a path of VoxCeleb (`vox_names`): the row of
    the same identity, video and number is meant, whatever folders lead to it, whichever naming either side uses, and
    whatever the file's ending.

    Args:
        dataset: whose rows are meant.
        meta: who is who in the two namings of people; without it, names of people must be the same on both sides.
        on_disk: a row whose file does not exist counts as unknown.
    """

    def __init__(self, dataset: Dataset, meta: VoxMeta | None = None, on_disk: bool = False) -> None:
        self.dataset = dataset
        self.meta = meta
        self._on_disk = on_disk
        self._by_name = cache(self._index_names)
        self._by_medium = cache(self._index_media)
        # A medium is looked for once, in however many lists it stands.
        self._row = cache(self._find)

    def locate(self, listed: TrialList) -> list[IntArray]:
        """Find the rows of all media that a list names.

        Returns:
            For each column of `listed.media()`, [T] row numbers: UNKNOWN where the dataset has no such medium, ABSENT
            where the trial names none.

        Raises:
            RequestError: a name that several rows answer to.
        """
        return [self._rows(listed, modality, names.tolist()) for modality, names in listed.media()]

    def _rows(self, listed: TrialList, modality: str, names: Sequence[str]) -> IntArray:
        found = {name: self._row(modality, name) for name in dict.fromkeys(names)}
        rows = np.array([found[name] for name in names], dtype=np.int64)
        if (rows == _AMBIGUOUS).any():
            trial = int((rows == _AMBIGUOUS).argmax())
            raise RequestError(
                f"{listed.place(trial)}: several {modality} rows of {self.dataset.name} answer to '{names[trial]}'; "
                "write their paths as the manifest does"
            )
        return rows

    def _find(self, modality: str, name: str) -> int:
        if not name:
            return ABSENT
        row = self._by_name(modality).get(name)
        if row is None:
            medium = parse_medium(modality, name, self.meta)
            row = UNKNOWN if medium is None else self._by_medium(modality).get(medium, UNKNOWN)
        if row >= 0 and self._on_disk and not self.dataset.path(modality, row).is_file():
            return UNKNOWN
        return row

    def _index_names(self, modality: str) -> dict[str, int]:
        # Of rows with one path the first is meant.
        return {name: row for row, name in reversed(list(enumerate(row_names(self.dataset, modality))))}

    def _index_media(self, modality: str) -> dict[Medium, int]:
        index: dict[Medium, int] = {}
        for name, row in self._by_name(modality).items():
            medium = parse_medium(modality, name, self.meta)
            if medium is not None:
                index[medium] = _AMBIGUOUS if medium in index else row
        return index


def complete(rows: Sequence[IntArray]) -> BoolArray:
    """Mark trials whose media are all in the dataset: [T]."""
    kept: BoolArray = np.logical_and.reduce([column != UNKNOWN for column in rows])
    return kept


def refuse_missing(lists: Sequence[TrialList], located: Sequence[Sequence[IntArray]], index: MediaIndex) -> None:
    """Refuse lists that name media the dataset lacks.

    Raises:
        RequestError: counts all of them, names the first ten with file and row, and says what helps.
    """
    first: dict[tuple[str, Medium | str], str] = {}
    trials = incomplete = 0
    for listed, rows in zip(lists, located, strict=True):
        missing = ~complete(rows)
        trials += len(listed)
        incomplete += int(missing.sum())
        media = listed.media()
        for trial in np.flatnonzero(missing).tolist():
            for (modality, names), column in zip(media, rows, strict=True):
                if column[trial] == UNKNOWN:
                    name = names[trial]
                    # A medium that stands in two lists under two names is one.
                    medium = parse_medium(modality, name, index.meta) or name
                    first.setdefault((modality, medium), f"{modality} '{name}' ({listed.place(trial)})")
    if not first:
        return
    shown = "; ".join(list(first.values())[:_SHOWN])
    more = f"; and {len(first) - _SHOWN:,} more" if len(first) > _SHOWN else ""
    needs_meta = index.meta is None and any(listed.form == "voxceleb1" for listed in lists)
    hint = "; name VoxCeleb's table of people, vox1_meta.csv, as `meta`" if needs_meta else ""
    raise RequestError(
        f"{index.dataset.name} lacks {len(first):,} of the media that the lists name, in {incomplete:,} of {trials:,} "
        f"trials: {shown}{more}{hint}; nothing is scored; `skip_missing` skips these trials"
    )
