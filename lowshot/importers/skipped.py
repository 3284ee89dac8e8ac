"""Files that an importer skips, with the reasons: counts to print, a table to look up."""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lowshot.files import atomic_path

# Joins names, none of which can hold it: millions of names need little memory as few strings.
SEPARATOR = "\0"


class Skipped:
    """Files that an importer skips, by reason."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str, str]] = []
        self.counts: Counter[str] = Counter()

    def add(self, reason: str, folder: str, names: list[str]) -> None:
        """Skip some files of a folder, or whole folders in it."""
        if names:
            self._found.append((reason, folder, SEPARATOR.join(names)))
            self.counts[reason] += len(names)

    def write(self, path: Path) -> None:
        """Write a CSV atomically, with the columns `reason` and `path` and one row per file or folder.

        Paths are absolute, so that no spreadsheet takes a cell for a formula. Bytes that are not UTF-8 are written as
        `\\xNN`.
        """
        with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
            writer.writerow(("reason", "path"))
            writer.writerows(self._rows())

    def _rows(self) -> Iterator[tuple[str, str]]:
        for reason, folder, names in self._found:
            for name in names.split(SEPARATOR):
                yield reason, readable(f"{folder}/{name}")

    def __str__(self) -> str:
        return ", ".join(f"{count:,} {reason}" for reason, count in self.counts.most_common())


def readable(name: str) -> str:
    """Return a name as text that any Unicode encoding can write."""
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        # A lone surrogate, which Windows allows in names.
        return name.encode("utf-8", "backslashreplace").decode()
