"""List every plain file below a folder in one pass. No file is opened and no link is followed."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from lowshot.errors import RequestError
from lowshot.importers.skipped import Skipped

Parts = tuple[str, ...]
Progress = Callable[[int], None]


def walk(
    root: Path, argument: str, skipped: Skipped, progress: Progress | None = None
) -> Iterator[tuple[Parts, list[str]]]:
    """List the folders below `root` that hold files.

    Types of entries come from the folder itself, so that only links need a look at a file. A link to a file counts as
    a file. Links to folders are not followed: they may lead in a circle, or out of the dataset.

    Args:
        root: where to begin.
        argument: name of the argument that names `root`, for messages; "" if its value says enough.
        skipped: takes hidden entries, broken links, links to folders, unreadable folders, entries that are neither
            file nor folder, and names that a manifest cannot hold.
        progress: called with the number of files of each folder.

    Yields:
        The parts of a folder's path below `root`, and the names of its files by the numbers in them. Folders come in
        the order of their names.

    Raises:
        RequestError: `root` is not a readable folder.
    """
    said = f"`{argument}` {root}" if argument else f"{root}"
    if not root.is_dir():
        raise RequestError(f"{said}: no such folder")
    if not _is_text(str(root.absolute())):
        raise RequestError(f"{said}: the name is not UTF-8, which a manifest needs; rename the folder")
    top = root.absolute().as_posix()
    pending: list[Parts] = [()]
    while pending:
        parts = pending.pop()
        folder = "/".join((top.rstrip("/"), *parts))
        try:
            files, folders = _list(folder, skipped)
        except OSError as error:
            if not parts:
                raise RequestError(f"{said}: cannot be read ({error.strerror})") from error
            skipped.add(f"in a folder that cannot be read ({error.strerror})", folder.rpartition("/")[0], [parts[-1]])
            continue
        pending += [(*parts, name) for name in sorted(folders, reverse=True)]
        if files:
            if progress is not None:
                progress(len(files))
            yield parts, in_order(files)


def _list(folder: str, skipped: Skipped) -> tuple[list[str], list[str]]:
    files, folders = [], []
    others: dict[str, list[str]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            fault = _name_fault(name) or _entry_fault(entry)
            if fault:
                others.setdefault(fault, []).append(name)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(name)
            else:
                files.append(name)
    for fault in sorted(others):
        skipped.add(fault, folder, sorted(others[fault]))
    return files, folders


def _name_fault(name: str) -> str | None:
    if name.startswith("."):
        return "hidden"
    if not _is_text(name):
        return "with a name that is not UTF-8"
    if "\\" in name:
        return "with a backslash in the name, which elsewhere is a folder"
    return None


def _entry_fault(entry: os.DirEntry[str]) -> str | None:
    if entry.is_symlink():
        try:
            return "links to a folder" if entry.is_dir() else None if entry.is_file() else "links to nothing"
        except OSError:
            return "links in a circle"
    if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False):
        return None
    return "neither file nor folder"


def _is_text(name: str) -> bool:
    try:
        return name.isascii() or bool(name.encode())
    except UnicodeEncodeError:
        return False


def in_order(names: list[str]) -> list[str]:
    """Sort names by the numbers in them: 2.jpg before 10.jpg."""
    # Usually all names have one length, thanks to leading zeros. Parsing millions of them would be slow.
    if len({len(name) for name in names}) < 2:
        return sorted(names)
    return sorted(names, key=_numbers)


def _numbers(name: str) -> tuple[list[tuple[int, str]], str]:
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)], name
