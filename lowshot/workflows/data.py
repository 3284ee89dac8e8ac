"""Make, import, check, describe and pack datasets."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lowshot.errors import RequestError
from lowshot.progress import Event, Report, quiet
from lowshot.schema import UNREADABLE
from lowshot.workflows.datasets import manifest_of, open_dataset
from lowshot.workflows.settings import Settings, resolve_config

if TYPE_CHECKING:
    from lowshot.checking.run import Checked
    from lowshot.data.packing.writing import Packed
    from lowshot.importers.importer import Outcome


def synthesise_data(
    size: str = "demo", *, seed: int = 0, out: str | Path | None = None, report: Report = quiet
) -> Path:
    """Render an embedded world: WAV voices, JPEG faces and a manifest.

    Args:
        size: `tiny`, `demo` or `bench`.
        seed: seed of the people in it, 0 or more.
        out: the directory to make; the cache if None.
        report: takes progress events.

    Returns:
        The directory.

    Raises:
        RequestError: there is no such size, or `out` exists.
    """
    from lowshot.synthetic.render import ensure_world, render_world
    from lowshot.synthetic.world import SIZES

    def advance(done: int, total: int) -> None:
        report(Event("steps", f"render {size}", done, total, "video"))

    if size not in SIZES:
        raise RequestError(f"`size={size}`: no such embedded world; there are {', '.join(SIZES)}")
    if out is None:
        return ensure_world(size, seed, progress=advance)
    if Path(out).exists():
        raise RequestError(f"`out` {out}: exists; name a directory to make")
    render_world(replace(SIZES[size], seed=seed), Path(out), progress=advance)
    return Path(out)


def import_data(importer: str, *, out: str | Path, report: Report = quiet, **options: Any) -> "Outcome":
    """Write a manifest of media files on disk.

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


def check_data(
    source: str | Path,
    *,
    out: str | Path | None = None,
    write_clean: str | Path | None = None,
    trust_paths: bool = False,
    report: Report = quiet,
) -> "Checked":
    """Open every file of a dataset and collect all issues.

    Args:
        source: a directory, a manifest, or `synth:tiny|demo|bench`.
        out: CSV to write with every issue.
        write_clean: manifest to write beside the checked one, without the faulty rows; of vectors, a directory to
            make.
        trust_paths: let the manifest name files outside its folder, now and later, as long as it does not change.
        report: takes progress events.

    Returns:
        Issues (`issues`, `counts`, `faults`) and what the clean rows can be used for (`readiness`). Faults raise no
        error.

    Raises:
        RequestError: there is no readable table, or a file cannot be written as asked.

    Example:
        >>> from lowshot.workflows.data import check_data
        >>> check_data("synth:tiny").faults  # doctest: +SKIP
        {}
    """
    from lowshot.checking.run import check_dataset, write_issues
    from lowshot.checking.run import write_clean as write_rows

    checked = check_dataset(manifest_of(source, trust_paths=trust_paths, report=report), report)
    if out is not None:
        write_issues(checked.issues, Path(out))
    if write_clean is not None:
        write_rows(checked, Path(write_clean))
    return checked


@dataclass(frozen=True)
class SplitCounts:
    """Numbers of videos, known identities, voices and faces."""

    videos: int
    identities: int
    voices: int
    faces: int


@dataclass(frozen=True)
class Description:
    """Counts of a dataset, and its identity.

    Attributes:
        name: its name in messages and reports.
        manifest: path of its table.
        sha: identifies it, 16 hexadecimal digits.
        splits: counts by split; `(none)` for rows without one.
    """

    name: str
    manifest: Path
    sha: str
    splits: dict[str, SplitCounts]


def describe_data(source: str | Path, *, trust_paths: bool = False, report: Report = quiet) -> Description:
    """Count videos, identities, voices and faces of a dataset by split.

    Args:
        source, trust_paths, report: as of `open_dataset`.
    """
    dataset = open_dataset(source, trust_paths=trust_paths, report=report)
    splits = {
        str(split or "(none)"): SplitCounts(
            videos=int(rows["video"].nunique()),
            identities=int(rows.loc[rows["identity"] != "", "identity"].nunique()),
            voices=int((rows["modality"] == "voice").sum()),
            faces=int((rows["modality"] == "face").sum()),
        )
        for split, rows in dataset.manifest.groupby("split", sort=False)
    }
    return Description(dataset.name, dataset.manifest_path, dataset.sha, splits)


def pack_data(
    source: str | Path,
    *,
    out: str | Path,
    preset: str | None = None,
    config: str | Path | Settings | None = None,
    settings: Settings | None = None,
    faces: Literal["pixels", "jpeg"] = "pixels",
    jobs: int | None = None,
    skip_unreadable: bool = False,
    trust_paths: bool = False,
    report: Report = quiet,
) -> "Packed":
    """Decode the media of a dataset once.

    The result is a dataset that every verb takes. After a stop, the same call checks what is there and continues.

    Args:
        source: a directory, a manifest, or `synth:tiny|demo|bench`.
        out: the directory to make.
        preset, config, settings: see `resolve_config`. The sections `voice` and `face` decide how media are decoded.
        faces: store decoded pixels (`pixels`) or the files' bytes (`jpeg`), which are smaller and fit any `face.size`.
        jobs: number of processes; if None, the number of CPUs, at most 8.
        skip_unreadable: skip rows whose files cannot be decoded.
        trust_paths: let the manifest name files outside its folder, now and later, as long as it does not change.
        report: takes progress events, and a message for each unreadable file.

    Raises:
        RequestError: files cannot be decoded and `skip_unreadable` is off, or as `pack_dataset`.
        RunError: a worker died.
    """
    from lowshot.data.packing.writing import pack_dataset

    def advance(done: int, total: int) -> None:
        report(Event("steps", "pack", done, total, "file"))

    resolved = resolve_config(preset=preset, config=config, settings=settings)
    dataset = open_dataset(source, trust_paths=trust_paths, report=report)
    target = Path(out)
    packed = pack_dataset(dataset, target, resolved.voice, resolved.face, faces, jobs, skip_unreadable, advance)
    for entry in packed.unreadable:
        report(Event("message", entry.fault))
    count = f"{len(packed.unreadable):,} of {packed.rows:,} files cannot be decoded; {target / UNREADABLE} lists them"
    if not packed.record.finished:
        raise RequestError(f"{out}: {count}. Mend them and give the same command again, or add `skip_unreadable`")
    if packed.unreadable:
        report(Event("message", f"skipped: {count}"))
    return packed
