"""Trial lists as written: names of media, not rows."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.data.table_text import Rows
from lowshot.errors import RequestError
from lowshot.evaluation.sampling import IntArray
from lowshot.evaluation.trials import BoolArray
from lowshot.schema import DIRECTIONS, MODALITIES, SEEN, UNSEEN, VALIDATION

Names = npt.NDArray[np.object_]
OWN_FORM = "lowshot"
_STRATA = {"random": "U", "U": "U", "G": "G", "N": "N", "A": "A", "GN": "GN", "GNA": "GNA"}
_SEEN = ((r"unseen[-_]?unheard", UNSEEN), (r"seen[-_]?heard", SEEN), (r"validation", VALIDATION))


def names_of(texts: Sequence[str]) -> Names:
    """Texts as an array of objects, which cuts none of them."""
    return np.array(texts, dtype=object)


@dataclass(frozen=True, eq=False, kw_only=True)
class TrialList:
    """Base of all lists.

    Args:
        path: the file.
        form: who writes such lists: `lowshot`, `voxceleb1` or `mavceleb`.
        line: [T] the line of each trial in the file, from 1.
        stratum: what impostors share with the probe, as the file or its name says, else U.
        seen: `unseen-unheard`, `seen-heard` or `validation` if the file's name says so, else empty.
    """

    columns: ClassVar[tuple[str, ...]] = ()
    """Columns that lists of lowshot's own form have; empty: there is no such form."""

    path: Path
    form: str
    line: IntArray
    stratum: str = "U"
    seen: str = ""

    @classmethod
    def parse(cls, rows: Rows, table: Mapping[str, Names]) -> "list[TrialList]":
        """Read a list of lowshot's own form.

        Args:
            rows: the file.
            table: its columns by name.

        Returns:
            One list per stratum, direction or modality, in the order in which they appear.

        Raises:
            RequestError: names file and row of a fault.
        """
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.line)

    def media(self) -> list[tuple[str, Names]]:
        """Return modality and [T] names of each column of media; "" if none."""
        raise NotImplementedError

    @property
    def hides_labels(self) -> bool:
        """True if only the makers of a challenge know the labels."""
        return False

    def stated_identity(self) -> Names | None:
        """[T] identities of the media, if the list itself states them."""
        return None

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
    """Pairs with labels: [T] names of voices and faces, and labels."""

    columns: ClassVar[tuple[str, ...]] = ("voice", "face", "label")

    voice: Names
    face: Names
    label: BoolArray

    @classmethod
    def parse(cls, rows: Rows, table: Mapping[str, Names]) -> list[TrialList]:
        whole = cls(
            path=rows.path,
            form=OWN_FORM,
            line=rows.line[1:],
            seen=seen_of(rows.path.name),
            voice=table["voice"],
            face=table["face"],
            label=np.asarray(table["label"] == "1", dtype=bool),
        )
        check_labels(whole, table["label"].tolist())
        check_given(whole)
        return by_stratum(whole, table)

    def media(self) -> list[tuple[str, Names]]:
        return [("voice", self.voice), ("face", self.face)]


@dataclass(frozen=True, eq=False, kw_only=True)
class HiddenList(TrialList):
    """Pairs with hidden labels: [T] keys of the trials, voices and faces."""

    key: Names
    voice: Names
    face: Names

    @property
    def hides_labels(self) -> bool:
        return True

    def stated_identity(self) -> Names:
        # Such a list says nothing of people, whatever its paths look like.
        return names_of([""] * len(self))

    def media(self) -> list[tuple[str, Names]]:
        return [("voice", self.voice), ("face", self.face)]


