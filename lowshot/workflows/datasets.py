"""Open a dataset that a person names."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lowshot.errors import RequestError
from lowshot.progress import Event, Report, quiet
from lowshot.schema import MANIFEST, WORLD_PREFIX, WORLD_SIZES

if TYPE_CHECKING:
    from lowshot.data.dataset import Dataset


def open_dataset(
    source: str | Path, *, splits: Sequence[str] | None = None, trust_paths: bool = False, report: Report = quiet
) -> "Dataset":
    """Open a dataset.

    Args:
        source: a directory, a manifest, or `synth:tiny|demo|bench`. An embedded world is rendered to the cache on
            first use.
        splits: splits whose media are needed; only theirs are rendered. None for all.
        trust_paths: let the manifest name files outside its folder, now and later, as long as it does not change.
        report: takes progress events.

    Raises:
        RequestError: there is no such dataset, or its manifest breaks a rule of docs/data.md.

    Example:
        >>> from lowshot.workflows.datasets import open_dataset
        >>> dataset = open_dataset("synth:tiny")  # doctest: +SKIP
        >>> len(dataset.voices), len(dataset.faces)  # doctest: +SKIP
        (307, 614)
    """
    from lowshot.data.dataset import Dataset

    if str(source).startswith(WORLD_PREFIX):
        return _open_world(str(source), splits, report)
    if trust_paths:
        trust_manifest(source)
    return Dataset.open(source)


def _open_world(source: str, splits: Sequence[str] | None, report: Report) -> "Dataset":
    from lowshot.data.dataset import Dataset
    from lowshot.synthetic.render import ensure_world

    size = source.removeprefix(WORLD_PREFIX)
    if size not in WORLD_SIZES:
        known = ", ".join(WORLD_PREFIX + name for name in WORLD_SIZES)
        raise RequestError(f"`data={source}`: no such embedded world; there are {known}")

    def advance(done: int, total: int) -> None:
        report(Event("steps", f"render {source}", done, total, "video"))

    root = ensure_world(size, progress=advance, splits=splits)
    return Dataset(root, root / MANIFEST, source)


def manifest_of(source: str | Path, *, trust_paths: bool = False, report: Report = quiet) -> Path:
    """Return the path of a dataset's manifest.

    The manifest may break any rule and need not exist.

    Args:
        source, trust_paths, report: as of `open_dataset`.
    """
    if str(source).startswith(WORLD_PREFIX):
        return _open_world(str(source), None, report).manifest_path
    if trust_paths:
        trust_manifest(source)
    return Path(source) / MANIFEST if Path(source).is_dir() else Path(source)


def trust_manifest(source: str | Path) -> None:
    """Let a dataset's manifest name files outside its folder.

    This ends when the manifest changes or is moved.
    """
    from lowshot.data.trust import trust

    manifest = manifest_of(source)
    # If there is none, opening the dataset says so.
    if manifest.is_file():
        trust(manifest)
