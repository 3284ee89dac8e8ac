"""Manifests that may name files anywhere on this machine, because the user trusts or made them."""

import hashlib
from pathlib import Path

from lowshot.files import cache_root, write_text


def trust(manifest: Path, content: Path | None = None) -> None:
    """Remember that a manifest may name files outside its folder, until it changes or is moved.

    Args:
        manifest: its path.
        content: a file with its future content, if it is not written yet.
    """
    write_text(_record(manifest, content or manifest), f"{manifest.absolute()}\n")


def is_trusted(manifest: Path) -> bool:
    """Tell whether `trust` was called for this manifest in this place with this content."""
    return _record(manifest, manifest).is_file()


def _record(manifest: Path, content: Path) -> Path:
    # In the user's cache, not in the dataset: what comes with a manifest cannot vouch for it.
    digest = hashlib.sha256(f"{manifest.parent.resolve() / manifest.name}\0".encode())
    with content.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return cache_root() / "trusted" / digest.hexdigest()
