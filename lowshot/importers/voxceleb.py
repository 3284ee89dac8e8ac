"""VoxCeleb1 and VoxCeleb2 as published: a tree of voices, a tree of faces and a table of people."""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from lowshot.errors import RequestError
from lowshot.importers.collect import OUTSIDE, Key, Layout, Tree
from lowshot.importers.people import VOXCELEB1, VOXCELEB2, People, read_people, read_split_codes
from lowshot.importers.splits import Shares
from lowshot.importers.walk import Parts
from lowshot.importers.writing import Imported, Plan, check_out, import_trees
from lowshot.progress import Report, quiet
from lowshot.schema import IDENTITY_SPLITS

# A folder named by a scale, as `1.6`, may lie between the folders of a person and a video.
_SCALE = re.compile(r"\d+\.\d+")
# The older naming of voices, in a person's folder: `<video of 11 characters>_00<clip of 5 digits>.wav`.
_OLD_VOICE = re.compile(r"(.{11})_00\d{5}\.\w+", re.DOTALL)

CODES = {"1": "train", "2": "val", "3": "", "4": "test"}
"""Splits by the codes of identity_splits.txt. Code 3: held-out clips of training identities."""


def import_voxceleb1(
    faces: Path,
    voices: Path,
    meta: Path,
    out: Path,
    *,
    splits: Path | None = None,
    faces_per_video: int | None = None,
    report: Report = quiet,
) -> Imported:
    """Write a manifest of VoxCeleb1.

    Args:
        faces: folder with `<name>/1.6/<video>/*.jpg`, or any folder above it.
        voices: folder with `<id>/<video>/*.wav`, or in the older naming `<name>/<video>_00<clip>.wav`, or any folder
            above it.
        meta: `vox1_meta.csv`.
        out: the manifest to write.
        splits: `identity_splits.txt`; if None, the one beside `meta`.
        faces_per_video: keep at most so many faces of a video, evenly spaced.
        report: takes progress events.

    Raises:
        RequestError: a file is missing or not as published, or no video has both a voice and a face.

    Source:
        Nagrani, Albanie and Zisserman, Learnable PINs, 2018, splits people: 901 for training, 100 for validation and
        250 unseen and unheard. VoxCeleb1's own split for identification has every person in all parts.
    """
    check_out(out)
    people = read_people(meta, VOXCELEB1)
    beside = meta.with_name(IDENTITY_SPLITS)
    if splits is None and not beside.is_file():
        raise RequestError(
            f"`splits` is missing: give identity_splits.txt, the split of each person; none lies beside {meta}"
        )
    path = splits or beside
    if not path.is_file():
        raise RequestError(f"`splits` {path}: no such file")
    codes = read_split_codes(path, people.identity)
    unknown = sorted(set(codes.values()) - set(CODES))
    if unknown:
        raise RequestError(
            f"{path}: '{unknown[0]}' is not a split; write 1 for train, 2 for val, 3 for seen-heard or 4 for test"
        )
    split = {own: CODES[code] for own, code in codes.items()}
    trees = [
        Tree(voices, "voices", ("voice",), _layout(people.identity, split)),
        Tree(faces, "faces", ("face",), _layout(people.identity, split)),
    ]
    plan = Plan(
        lambda names: {name: split[name] for name in names},
        tuple(VOXCELEB1.attributes),
        lambda key: people.attributes[key[0]],
        plain=True,
        faces=faces_per_video,
    )
    return import_trees(trees, out, plan, report)


def import_voxceleb2(
    faces: Path,
    voices: Path,
    meta: Path,
    out: Path,
    *,
    val: float = 0.1,
    split_seed: int = 0,
    faces_per_video: int | None = None,
    report: Report = quiet,
) -> Imported:
    """Write a manifest of VoxCeleb2.

    The split `test` has the people of the published test set, and `val` a random share of the development set.

    Args:
        faces: folder with `<id>/<video>/*.jpg`, frames cut from the published videos. Folders may lie deeper.
        voices: folder with `<id>/<video>/*.m4a`, or the same in another format.
        meta: `vox2_meta.csv`.
        out: the manifest to write.
        val, split_seed: share of the people of the development set to validate on, and the seed of their choice.
        faces_per_video, report: as in `import_voxceleb1`.

    Raises:
        RequestError: as in `import_voxceleb1`.
    """
    check_out(out)
    people = read_people(meta, VOXCELEB2)
    for name, part in people.part.items():
        if part not in ("dev", "test"):
            raise RequestError(f"{meta}: {VOXCELEB2.part} of '{name}' is '{part}'; write dev or test")
    layout = _layout(people.identity)
    plan = Plan(
        lambda names: _split_parts(names, people, Shares(val, seed=split_seed)),
        tuple(VOXCELEB2.attributes),
        lambda key: people.attributes[key[0]],
        plain=True,
        faces=faces_per_video,
    )
    trees = [Tree(voices, "voices", ("voice",), layout), Tree(faces, "faces", ("face",), layout)]
    return import_trees(trees, out, plan, report)


def _split_parts(names: list[str], people: People, shares: Shares) -> dict[str, str]:
    developed = [name for name in names if people.part[name] == "dev"]
    drawn = shares.assign(developed) if developed else {}
    return {name: "test" if people.part[name] == "test" else drawn[name] or "train" for name in names}


def _layout(identity: Mapping[str, str], split: Collection[str] | None = None) -> Layout:
    """Make the layout `<person>/[<scale>/]<video>/...` below any folders, or the older naming of voices.

    Args:
        identity: the kept identifier by either naming of a person.
        split: people that are in the splits; all if None.
    """

    def read(parts: Parts, names: list[str]) -> Iterator[tuple[Key | str, list[str]]]:
        place = next((place for place, part in enumerate(parts) if part in identity), None)
        if place is None:
            yield OUTSIDE if len(parts) < 2 else "of an identity that is not in the meta file", names
            return
        own = identity[parts[place]]
        below = [part for part in parts[place + 1 :] if not _SCALE.fullmatch(part)]
        if split is not None and own not in split:
            yield "of an identity that is not in the splits file", names
        elif below:
            yield (own, below[0]), names
        else:
            yield from _old_voices(own, names)

    return read


def _old_voices(own: str, names: list[str]) -> Iterator[tuple[Key | str, list[str]]]:
    videos: dict[Key | str, list[str]] = {}
    for name in names:
        found = _OLD_VOICE.fullmatch(name)
        videos.setdefault((own, found.group(1)) if found else OUTSIDE, []).append(name)
    yield from videos.items()
