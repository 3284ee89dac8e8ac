"""An importer: a name, the options it takes, and a function that writes a manifest."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Outcome(Protocol):
    """What an importer returns.

    Attributes:
        manifest: the file that was written.
    """

    @property
    def manifest(self) -> Path: ...

    def lines(self) -> list[str]:
        """What was imported and what was skipped, for a person."""
        ...

    def record(self) -> dict[str, object]:
        """The same as values that JSON can hold, for a script."""
        ...


@dataclass(frozen=True)
class Option:
    """An argument of an importer's function; the command line makes an option of it.

    Attributes:
        name: of the argument, as in `faces_per_video`.
        type: of the value: `str`, `int`, `float`, `bool`, `Path`, or `dict` for words by words, as in `path=file`.
        help: one line. It says nothing of the default.
        default: value if nobody gives one. None: the argument may be absent; `absent` says what happens then.
        required: whether it must be given.
        positional: whether the command line takes it without a flag. It is required, then.
        metavar: what the help calls the value, as in `DIR`.
        absent: what the help says instead of the default None.
        least, most: bounds of a number.
        below: the number must be smaller.
        choices: words that are allowed.
    """

    name: str
    type: type
    help: str = ""
    default: Any = None
    required: bool = False
    positional: bool = False
    metavar: str = ""
    absent: str = ""
    least: float | None = None
    most: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Importer:
    """A way to make a manifest: a verb of `lowshot data import`.

    Attributes:
        name: of the verb.
        summary: one line of help.
        run: writes the manifest. It is called with the arguments of `options` by name, `out` (the manifest to write)
            and `report` (takes progress events).
        options: what it takes besides `out` and `report`.
        details: further help.
    """

    name: str
    summary: str
    run: Callable[..., Outcome]
    options: tuple[Option, ...] = ()
    details: str = ""
