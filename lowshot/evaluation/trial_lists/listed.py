"""Trial lists as they are written: names of media, not yet rows of a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lowshot.errors import RequestError
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.trials import BoolArray

Names = npt.NDArray[np.object_]


def names_of(texts: Sequence[str]) -> Names:
    """Texts as an array of objects, which never cuts them."""
    return np.array(texts, dtype=object)


@dataclass(frozen=True, eq=False, kw_only=True)
class TrialList:
    """What all lists have.

    Args:
        path: the file.
        form: who writes such lists: `lowshot`, `voxceleb1` or `mavceleb`.
        line: [T] the line of each trial in the file, from 1.
        stratum: what impostors share with the probe, as the file or its name says; U where neither does.
        seen: `unseen-unheard`, `seen-heard` or `validation` where the file's name says so, else empty.
    """

    path: Path
    form: str
    line: IntArray
    stratum: str = "U"
    seen: str = ""

    def __len__(self) -> int:
        return len(self.line)

    def media(self) -> list[tuple[str, Names]]:
        """The media that trials name, column by column: modality and [T] names, empty where a trial has none."""
        raise NotImplementedError

    def take(self, kept: BoolArray) -> Self:
        """The list of the trials marked in [T]."""
        cut: dict[str, Any] = {
            field.name: value[kept]
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), np.ndarray)
        }
        return replace(self, **cut)

    def place(self, trial: int) -> str:
        """Where a trial stands: file and row, for a message."""
        return f"{self.path}, row {self.line[trial]}"


@dataclass(frozen=True, eq=False, kw_only=True)
class VerificationList(TrialList):
    """Pairs with their labels: [T] names of voices and faces, and whether both are of one identity."""

    voice: Names
    face: Names
    label: BoolArray

    def media(self) -> list[tuple[str, Names]]:
        return [("voice", self.voice), ("face", self.face)]


@dataclass(frozen=True, eq=False, kw_only=True)
class HiddenList(TrialList):
    """Pairs whose labels only the makers of a challenge know: [T] keys that name the trials, voices and faces."""

    key: Names
    voice: Names
    face: Names

    def media(self) -> list[tuple[str, Names]]:
        return [("voice", self.voice), ("face", self.face)]


@dataclass(frozen=True, eq=False, kw_only=True)
class MatchingList(TrialList):
    """1:N trials: [T] probes, [T] targets, and [T, N-1] impostors, empty from where a probe has no more."""

    direction: str
    probe: Names
    target: Names
    impostors: Names

    def media(self) -> list[tuple[str, Names]]:
        probe, other = self.direction.split("_to_")
        return [(probe, self.probe), (other, self.target), *((other, column) for column in self.impostors.T)]


@dataclass(frozen=True, eq=False, kw_only=True)
class GalleryList(TrialList):
    """The items of one modality of a retrieval: [T] names and the identities that the list gives them."""

    modality: str
    name: Names
    identity: Names

    def media(self) -> list[tuple[str, Names]]:
        return [(self.modality, self.name)]


def check_labels(listed: TrialList, labels: list[str]) -> None:
    """Refuse labels other than 0 and 1.

    Raises:
        RequestError: names the first, with file and row.
    """
    for trial, label in enumerate(labels):
        if label not in ("0", "1"):
            raise RequestError(f"{listed.place(trial)}: label '{label}' is neither 0 nor 1")
