"""Make and import datasets."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowshot.errors import RequestError
from lowshot.progress import Report, quiet

if TYPE_CHECKING:
    from lowshot.importers.importer import Outcome


def import_data(importer: str, *, out: str | Path, report: Report = quiet, **options: Any) -> "Outcome":
    """Write a manifest of media as they lie on disk.

    Args:
        importer: `voxceleb1`, `voxceleb2`, `mavceleb`, `folder`, `csv`, `videos` or one of your own.
        out: the manifest to write, a CSV file.
        report: takes progress events.
        options: of the importer, by name; see `lowshot.importers.registry`.

    Returns:
        The manifest's path (`manifest`), and what was imported and skipped (`lines()` and `record()`).

    Raises:
        RequestError: there is no such importer or option, an option is missing, or the importer refuses the media.

    Example:
        >>> from lowshot.workflows.data import import_data
        >>> import_data("folder", folder="recordings", out="manifest.csv", val=0.1, test=0.2)  # doctest: +SKIP
    """
    from lowshot.importers.registry import IMPORTERS

    if importer not in IMPORTERS:
        raise RequestError(f"no importer '{importer}'; there are {', '.join(sorted(IMPORTERS))}")
    found = IMPORTERS[importer]
    known = {option.name: option for option in found.options}
    for name in options:
        if name not in known:
            raise RequestError(f"`{name}`: importer {importer} has no such option; there are {', '.join(known)}")
    given = {}
    for name, option in known.items():
        value = options.get(name)
        if value is None and (option.required or option.positional):
            raise RequestError(f"`{name}` is missing; importer {importer} needs it")
        if value is None:
            given[name] = option.default
        else:
            given[name] = Path(value) if option.type is Path else value
    return found.run(out=Path(out), report=report, **given)
