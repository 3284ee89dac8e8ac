"""A gallery on disk, as the page embeds it: voices to play and faces to see, with what was ranked first for them."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowshot.errors import RequestError
from lowshot.schema import GALLERY

TYPES = {".flac": "audio/flac", ".wav": "audio/wav", ".jpg": "image/jpeg", ".png": "image/png"}
LARGEST = 1 << 18
"""Bytes of one medium: a page is to open at once."""


@dataclass(frozen=True, eq=False)
class Gallery:
    """Queries of one model and what is ranked first for each.

    Attributes:
        model: what it is called.
        items: `direction`, `query`, `ranked`, `first_right`, `of`, `right_in_all`; a medium is `uri`, `is_voice`,
            `identity`, and a ranked one also `right` and `similarity`.
        size: characters of all its media in a page.
    """

    model: str
    items: list[dict[str, Any]]
    size: int


def read_gallery(directory: Path) -> Gallery | None:
    """The gallery of a directory of results; None where there is none.

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
        raise RequestError(f"{path}: not a gallery as `lowshot evaluate` writes it ({error!r})") from error
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
    # The file is somebody's text: a name that is a path is none of ours.
    if Path(name).name != name or kind is None or not path.is_file() or path.stat().st_size > LARGEST:
        raise RequestError(f"{folder / GALLERY.name}: '{name}' must be a file of its folder, {', '.join(TYPES)}, small")
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return {
        "uri": f"data:{kind};base64,{data}",
        "is_voice": kind.startswith("audio/"),
        "identity": str(medium["identity"]),
    }
