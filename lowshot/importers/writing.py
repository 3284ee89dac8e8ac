"""Write videos to a manifest, row by row."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lowshot.data.dataset import leaves_root
from lowshot.data.trust import trust
from lowshot.errors import RequestError
from lowshot.files import atomic_path
from lowshot.importers.collect import Clips, Key, Media, Tree, collect, count_files, paired, people_of
from lowshot.importers.skipped import SEPARATOR, Skipped
from lowshot.importers.walk import Progress
from lowshot.progress import Event, Report, message, quiet
from lowshot.schema import MANIFEST, MANIFEST_COLUMNS, MODALITIES, SKIPPED

# Python's writer does not quote a carriage return if lines end otherwise, and readers take it for a line end.
_TO_QUOTE = re.compile(r'[",\r\n]')
OUTSIDE_PATHS = (
    "media lie outside the manifest's folder, so its paths are absolute; they are trusted on this machine as long as "
    "the manifest does not change"
)


@dataclass(frozen=True, eq=False)
class Plan:
    """What an importer knows of its videos.

    Args:
        split: gives some identities a split each.
        columns: names of further columns.
        about: gives their values for a video.
        plain: call a video by its own name alone, if no other has it, and not by its identity as well.
        faces: keep at most so many faces of a video; all if None.
    """

    split: Callable[[list[str]], Mapping[str, str]]
    columns: tuple[str, ...] = ()
    about: Callable[[Key], tuple[str, ...]] = lambda key: ()
    plain: bool = False
    faces: int | None = None


@dataclass
class Imported:
    """Outcome of an import.

    Attributes:
        manifest: the file that was written.
        skipped: files that it lacks, by reason.
        rows: number of rows by split and modality.
        videos, identities: their numbers by split.
        thinned: number of faces that were dropped from videos with many.
        outside: whether media lie outside the manifest's folder, so that paths are absolute.
    """

    manifest: Path
    skipped: Skipped
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    videos: Counter[str] = field(default_factory=Counter)
    identities: Counter[str] = field(default_factory=Counter)
    thinned: int = 0
    outside: bool = False

    @property
    def skipped_list(self) -> Path:
        """The table of skipped files."""
        return self.manifest.with_name(f"{self.manifest.name}.{SKIPPED}")

    def lines(self) -> list[str]:
        """What was imported and what was skipped, for a person."""
        said = []
        for split in sorted(self.videos):
            voices, faces = self.rows[split, "voice"], self.rows[split, "face"]
            people = f" of {self.identities[split]:,} identities" if self.identities[split] else ""
            videos = f"{self.videos[split]:,} videos{people}"
            said.append(f"{split or '(no split)'}: {videos}, {voices:,} voices, {faces:,} faces")
        if self.thinned:
            said.append(f"thinned out: {self.thinned:,} faces")
        said += [f"skipped: {count:,} {reason}" for reason, count in self.skipped.counts.most_common()]
        if self.skipped.counts:
            said.append(f"{self.skipped_list} lists the skipped files")
        return [*said, str(self.manifest)]

    def record(self) -> dict[str, object]:
        """The same as values that JSON can hold, for a script."""
        splits = {
            split or "(none)": {
                "videos": self.videos[split],
                "identities": self.identities[split],
                "voices": self.rows[split, "voice"],
                "faces": self.rows[split, "face"],
            }
            for split in sorted(self.videos)
        }
        skipped = dict(self.skipped.counts.most_common())
        return {
            "manifest": str(self.manifest),
            "splits": splits,
            "thinned": self.thinned,
            "skipped": skipped,
            "report": str(self.skipped_list) if skipped else None,
            "absolute_paths": self.outside,
        }


@contextmanager
def file_count(report: Report) -> Iterator[Progress]:
    """Report how many files were seen: give a function that takes the number of further ones."""
    seen = 0

    def advance(more: int) -> None:
        nonlocal seen
        seen += more
        report(Event("steps", "import", seen, None, "file"))

    yield advance
    report(Event("steps", "import", seen, seen, "file"))


def check_out(out: Path) -> None:
    """Refuse an unusable path for a manifest before any time is spent.

    Raises:
        RequestError: its name does not end in .csv, it exists, or its folder cannot be written to.
    """
    if out.suffix.lower() != ".csv":
        raise RequestError(f"`out` {out}: name a manifest to write, as {out / MANIFEST}")
    if os.path.lexists(out):
        raise RequestError(f"`out` {out}: exists; name another file, or remove it")
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise RequestError(f"`out` {out}: cannot write to {folder}; name another place")
    # Its place goes into absolute paths and into messages.
    try:
        str(out.absolute()).encode()
    except UnicodeEncodeError as error:
        raise RequestError(f"`out` {out}: the name is not UTF-8; name another file") from error


def import_trees(trees: list[Tree], out: Path, plan: Plan, report: Report = quiet) -> Imported:
    """Write a manifest of the videos in some trees.

    Args:
        trees: where to look.
        out, plan, report: as of `write_videos`.

    Raises:
        RequestError: as `check_out`, `collect` and `write_videos`.
    """
    check_out(out)
    skipped = Skipped()
    with file_count(report) as progress:
        videos = paired(collect(trees, skipped, progress), skipped)
    return write_videos(videos, out, plan, skipped, report)


def write_videos(
    videos: Mapping[Key, Media], out: Path, plan: Plan, skipped: Skipped, report: Report = quiet
) -> Imported:
    """Write a manifest and, beside it, the table of skipped files; both or neither.

    Paths are relative to the manifest if media lie below its folder, else absolute. A manifest with absolute paths is
    trusted as long as it does not change and is not moved.

    Args:
        videos: with voices and faces each, in the order of the rows.
        out: the manifest, which must not exist.
        plan: what is known of the videos.
        skipped: files that were skipped.
        report: takes messages.

    Raises:
        RequestError: there are no videos, or they cannot be split as asked.
    """
    if not videos:
        raise RequestError(
            f"no video has both a voice and a face; skipped: {skipped}"
            if skipped.counts
            else "found no voices and no faces; check the folders"
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
        skipped.write(done.skipped_list)
    if done.outside:
        message(report, OUTSIDE_PATHS)
    return done


def thinned(media: list[Clips], most: int | None) -> list[Clips]:
    """Keep at most so many files of a video, evenly spaced, in their order."""
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
    """Give each video a name that no other has: a manifest's videos belong to one person each."""
    shared = Counter(key[-1] for key in videos)
    return {
        key: key[-1] if plain and shared[key[-1]] == 1 else "/".join(part for part in key if part) for key in videos
    }


