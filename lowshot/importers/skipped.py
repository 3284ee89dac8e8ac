"""What an importer leaves out, and why: counts for a person, a table for the rest."""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lowshot.files import atomic_path

# A name can hold anything but this, so that it packs many names into one string: millions of them fit the memory.
SEPARATOR = "\0"


class Skipped:
    """Files that an importer leaves out, by reason."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str, str]] = []
        self.counts: Counter[str] = Counter()

    def add(self, reason: str, folder: str, names: list[str]) -> None:
        """Leave out some files, or whole folders, of one folder."""
        if names:
            self._found.append((reason, folder, SEPARATOR.join(names)))
            self.counts[reason] += len(names)

    def write(self, path: Path) -> None:
        """Write a CSV with the columns `reason` and `path`, one row per file or folder, atomically.

        Paths are absolute, so that no cell begins like a formula of a spreadsheet. Bytes of a name that are not UTF-8
        are written as `\\xNN`.
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
    """A name as text that any encoding of Unicode can write."""
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        # Half a character, as Windows allows in names.
        return name.encode("utf-8", "backslashreplace").decode()
