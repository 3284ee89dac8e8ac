"""Open a dataset that a person names."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lowshot.progress import Event, Report, quiet

if TYPE_CHECKING:
    from lowshot.data.dataset import Dataset


def open_dataset(
    source: str | Path, *, splits: Sequence[str] | None = None, trust_paths: bool = False, report: Report = quiet
) -> "Dataset":
    """Open a dataset.

    Args:
        source: a directory, a manifest, or `synth:tiny|demo|bench`.
        splits: whose media are needed, so that no others of an embedded world are rendered; None for all.
        trust_paths: let the manifest name files outside its folder, from now on, as long as it stays as it is.
        report: takes progress events.

    Raises:
        RequestError: there is no such dataset, or it breaks a rule of docs/data.md.
    """
    from lowshot.data.dataset import Dataset

    if trust_paths:
        trust_manifest(source)

    def advance(done: int, total: int) -> None:
        report(Event("steps", f"render {source}", done, total, "video"))

    return Dataset.open(source, progress=advance, splits=splits)


def trust_manifest(source: str | Path) -> None:
    """Let the manifest of a dataset name files outside its folder, as long as it stays as it is and where it is."""
    from lowshot.data.trust import trust

    manifest = Path(source) / "manifest.csv" if Path(source).is_dir() else Path(source)
    # Where there is none, opening the dataset says so.
    if manifest.is_file():
        trust(manifest)
