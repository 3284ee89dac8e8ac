"""Your own folder of people and videos; the ending of a file's name tells voices from faces."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from lowshot.importers.collect import OUTSIDE, Key, Media, Tree, collect, paired
from lowshot.importers.skipped import Skipped
from lowshot.importers.splits import Shares
from lowshot.importers.walk import Parts
from lowshot.importers.writing import Imported, Plan, check_out, file_count, write_videos
from lowshot.progress import Report, message, quiet
from lowshot.schema import MODALITIES


def import_folder(
    folder: Path,
    out: Path,
    *,
    identities: bool | None = None,
    val: float = 0.0,
    test: float = 0.0,
    split_seed: int = 0,
    faces_per_video: int | None = None,
    report: Report = quiet,
) -> Imported:
    """Write a manifest of `<identity>/<video>/...`, or of `<video>/...` without identities.

    Args:
        folder: where the media lie.
        out: the manifest to write.
        identities: whether the first folder is a person. None: yes, if a video then has both a voice and a face.
        val, test, split_seed: shares of the identities to hold out, and the seed of their choice.
        faces_per_video: keep at most so many faces of a video, evenly spaced.
        report: takes progress events.

    Raises:
        RequestError: there is no such folder, no video has both a voice and a face, or there are no identities to
            hold out.
    """
    check_out(out)
    skipped = Skipped()
    with file_count(report) as progress:
        found = collect([Tree(folder, "", MODALITIES, _places)], skipped, progress)
    given = identities
    if given is None:
        identities = any(len(media) == len(MODALITIES) for key, media in found.items() if key[1])
    videos = paired(_with_people(found, skipped) if identities else _without_people(found), skipped)
    plan = Plan(Shares(val, test, split_seed).assign, faces=faces_per_video)
    done = write_videos(videos, out, plan, skipped, report)
    if given is None:
        layout = "<identity>/<video>" if identities else "<video>"
        message(report, f"read as {layout}/...; `identities={not identities}` reads it the other way")
    return done


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
