"""A folder of one's own: people, their videos, and files that are voices or faces by the ending of their names."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from lowshot.importers.collect import OUTSIDE, Key, Media, Tree, collect, paired
from lowshot.importers.skipped import Skipped
from lowshot.importers.splits import Shares
from lowshot.importers.walk import Parts, Progress
from lowshot.importers.writing import Imported, Plan, check_out, write_videos
from lowshot.schema import MODALITIES


def import_folder(
    root: Path,
    out: Path,
    shares: Shares,
    identities: bool | None = None,
    faces_per_video: int | None = None,
    progress: Progress | None = None,
) -> tuple[Imported, bool]:
    """Write a manifest of `<identity>/<video>/...`, or of `<video>/...` without identities.

    Args:
        root: the folder.
        out: the manifest to write.
        shares: of the identities, to hold out.
        identities: whether the first folder is a person; when None, it is if that gives any video with both a voice
            and a face.
        faces_per_video: how many faces of a video are kept at most, evenly spaced.
        progress: called with the number of files of each folder.

    Returns:
        What was imported, and whether it was read with identities.

    Raises:
        RequestError: no such folder, no video has both a voice and a face, or shares of no identities.
    """
    check_out(out)
    skipped = Skipped()
    found = collect([Tree(root, "folder", MODALITIES, _places)], skipped, progress)
    if identities is None:
        identities = any(len(media) == len(MODALITIES) for key, media in found.items() if key[1])
    videos = paired(_with_people(found, skipped) if identities else _without_people(found), skipped)
    return write_videos(videos, out, Plan(shares.draw, faces=faces_per_video), skipped), identities


def _places(parts: Parts, names: list[str]) -> Iterator[tuple[Key | str, list[str]]]:
    yield (parts[0], parts[1] if len(parts) > 1 else "") if parts else OUTSIDE, names


def _with_people(found: Mapping[Key, Media], skipped: Skipped) -> dict[Key, Media]:
    for key, media in found.items():
        if not key[1]:
            for clips in (clips for several in media.values() for clips in several):
                skipped.add(OUTSIDE, clips.place, clips.names)
    return {key: media for key, media in found.items() if key[1]}


def _without_people(found: Mapping[Key, Media]) -> dict[Key, Media]:
    videos: dict[Key, Media] = {}
    for key, media in found.items():
        video = videos.setdefault(("", key[0]), {})
        for modality, clips in media.items():
            video.setdefault(modality, []).extend(clips)
    return videos
