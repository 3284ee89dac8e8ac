"""Read a gallery for the page: queries and their best matches."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowshot.errors import RequestError
from lowshot.schema import GALLERY

TYPES = {".flac": "audio/flac", ".wav": "audio/wav", ".jpg": "image/jpeg", ".png": "image/png"}
LARGEST = 1 << 18
"""Largest size of one medium in bytes, so that the page opens fast."""


@dataclass(frozen=True, eq=False)
class Gallery:
    """Queries of one model and the best matches of each.

    Attributes:
        model: its name.
        items: `direction`, `query`, `ranked`, `first_right`, `of`, `right_in_all`. A medium has `uri`, `is_voice` and
            `identity`; a ranked one also has `right` and `similarity`.
        size: characters of all its media in a page.
    """

    model: str
    items: list[dict[str, Any]]
    size: int


def read_gallery(directory: Path) -> Gallery | None:
    """Read the gallery beside results; None if there is none.

    Raises:
        RequestError: it is malformed, or names a medium that is missing, too large or elsewhere.
    """
    path = directory / GALLERY
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        items = [_item(path.parent, item) for item in content["items"]]
        model = str(content["model"])
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"{path}: not a gallery of `lowshot evaluate` ({error!r}); evaluate the model again"
        ) from error
    media = [medium["uri"] for item in items for medium in (item["query"], *item["ranked"])]
    return Gallery(model, items, sum(map(len, media)))


def _item(folder: Path, item: dict[str, Any]) -> dict[str, Any]:
    ranked = [
        {**_medium(folder, medium), "right": bool(medium["right"]), "similarity": float(medium["similarity"])}
        for medium in item["ranked"]
    ]
    counts = {key: int(item[key]) for key in ("first_right", "of", "right_in_all")}
    return {"direction": str(item["direction"]), "query": _medium(folder, item["query"]), "ranked": ranked, **counts}


def _medium(folder: Path, medium: dict[str, Any]) -> dict[str, Any]:
    name = str(medium["file"])
    path = folder / name
    kind = TYPES.get(path.suffix)
    # The file may come from anyone, so a name must not be a path.
    if Path(name).name != name or kind is None or not path.is_file() or path.stat().st_size > LARGEST:
        raise RequestError(f"{folder / GALLERY.name}: '{name}' must be a file of its folder, {', '.join(TYPES)}, small")
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return {
        "uri": f"data:{kind};base64,{data}",
        "is_voice": kind.startswith("audio/"),
        "identity": str(medium["identity"]),
    }
