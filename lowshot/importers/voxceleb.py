"""VoxCeleb1 and VoxCeleb2 as they are published: a tree of voices, a tree of faces, and a table of people."""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from lowshot.errors import RequestError
from lowshot.importers.collect import OUTSIDE, Key, Layout, Tree
from lowshot.importers.people import VOXCELEB1, VOXCELEB2, People, read_people, read_split_codes
from lowshot.importers.skipped import Skipped
from lowshot.importers.splits import Shares
from lowshot.importers.walk import Parts, Progress
from lowshot.importers.writing import Imported, Plan, check_out, import_trees
from lowshot.schema import IDENTITY_SPLITS

# The folder of a scale, as in `1.6`, may stand between a person and a video.
_SCALE = re.compile(r"\d+\.\d+")
# `<video of 11 characters>_00<clip of 5 digits>.wav` in the folder of a person: the older naming of voices.
_OLD_VOICE = re.compile(r"(.{11})_00\d{5}\.\w+", re.DOTALL)

CODES = {"1": "train", "2": "val", "3": "", "4": "test"}
"""Splits by the codes of identity_splits.txt. Code 3 is for held-out clips of people that are trained on."""


def import_voxceleb1(
    faces: Path,
    voices: Path,
    meta: Path,
    splits: Path | None,
    out: Path,
    faces_per_video: int | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Write a manifest of VoxCeleb1.

    Args:
        faces: folder with `<name>/1.6/<video>/*.jpg`, or any folder above it, as are `voices`.
        voices: folder with `<id>/<video>/*.wav`, or in the older naming `<name>/<video>_00<clip>.wav`.
        meta: `vox1_meta.csv`.
        splits: `identity_splits.txt`; when None, the one beside `meta`.
        out: the manifest to write.
        faces_per_video: how many faces of a video are kept at most, evenly spaced.
        progress: called with the number of files of each folder.

    Raises:
        RequestError: a file is missing or not as published, or no video has both a voice and a face.

    Source:
        Nagrani, Albanie and Zisserman, Learnable PINs, 2018: people are split, 901 to train on, 100 to validate on and
        250 unseen and unheard. VoxCeleb1's own split for identification has every person in all parts.
    """
    check_out(out)
    people = read_people(meta, VOXCELEB1)
    beside = meta.with_name(IDENTITY_SPLITS)
    if splits is None and not beside.is_file():
        raise RequestError(
            f"--splits: give identity_splits.txt, who is trained and who is tested on; none is beside {meta}"
        )
    path = splits or beside
    if not path.is_file():
        raise RequestError(f"--splits {path}: no such file")
    codes = read_split_codes(path, people.identity)
    unknown = sorted(set(codes.values()) - set(CODES))
    if unknown:
        raise RequestError(f"{path}: '{unknown[0]}' is no split; 1 is train, 2 val, 3 seen-heard and 4 test")
    split = {own: CODES[code] for own, code in codes.items()}
    trees = [
        Tree(voices, "--voices", ("voice",), _layout(people.identity, split)),
        Tree(faces, "--faces", ("face",), _layout(people.identity, split)),
    ]
    plan = Plan(
        lambda names: {name: split[name] for name in names},
        tuple(VOXCELEB1.attributes),
        lambda key: people.attributes[key[0]],
        plain=True,
        faces=faces_per_video,
    )
    return import_trees(trees, out, plan, Skipped(), progress)


def import_voxceleb2(
    faces: Path,
    voices: Path,
    meta: Path,
    out: Path,
    shares: Shares,
    faces_per_video: int | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Write a manifest of VoxCeleb2.

    The people of its test set are those of `test`; a share of the others, drawn by a seed, are those of `val`.

    Args:
        faces: folder with `<id>/<video>/*.jpg`, frames cut from the published films; folders may lie deeper.
        voices: folder with `<id>/<video>/*.m4a`, or converted to another kind.
        meta: `vox2_meta.csv`.
        out: the manifest to write.
        shares: its `val` of the people of the development set are held out.
        faces_per_video, progress: as in `import_voxceleb1`.

    Raises:
        RequestError: as in `import_voxceleb1`.
    """
    check_out(out)
    people = read_people(meta, VOXCELEB2)
    for name, part in people.part.items():
        if part not in ("dev", "test"):
            raise RequestError(f"{meta}: {VOXCELEB2.part} of '{name}' is '{part}', which is neither dev nor test")
    layout = _layout(people.identity)
    plan = Plan(
        lambda names: _split_parts(names, people, shares),
        tuple(VOXCELEB2.attributes),
        lambda key: people.attributes[key[0]],
        plain=True,
        faces=faces_per_video,
    )
    trees = [Tree(voices, "--voices", ("voice",), layout), Tree(faces, "--faces", ("face",), layout)]
    return import_trees(trees, out, plan, Skipped(), progress)


def _split_parts(names: list[str], people: People, shares: Shares) -> dict[str, str]:
    developed = [name for name in names if people.part[name] == "dev"]
    drawn = shares.draw(developed) if developed else {}
    return {name: "test" if people.part[name] == "test" else drawn[name] or "train" for name in names}


def _layout(identity: Mapping[str, str], split: Collection[str] | None = None) -> Layout:
    """Read `<person>/[<scale>/]<video>/...` below any folders, and the older naming of voices.

    Args:
        identity: the kept identifier of either naming of a person.
        split: people with a place in the splits; all when None.
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
