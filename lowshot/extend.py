"""What a module of your own adds to lowshot: methods, towers, protocols, importers (docs/extending.md).

The command line imports a module that its option names; a Python program imports it itself. Models made with it need it
wherever they are loaded.
"""

import importlib
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowshot.errors import RequestError

if TYPE_CHECKING:
    from lowshot.evaluation.protocols.base import Protocol
    from lowshot.evaluation.protocols.custom import Measure
    from lowshot.importers.importer import Importer
    from lowshot.methods.base import Method, RunShape
    from lowshot.models.towers import TowerBuilder
    from lowshot.settings import MethodConfig


def add_method(settings: "type[MethodConfig]", build: "Callable[[Any, RunShape], Method]") -> None:
    """Add a training method.

    Args:
        settings: the keys below `method.`; its `name` has the method's name as its default.
        build: the method, called with its settings and the shape of the run; usually its class.

    Raises:
        RequestError: there is a method of that name.
    """
    from lowshot.methods.registry import BUILDERS
    from lowshot.settings import METHODS

    name = settings.model_fields["name"].default
    _check_new("method", name, METHODS)
    METHODS[name] = settings
    BUILDERS[settings] = build


def add_tower(name: str, build: "TowerBuilder") -> None:
    """Add towers for voice and face files.

    Args:
        name: what `model.tower` calls them.
        build: makes the tower of a modality, called with `voice` or `face`, and the sections `model`, `voice` and
            `face` of the settings: [B, 1, mel_bands, frames] with any number of frames, or [B, 3, size, size] in
            [-1, 1], to [B, model.dim].

    Raises:
        RequestError: there are towers of that name.
    """
    from lowshot.models.towers import MEDIA_TOWERS
    from lowshot.settings import TOWERS

    _check_new("towers", name, TOWERS)
    TOWERS.append(name)
    MEDIA_TOWERS[name] = build


def add_protocol(protocol: "Protocol[Any] | str", measure: "Measure | None" = None) -> None:
    """Add a protocol: `evaluate` measures by it, `all` and `compare` include it, and reports show it.

    Args:
        protocol: a protocol, or the name of one that is a function.
        measure: the function: from the scores of all voices against all faces of a population to figures.

    Raises:
        RequestError: there is a protocol of that name.
    """
    from lowshot.evaluation.protocols.custom import GalleryProtocol
    from lowshot.evaluation.protocols.registry import add

    if isinstance(protocol, str):
        if measure is None:
            raise RequestError(f"protocol '{protocol}': give the function that measures it")
        protocol = GalleryProtocol(protocol, measure)
    add(protocol)


def add_importer(importer: "Importer") -> None:
    """Add an importer: `lowshot data import NAME` writes a manifest by it.

    Args:
        importer: its name, the options that it takes, and its function. `lowshot.importers.writing.import_trees` does
            most of the work of such a function.

    Raises:
        RequestError: there is an importer of that name.
    """
    from lowshot.importers.registry import IMPORTERS

    _check_new("importer", importer.name, IMPORTERS)
    IMPORTERS[importer.name] = importer


def import_module(name: str) -> None:
    """Import a module from the current folder or an installed package.

    Raises:
        RequestError: there is no such module.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise RequestError(
            f"`import_module={name}`: no such module here or among the installed packages; name it as Python does, "
            "as in mine or mine.towers"
        ) from error


def _check_new(kind: str, name: str, known: Collection[str]) -> None:
    if name in known:
        raise RequestError(f"{kind} '{name}': there is one of that name already; choose another")
