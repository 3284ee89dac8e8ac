"""MAV-Celeb, of the FAME challenges: people who speak two languages each."""

from collections.abc import Iterator
from pathlib import Path

from lowshot.importers.collect import OUTSIDE, Key, Tree
from lowshot.importers.people import MAVCELEB, read_people
from lowshot.importers.skipped import Skipped
from lowshot.importers.splits import Shares
from lowshot.importers.walk import Parts, Progress
from lowshot.importers.writing import Imported, Plan, check_out, import_trees

_GENDERS = {"male": "m", "female": "f"}


def import_mavceleb(
    faces: Path,
    voices: Path,
    meta: Path | None,
    out: Path,
    shares: Shares,
    faces_per_video: int | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Write a manifest of the training part of one version of MAV-Celeb, with the language as a column of its own.

    The test parts of the challenges have no identities: they are scored by their lists, `evaluate --trials`.

    Args:
        faces, voices: folders with `<id>/<language>/<video>/*`, or any folders above them.
        meta: the version's table of people, which gives genders; none when None.
        out: the manifest to write.
        shares: of the people, to hold out.
        faces_per_video: how many faces of a video are kept at most, evenly spaced.
        progress: called with the number of files of each folder.

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
        # As VoxCeleb writes it, so that models of both can be compared by group.
        return _GENDERS.get(gender.lower(), gender), key[1]

    columns = ("language",) if known is None else ("gender", "language")
    trees = [Tree(voices, "--voices", ("voice",), read), Tree(faces, "--faces", ("face",), read)]
    return import_trees(trees, out, Plan(shares.draw, columns, about, faces=faces_per_video), Skipped(), progress)
