"""Read the tables of people that datasets come with: identifiers, attributes and splits."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lowshot.data.table_text import read_columns, read_rows
from lowshot.errors import RequestError
from lowshot.schema import VOX1_META, VOX2_META


class Columns(NamedTuple):
    """Columns of a table of people.

    Args:
        file: name of the table in the dataset.
        identity, name: columns of two namings of a person. The first one is kept.
        attributes: columns of the table by the manifest's names for them.
        part: column that says which part of the dataset a person belongs to, if there is one.
    """

    file: str
    identity: str
    name: str
    attributes: Mapping[str, str]
    part: str | None = None

    def required(self) -> list[str]:
        """Return all columns in the order of the published tables."""
        return [self.identity, self.name, *self.attributes.values(), *([self.part] if self.part else [])]


VOXCELEB1 = Columns(VOX1_META, "VoxCeleb1 ID", "VGGFace1 ID", {"gender": "Gender", "nationality": "Nationality"})
VOXCELEB2 = Columns(VOX2_META, "VoxCeleb2 ID", "VGGFace2 ID", {"gender": "Gender"}, part="Set")
MAVCELEB = Columns("v1_meta.csv, v2_meta.csv or v3_meta.csv", "ids", "name", {"gender": "gender"})


@dataclass(frozen=True, eq=False)
class People:
    """A table of people.

    Args:
        identity: the kept identifier by either naming of a person.
        attributes: the values of `Columns.attributes` in their order, by identifier.
        part: the value in the column of parts, by identifier.
    """

    identity: Mapping[str, str]
    attributes: Mapping[str, tuple[str, ...]]
    part: Mapping[str, str]


def read_people(path: Path, columns: Columns) -> People:
    """Read a table of people. Commas, semicolons or tabs separate its cells; blanks around them are ignored.

    Raises:
        RequestError: the file is unreadable, lacks a column, or names a person twice.
    """
    if not path.is_file():
        raise RequestError(f"`meta` {path}: no such file; give the dataset's {columns.file}")
    rows = read_columns(path, "file", columns.required())
    header = [name.strip() for name in rows.fields[0]]
    for column in columns.required():
        if column not in header:
            shown = ", ".join(columns.required())
            raise RequestError(f"{path}: column '{column}' is missing; {columns.file} has {shown}")
    place = {column: header.index(column) for column in columns.required()}
    identity: dict[str, str] = {}
    attributes, part = {}, {}
    for row, line in zip(rows.fields[1:], rows.line[1:], strict=True):
        cells = {column: row[place[column]].strip() for column in place}
        own = cells[columns.identity]
        for name in {own, cells[columns.name]}:
            if name in identity:
                raise RequestError(f"{path}, row {line}: '{name}' appears twice; give each person one row")
            identity[name] = own
        attributes[own] = tuple(cells[column] for column in columns.attributes.values())
        part[own] = cells[columns.part] if columns.part else ""
    if not attributes:
        raise RequestError(f"{path}: has no rows; give the dataset's {columns.file}")
    return People(identity, attributes, part)


def read_split_codes(path: Path, identity: Mapping[str, str]) -> dict[str, str]:
    """Read a list of lines `<person> <code>`.

    Args:
        path: the list.
        identity: the kept identifier by either naming of a person. Other names stay as they are.

    Returns:
        The code of each person: 1 for training, 2 for validation, 3 and 4 for tests.

    Raises:
        RequestError: the file is unreadable, a line has another form, or a person has two codes.
    """
    rows = read_rows(path)
    codes: dict[str, str] = {}
    for row, line in zip(rows.fields, rows.line, strict=True):
        if len(row) == 2 and row[0].isdigit() and "/" in row[1]:
            raise RequestError(
                f"{path}, row {line}: splits files, with every person in all parts (as VoxCeleb1's iden_split.txt); "
                "give a list that splits people, as identity_splits.txt"
            )
        if len(row) != 2 or not row[1].isdigit():
            raise RequestError(
                f"{path}, row {line}: '{' '.join(row)}' is not a person and a split's number, as in 'id10001 1'"
            )
        own = identity.get(row[0], row[0])
        if codes.setdefault(own, row[1]) != row[1]:
            raise RequestError(f"{path}, row {line}: '{row[0]}' is in two splits; give each person one")
    return codes