def path_in_manifest(place: Path, out: Path) -> str:
    """Return a path for a manifest: relative if it lies below the manifest's folder, else absolute.

    Args:
        place: the file or folder.
        out: the manifest.

    Returns:
        The path with forward slashes; "" for the manifest's own folder.
    """
    # By name first, so that links within a dataset keep their names.
    for inner, outer in ((place.absolute(), out.parent.absolute()), (place.resolve(), out.parent.resolve())):
        if inner.is_relative_to(outer) and ".." not in inner.relative_to(outer).parts:
            relative = inner.relative_to(outer).as_posix()
            return "" if relative == "." else relative
    absolute = place.resolve() if ".." in place.parts else place.absolute()
    return absolute.as_posix()


def start_of_paths(root: Path, out: Path) -> str:
    """Return how paths of files below a folder begin in a manifest."""
    start = path_in_manifest(root, out)
    return f"{start.rstrip('/')}/" if start else ""


def _rows(where: str, clips: Clips, tail: str) -> Iterator[str]:
    start = f"{where}{clips.folder}/" if clips.folder else where
    if not where and start[1:2] == ":":
        # Windows would take a folder "a:" at the beginning of a path for a drive.
        start = f"./{start}"
    if _TO_QUOTE.search(start) or _TO_QUOTE.search(clips.packed):
        return (_cell(start + name) + tail for name in clips.names)
    return (start + name + tail for name in clips.names)


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _TO_QUOTE.search(text) else text
