"""Find the videos in folders of media, each with its voices and faces."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lowshot.importers.skipped import SEPARATOR, Skipped
from lowshot.importers.walk import Parts, Progress, walk
from lowshot.schema import MODALITIES

ENDINGS = {
    "voice": frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac"}),
    "face": frozenset({".jpg", ".jpeg", ".png", ".webp"}),
}
"""Endings of file names by modality."""

OUTSIDE = "outside a video's folder"

Key = tuple[str, ...]
"""A video: its identity ("" if unknown), what else tells videos apart (as a language), and its name."""

Layout = Callable[[Parts, list[str]], Iterable[tuple[Key | str, list[str]]]]
"""Sorts the files of a folder, given the parts of its path and their names: by video, or by reason to skip them."""


@dataclass(frozen=True, eq=False)
class Tree:
    """A folder of media.

    Args:
        root: where it lies.
        argument: name of the argument that names it, for messages; "" if its value says enough.
        modalities: which media to look for in it.
        layout: sorts its files.
    """

    root: Path
    argument: str
    modalities: tuple[str, ...]
    layout: Layout


class Clips(NamedTuple):
    """Files of one video in one folder: their tree, the folder below its root, and the joined names."""

    tree: Tree
    folder: str
    packed: str

    @property
    def place(self) -> str:
        """The folder, on disk."""
        return _on_disk(self.tree, (self.folder,))

    @property
    def names(self) -> list[str]:
        """The names of the files in order."""
        return self.packed.split(SEPARATOR)

    @property
    def size(self) -> int:
        """Number of files."""
        return self.packed.count(SEPARATOR) + 1


Media = dict[str, list[Clips]]
"""The files of one video, by modality."""


def collect(trees: Iterable[Tree], skipped: Skipped, progress: Progress | None = None) -> dict[Key, Media]:
    """Find the videos of some trees, each with its files.

    Args:
        trees: where to look. A video may have its voices in one and its faces in another.
        skipped: takes what `walk` skips, files of another kind, and files that the layout gives a reason for.
        progress: called with the number of files of each folder.

    Raises:
        RequestError: a tree is not a readable folder.
    """
    videos: dict[Key, Media] = {}
    for tree in trees:
        for parts, names in walk(tree.root, tree.argument, skipped, progress):
            for modality, kin in _by_kind(names).items():
                if modality not in tree.modalities:
                    skipped.add("of an unknown kind", _on_disk(tree, parts), kin)
                    continue
                for place, files in tree.layout(parts, kin):
                    if isinstance(place, str):
                        skipped.add(place, _on_disk(tree, parts), files)
                    else:
                        clips = Clips(tree, "/".join(parts), SEPARATOR.join(files))
                        videos.setdefault(place, {}).setdefault(modality, []).append(clips)
    return videos


def paired(videos: Mapping[Key, Media], skipped: Skipped) -> dict[Key, Media]:
    """Return the videos that have both voices and faces, sorted by key; skip the others."""
    whole = {}
    for key in sorted(videos):
        media = videos[key]
        if len(media) == len(MODALITIES):
            whole[key] = media
            continue
        ((modality, found),) = media.items()
        other = "faces" if modality == "voice" else "voices"
        for clips in found:
            skipped.add(f"of a video without {other}", clips.place, clips.names)
    return whole


def count_files(clips: Iterable[Clips]) -> int:
    """Count files."""
    return sum(found.size for found in clips)


def _by_kind(names: list[str]) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for modality, name in zip(map(modality_of, names), names, strict=True):
        kinds.setdefault(modality, []).append(name)
    return kinds


def modality_of(name: str) -> str:
    """Tell from the ending of a file's name: `voice`, `face`, or "" for neither."""
    return _MODALITY.get(name[name.rfind(".") :].lower(), "")


_MODALITY = {ending: modality for modality, endings in ENDINGS.items() for ending in endings}


def _on_disk(tree: Tree, parts: Parts) -> str:
    return "/".join((tree.root.absolute().as_posix().rstrip("/"), *(part for part in parts if part)))


def people_of(videos: Iterable[Key]) -> Iterator[str]:
    """Return the known identities of some videos, each once."""
    return iter(sorted({key[0] for key in videos} - {""}))
