"""Videos to a manifest, row by row."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lowshot.data.dataset import leaves_root
from lowshot.data.trust import trust
from lowshot.errors import RequestError
from lowshot.files import atomic_path
from lowshot.importers.collect import Clips, Key, Media, Tree, collect, count_files, paired, people_of
from lowshot.importers.skipped import SEPARATOR, Skipped
from lowshot.importers.walk import Progress
from lowshot.schema import MANIFEST, MANIFEST_COLUMNS, MODALITIES, SKIPPED

# Python's writer leaves a carriage return bare where lines end otherwise, and readers take it for a line end.
_TO_QUOTE = re.compile(r'[",\r\n]')


@dataclass(frozen=True, eq=False)
class Plan:
    """What an importer knows of its videos.

    Args:
        split: of some identities, the split of each.
        columns: names of further columns.
        about: of a video, their values.
        plain: call a video by its own name, where only one has it, and not by its identity as well.
        faces: how many faces of a video are kept at most; all when None.
    """

    split: Callable[[list[str]], Mapping[str, str]]
    columns: tuple[str, ...] = ()
    about: Callable[[Key], tuple[str, ...]] = lambda key: ()
    plain: bool = False
    faces: int | None = None


@dataclass
class Imported:
    """What came of an import: rows by split and modality, videos and identities by split, and what was left out."""

    manifest: Path
    skipped: Skipped
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    videos: Counter[str] = field(default_factory=Counter)
    identities: Counter[str] = field(default_factory=Counter)
    thinned: int = 0
    outside: bool = False

    @property
    def report(self) -> Path:
        """Where the table of what was left out lies."""
        return report_path(self.manifest)


def report_path(manifest: Path) -> Path:
    """Where the table of what was left out of a manifest lies."""
    return manifest.with_name(f"{manifest.name}.{SKIPPED}")


def check_out(out: Path) -> None:
    """Refuse a place for a manifest before any time is spent.

    Raises:
        RequestError: it is no CSV file, exists, or lies in no folder that can be written to.
    """
    if out.suffix.lower() != ".csv":
        raise RequestError(f"--out {out}: name a manifest to write, as {out / MANIFEST}")
    if os.path.lexists(out):
        raise RequestError(f"--out {out}: exists; name another, or remove it")
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise RequestError(f"--out {out}: {folder} is no folder that can be written to; name another place")
    # Where the manifest lies goes into it if it has absolute paths, and into messages in any case.
    try:
        str(out.absolute()).encode()
    except UnicodeEncodeError as error:
        raise RequestError(f"--out {out}: the name is not UTF-8; name another") from error


def import_trees(
    trees: list[Tree], out: Path, plan: Plan, skipped: Skipped, progress: Progress | None = None
) -> Imported:
    """Write a manifest of the videos in some trees; see `write_videos`."""
    check_out(out)
    return write_videos(paired(collect(trees, skipped, progress), skipped), out, plan, skipped)


def write_videos(videos: Mapping[Key, Media], out: Path, plan: Plan, skipped: Skipped) -> Imported:
    """Write a manifest, and beside it the table of what was left out; both or neither.

    Paths are relative to the manifest where media lie below its folder, and absolute elsewhere. A manifest with
    absolute paths is trusted from then on, as it is and where it is.

    Args:
        videos: with voices and faces each, in the order of the rows.
        out: the manifest, which must not exist.
        plan: what is known of the videos.
        skipped: what was left out.

    Raises:
        RequestError: there are no videos, or they cannot be split as asked.
    """
    if not videos:
        raise RequestError(
            f"no video has both a voice and a face; left out: {skipped}"
            if skipped.counts
            else "no voices and no faces were found; are these the right folders?"
        )
    split = plan.split(list(people_of(videos)))
    done = Imported(out, skipped)
    done.identities.update(split[name] for name in people_of(videos))
    names = _video_names(videos, plan.plain)
    written: dict[Tree, str] = {}
    with atomic_path(out) as manifest:
        with manifest.open("w", newline="", encoding="utf-8") as file:
            file.write(",".join((*MANIFEST_COLUMNS, *plan.columns)) + "\n")
            for key, media in videos.items():
                place = split.get(key[0], "")
                done.videos[place] += 1
                cells = (names[key], key[0], place, *plan.about(key))
                for modality in MODALITIES:
                    kept = thinned(media[modality], plan.faces if modality == "face" else None)
                    done.rows[place, modality] += count_files(kept)
                    done.thinned += count_files(media[modality]) - count_files(kept)
                    tail = "".join(f",{_cell(cell)}" for cell in (modality, *cells)) + "\n"
                    for clips in kept:
                        if clips.tree not in written:
                            written[clips.tree] = start_of_paths(clips.tree.root, out)
                        file.writelines(_rows(written[clips.tree], clips, tail))
        done.outside = any(leaves_root(where) for where in written.values())
        if done.outside:
            trust(out, manifest)
        skipped.write(done.report)
    return done


def thinned(media: list[Clips], most: int | None) -> list[Clips]:
    """At most so many files of a video, evenly spaced, in their order."""
    count = count_files(media)
    if most is None or count <= most:
        return media
    # The middles of equal stretches.
    chosen = [(2 * place + 1) * count // (2 * most) for place in range(most)]
    kept, before = [], 0
    for clips in media:
        names = [clips.names[place - before] for place in chosen if before <= place < before + clips.size]
        if names:
            kept.append(clips._replace(packed=SEPARATOR.join(names)))
        before += clips.size
    return kept


def _video_names(videos: Mapping[Key, Media], plain: bool) -> dict[Key, str]:
    """A name of its own for each video: a manifest's videos belong to one person each."""
    shared = Counter(key[-1] for key in videos)
    return {
        key: key[-1] if plain and shared[key[-1]] == 1 else "/".join(part for part in key if part) for key in videos
    }


def path_in_manifest(place: Path, out: Path) -> str:
    """What a manifest calls a file or a folder: relative where it lies below the manifest's folder, else absolute.

    Args:
        place: where it lies.
        out: the manifest.

    Returns:
        The path with forward slashes; "" for the manifest's own folder.
    """
    # By their names first, so that links within a dataset keep theirs.
    for inner, outer in ((place.absolute(), out.parent.absolute()), (place.resolve(), out.parent.resolve())):
        if inner.is_relative_to(outer) and ".." not in inner.relative_to(outer).parts:
            relative = inner.relative_to(outer).as_posix()
            return "" if relative == "." else relative
    absolute = place.resolve() if ".." in place.parts else place.absolute()
    return absolute.as_posix()


def start_of_paths(root: Path, out: Path) -> str:
    """What paths of files below a folder begin with in a manifest."""
    start = path_in_manifest(root, out)
    return f"{start.rstrip('/')}/" if start else ""


def _rows(where: str, clips: Clips, tail: str) -> Iterator[str]:
    start = f"{where}{clips.folder}/" if clips.folder else where
    if not where and start[1:2] == ":":
        # Of a folder such as "a:" at the beginning of a path, Windows would read a drive.
        start = f"./{start}"
    if _TO_QUOTE.search(start) or _TO_QUOTE.search(clips.packed):
        return (_cell(start + name) + tail for name in clips.names)
    return (start + name + tail for name in clips.names)


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _TO_QUOTE.search(text) else text
