"""MAV-Celeb, the dataset of the FAME challenges: each person speaks two languages."""

from collections.abc import Iterator
from pathlib import Path

from lowshot.importers.collect import OUTSIDE, Key, Tree
from lowshot.importers.people import MAVCELEB, read_people
from lowshot.importers.splits import Shares
from lowshot.importers.walk import Parts
from lowshot.importers.writing import Imported, Plan, check_out, import_trees
from lowshot.progress import Report, quiet

_GENDERS = {"male": "m", "female": "f"}


def import_mavceleb(
    faces: Path,
    voices: Path,
    out: Path,
    *,
    meta: Path | None = None,
    val: float = 0.0,
    test: float = 0.0,
    split_seed: int = 0,
    faces_per_video: int | None = None,
    report: Report = quiet,
) -> Imported:
    """Write a manifest of the training part of one version of MAV-Celeb, with a column `language`.

    The test parts of the challenges have no identities: `lowshot evaluate` scores them by their lists.

    Args:
        faces, voices: folders with `<id>/<language>/<video>/*`, or any folders above them.
        out: the manifest to write.
        meta: the version's table of people, for their genders.
        val, test, split_seed: shares of the people to hold out, and the seed of their choice.
        faces_per_video: keep at most so many faces of a video, evenly spaced.
        report: takes progress events.

    Raises:
        RequestError: a file is missing or not as published, or no video has both a voice and a face.

    Source:
        Nawaz et al., Cross-modal Speaker Verification and Recognition: A Multilingual Perspective, 2021.
    """
    check_out(out)
    people = None if meta is None else read_people(meta, MAVCELEB)
    known = None if people is None else people.attributes

    def read(parts: Parts, names: list[str]) -> Iterator[tuple[Key | str, list[str]]]:
        if len(parts) < 3:
            yield OUTSIDE, names
        elif known is not None and parts[-3] not in known:
            yield "of an identity that is not in the meta file", names
        else:
            yield parts[-3:], names

    def about(key: Key) -> tuple[str, ...]:
        if known is None:
            return (key[1],)
        gender = known[key[0]][0]
        # As VoxCeleb writes it, so that figures by group compare across both.
        return _GENDERS.get(gender.lower(), gender), key[1]

    columns = ("language",) if known is None else ("gender", "language")
    trees = [Tree(voices, "voices", ("voice",), read), Tree(faces, "faces", ("face",), read)]
    plan = Plan(Shares(val, test, split_seed).assign, columns, about, faces=faces_per_video)
    return import_trees(trees, out, plan, report)
