"""Names of VoxCeleb: identity, video and clip in a path, and both namings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lowshot.data.dataset import Dataset
from lowshot.importers.people import VOXCELEB1, read_people, read_split_codes
from lowshot.schema import IDENTITY_SPLITS, VOX1_META

_TRAIN = "1"

# `<identity>/<video of 11 characters>_00<clip of 5 digits>.wav`, the older naming of voices. A video's own name may
# hold `_` and `-`, so it is cut by its length.
_OLD_VOICE = re.compile(r"(?:^|/)([^/]+)/([^/]{11})_00(\d{5})\.\w+$")
# `<identity>/<video>/<digits>.<ending>`; faces may have the folder of a scale, as in `1.6`, in between.
_VOICE = re.compile(r"(?:^|/)([^/]+)/([^/]+)/(\d+)\.\w+$")
_FACE = re.compile(r"(?:^|/)([^/]+)/(?:\d+\.\d+/)?([^/]+)/(\d+)\.\w+$")
_FORMS = {"voice": (_OLD_VOICE, _VOICE), "face": (_FACE,)}


class Medium(NamedTuple):
    """Identity, video and number of a medium, from a path of VoxCeleb."""

    identity: str
    video: str
    number: int


@dataclass(frozen=True, eq=False)
class VoxMeta:
    """`vox1_meta.csv`, and `identity_splits.txt` if it lies beside it.

    Args:
        path: the table.
        identity: VoxCeleb1 ID of either naming of a person.
        gender, nationality: by VoxCeleb1 ID.
        trained: VoxCeleb1 IDs of the identities that the splits train on; None without splits.
    """

    path: Path
    identity: Mapping[str, str]
    gender: Mapping[str, str]
    nationality: Mapping[str, str]
    trained: frozenset[str] | None

    def canonical(self, identity: str) -> str:
        """Return a person's VoxCeleb1 ID; an unknown name stays unchanged."""
        return self.identity.get(identity, identity)


def parse_medium(modality: str, name: str, meta: VoxMeta | None) -> Medium | None:
    """Read a path of VoxCeleb1 or VoxCeleb2, in either naming.

    It may have leading folders.

    Args:
        modality: `voice` or `face`.
        name: the path.
        meta: gives either naming of a person one name; without it, identities are as the path writes them.

    Returns:
        What equal media have in common, however they are named; None for a path of another form.
    """
    for form in _FORMS[modality]:
        found = form.search(name)
        if found:
            identity, video, number = found.groups()
            return Medium(meta.canonical(identity) if meta else identity, video, int(number))
    return None


def read_meta(path: Path) -> VoxMeta:
    """Read `vox1_meta.csv`.

    Raises:
        RequestError: the file is unreadable, lacks a column, or names a person twice.
    """
    people = read_people(path, VOXCELEB1)
    gender, nationality = ({own: of[i] for own, of in people.attributes.items()} for i in (0, 1))
    splits = path.with_name(IDENTITY_SPLITS)
    trained = None
    if splits.is_file():
        codes = read_split_codes(splits, people.identity)
        trained = frozenset(own for own, code in codes.items() if code == _TRAIN)
    return VoxMeta(path, people.identity, gender, nationality, trained)


def find_meta(path: Path | None, dataset: Dataset | None) -> VoxMeta | None:
    """Read the table at `path`, else one beside the dataset's manifest."""
    if path is not None:
        return read_meta(path)
    beside = None if dataset is None else dataset.manifest_path.with_name(VOX1_META)
    return read_meta(beside) if beside is not None and beside.is_file() else None
