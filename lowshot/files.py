"""Atomic writes, folders and paths.

A reader sees the old file or the new one, never a half-written one.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from safetensors import SafetensorError

import lowshot
from lowshot.errors import RequestError, RunError, reason

if TYPE_CHECKING:
    import pandas as pd


def bundled_folder(name: str) -> Path:
    """Return a folder of files that come with lowshot.

    It lies inside an installed package, or beside the package in a checkout.

    Args:
        name: name of the folder in a checkout, `protocols` or `pretrained`; in a package it is `_<name>`.
    """
    package = Path(lowshot.__file__).parent
    installed = package / f"_{name}"
    return installed if installed.is_dir() else package.parent / name


def cache_root() -> Path:
    """Return the cache: $LOWSHOT_CACHE, else the user's cache directory.

    It holds synthetic worlds and the record of trusted manifests.

    Returns:
        The folder; it need not exist yet.
    """
    from platformdirs import user_cache_path

    override = os.environ.get("LOWSHOT_CACHE")
    return Path(override) if override else user_cache_path("lowshot")


def check_new_folder(out: Path) -> None:
    """Refuse a file, or a folder that is not empty.

    Raises:
        RequestError: `out` is one of them.
    """
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise RequestError(f"`out` {out}: exists; name an empty directory")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Write a file through a temporary path beside it.

    If the block raises no error, the temporary file is synced to disk and renamed to `path`.

    Args:
        path: the file to write. Missing parent folders are made.

    Yields:
        The temporary path to write to. It is removed when the block raises.

    Raises:
        RunError: the disk cannot take the file; the old file at `path` is intact.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner may read, but people share results.
        temporary.chmod(0o644)
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        # A failed write names no file or the temporary one. An error about another file is not ours.
        if getattr(error, "filename", None) not in (None, name):
            raise
        raise RunError(f"{path}: cannot be written ({reason(error)}); nothing made before is lost") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8 with Unix line ends."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def parse_yaml(text: str) -> Any:
    """Parse YAML, with libyaml if present: it is ten times faster.

    Raises:
        yaml.YAMLError: the text is not YAML.
    """
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def write_table(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV with Unix line ends, atomically."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def no_formula(path: str) -> str:
    """Prefix `./` to a path that spreadsheets would read as formula."""
    return f"./{path}" if path.startswith(("=", "+", "-", "@", "\t", "\r")) else path


def sort_metadata(path: Path) -> None:
    """Sort the metadata of a safetensors file by key, in place.

    The library writes them in random order. After sorting, equal contents are equal bytes.

    Args:
        path: a file that safetensors wrote.
    """
    with path.open("rb+") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        if "__metadata__" in header:
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > length:
            raise ValueError(f"{path}: the header is not one that safetensors writes")
        file.seek(8)
        file.write(text.ljust(length))