@dataclass(frozen=True, eq=False, kw_only=True)
class MatchingList(TrialList):
    """1:N trials: [T] probes, [T] targets, and [T, N-1] impostors; the rest is empty."""

    columns: ClassVar[tuple[str, ...]] = ("direction", "probe", "target", "candidate_1")

    direction: str
    probe: Names
    target: Names
    impostors: Names

    @classmethod
    def parse(cls, rows: Rows, table: Mapping[str, Names]) -> list[TrialList]:
        names = [column for column in table if column.startswith("candidate_")]
        if names != [f"candidate_{place + 1}" for place in range(len(names))]:
            raise RequestError(
                f"{rows.path}: candidates must be in columns candidate_1 ... candidate_{len(names)}, in order"
            )
        impostors = np.stack([table[name] for name in names], axis=1)
        given = impostors != ""
        direction = table["direction"]
        for trial, line in enumerate(rows.line[1:].tolist()):
            if direction[trial] not in DIRECTIONS:
                raise RequestError(
                    f"{rows.path}, row {line}: direction '{direction[trial]}' is none of {', '.join(DIRECTIONS)}"
                )
        gap = ~given[:, 0] | (given[:, 1:] & ~given[:, :-1]).any(axis=1)
        if gap.any():
            line = rows.line[1:][gap][0]
            raise RequestError(f"{rows.path}, row {line}: a candidate is missing before the last one")
        # Only in names that `protocols build` gives is a word such as A known to be a stratum.
        named = stratum_of(rows.path.name) if rows.path.name.startswith("matching-") else None
        parts: list[TrialList] = []
        for way in dict.fromkeys(direction.tolist()):
            kept = np.asarray(direction == way, dtype=bool)
            part = cls(
                path=rows.path,
                form=OWN_FORM,
                line=rows.line[1:][kept],
                seen=seen_of(rows.path.name),
                direction=way,
                probe=table["probe"][kept],
                target=table["target"][kept],
                impostors=impostors[kept],
            )
            check_given(part)
            parts += by_stratum(part, {name: column[kept] for name, column in table.items()}, named)
        return parts

    def media(self) -> list[tuple[str, Names]]:
        probe, other = self.direction.split("_to_")
        return [(probe, self.probe), (other, self.target), *((other, column) for column in self.impostors.T)]


@dataclass(frozen=True, eq=False, kw_only=True)
class GalleryList(TrialList):
    """Items of one modality of a retrieval: [T] names and identities."""

    columns: ClassVar[tuple[str, ...]] = ("modality", "path", "identity")

    modality: str
    name: Names
    identity: Names

    @classmethod
    def parse(cls, rows: Rows, table: Mapping[str, Names]) -> list[TrialList]:
        parts: list[TrialList] = []
        for modality in dict.fromkeys(table["modality"].tolist()):
            kept = np.asarray(table["modality"] == modality, dtype=bool)
            part = cls(
                path=rows.path,
                form=OWN_FORM,
                line=rows.line[1:][kept],
                seen=seen_of(rows.path.name),
                modality=modality,
                name=table["path"][kept],
                identity=table["identity"][kept],
            )
            if modality not in MODALITIES:
                raise RequestError(f"{part.place(0)}: modality '{modality}' is none of {', '.join(MODALITIES)}")
            check_given(part)
            parts.append(part)
        return parts

    def stated_identity(self) -> Names:
        return self.identity

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


def check_given(listed: TrialList) -> None:
    """Refuse trials without a medium; candidates may be missing at the end.

    Raises:
        RequestError: names the first, with file and row.
    """
    for modality, names in listed.media()[:2]:
        empty = names == ""
        if empty.any():
            raise RequestError(f"{listed.place(int(empty.argmax()))}: the name of a {modality} is empty")


def by_stratum(whole: TrialList, table: Mapping[str, Names], named: str | None = None) -> list[TrialList]:
    """Split a list by its column `stratum`.

    Args:
        whole: the list.
        table: its columns.
        named: the stratum of a list without that column; None: U.

    Raises:
        RequestError: an empty stratum.
    """
    if "stratum" not in table:
        return [replace(whole, stratum=named or "U")]
    stratum = table["stratum"]
    if (stratum == "").any():
        raise RequestError(f"{whole.place(int((stratum == '').argmax()))}: the stratum is empty; U asks nothing")
    return [
        replace(whole.take(np.asarray(stratum == name, dtype=bool)), stratum=name)
        for name in dict.fromkeys(stratum.tolist())
    ]


def duplicated(*columns: Names | IntArray) -> BoolArray:
    """[T] which trials repeat an earlier one."""
    codes = {place: pd.factorize(column)[0] for place, column in enumerate(columns)}
    return np.asarray(pd.DataFrame(codes).duplicated())


def stratum_of(name: str) -> str | None:
    """Read the stratum in a file's name, such as `matching_v2f_GN.csv`, else None."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", PurePosixPath(name).stem) if word in _STRATA]
    return _STRATA[words[-1]] if words else None


def seen_of(name: str) -> str:
    """Read the population in a file's name, such as `..._seenheard.txt`, else ""."""
    return next((seen for pattern, seen in _SEEN if re.search(pattern, name.lower())), "")
