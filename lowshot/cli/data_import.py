"""`lowshot data import`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from tqdm import tqdm

from lowshot.cli.data_import_videos import videos

if TYPE_CHECKING:
    from lowshot.importers.walk import Progress
    from lowshot.importers.writing import Imported

F = TypeVar("F", bound=Callable[..., Any])

_FOLDER = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path)
_SHARE = click.FloatRange(0, 1, max_open=True)


@click.group("import")
def command() -> None:
    """Write a manifest of media as they lie on disk."""


command.add_command(videos)


def _together(*options: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


_JSON = "lowshot.import_as_json"


def _keep_json(context: click.Context, _: click.Parameter, given: bool) -> None:
    context.meta[_JSON] = given


out_option = _together(
    click.option("--out", type=_FILE, required=True, metavar="MANIFEST", help="CSV file to write."),
    # The value goes by the context to `_say`, past importers that have no use for it.
    click.option(
        "--json", is_flag=True, expose_value=False, callback=_keep_json, help="Print what was imported as JSON."
    ),
)
faces_option = click.option(
    "--faces-per-video",
    type=click.IntRange(min=1),
    metavar="N",
    help="Keep at most so many faces of a video, evenly spaced.  [default: all]",
)
share_options = _together(
    click.option("--val", type=_SHARE, default=0.0, show_default=True, help="Share of the identities to validate on."),
    click.option("--test", type=_SHARE, default=0.0, show_default=True, help="Share of the identities to test on."),
    click.option(
        "--split-seed", type=click.IntRange(min=0), default=0, show_default=True, help="Which identities are held out."
    ),
)


@command.command("voxceleb1")
@click.option("--faces", type=_FOLDER, required=True, metavar="DIR", help="Holds <name>/1.6/<video>/*.jpg.")
@click.option("--voices", type=_FOLDER, required=True, metavar="DIR", help="Holds <id>/<video>/*.wav.")
@click.option("--meta", type=_FILE, required=True, metavar="FILE", help="vox1_meta.csv.")
@click.option(
    "--splits",
    type=_FILE,
    metavar="FILE",
    help="identity_splits.txt: who is trained and who is tested on.  [default: the one beside --meta]",
)
@out_option
@faces_option
def voxceleb1(
    faces: Path, voices: Path, meta: Path, splits: Path | None, out: Path, faces_per_video: int | None
) -> None:
    """VoxCeleb1, split by people as the field splits it across modalities."""
    from lowshot.importers.voxceleb import import_voxceleb1

    with _bar() as progress:
        done = import_voxceleb1(faces, voices, meta, splits, out, faces_per_video, progress)
    _say(done)


@command.command("voxceleb2")
@click.option("--faces", type=_FOLDER, required=True, metavar="DIR", help="Holds <id>/<video>/*.jpg.")
@click.option("--voices", type=_FOLDER, required=True, metavar="DIR", help="Holds <id>/<video>/*.m4a.")
@click.option("--meta", type=_FILE, required=True, metavar="FILE", help="vox2_meta.csv.")
@out_option
@click.option(
    "--val", type=_SHARE, default=0.1, show_default=True, help="Share of the development identities to validate on."
)
@click.option(
    "--split-seed", type=click.IntRange(min=0), default=0, show_default=True, help="Which identities are held out."
)
@faces_option
def voxceleb2(
    faces: Path, voices: Path, meta: Path, out: Path, val: float, split_seed: int, faces_per_video: int | None
) -> None:
    """VoxCeleb2: voices as M4A, and frames that were cut from its films."""
    from lowshot.importers.splits import Shares
    from lowshot.importers.voxceleb import import_voxceleb2

    with _bar() as progress:
        shares = Shares(val=val, seed=split_seed)
        done = import_voxceleb2(faces, voices, meta, out, shares, faces_per_video, progress)
    _say(done)


@command.command("mavceleb")
@click.option("--faces", type=_FOLDER, required=True, metavar="DIR", help="Holds <id>/<language>/<video>/*.jpg.")
@click.option("--voices", type=_FOLDER, required=True, metavar="DIR", help="Holds <id>/<language>/<video>/*.wav.")
@click.option("--meta", type=_FILE, metavar="FILE", help="v1_meta.csv or alike, with ids, name and gender.")
@out_option
@share_options
@faces_option
def mavceleb(
    faces: Path,
    voices: Path,
    meta: Path | None,
    out: Path,
    val: float,
    test: float,
    split_seed: int,
    faces_per_video: int | None,
) -> None:
    """The training part of a version of MAV-Celeb (FAME), with the language as a column."""
    from lowshot.importers.mavceleb import import_mavceleb
    from lowshot.importers.splits import Shares

    with _bar() as progress:
        shares = Shares(val, test, split_seed)
        done = import_mavceleb(faces, voices, meta, out, shares, faces_per_video, progress)
    _say(done)


@command.command("folder")
@click.argument("folder", type=_FOLDER)
@out_option
@click.option(
    "--identities/--no-identities",
    default=None,
    help="Whether the first folder is a person.  [default: if that pairs voices with faces]",
)
@share_options
@faces_option
def folder(
    folder: Path,
    out: Path,
    identities: bool | None,
    val: float,
    test: float,
    split_seed: int,
    faces_per_video: int | None,
) -> None:
    """A FOLDER that holds <identity>/<video>/..., or <video>/... without identities; endings tell voices from faces."""
    from lowshot.importers.folder import import_folder
    from lowshot.importers.splits import Shares

    with _bar() as progress:
        shares = Shares(val, test, split_seed)
        done, known = import_folder(folder, out, shares, identities, faces_per_video, progress)
    if identities is None:
        read, other = ("<identity>/<video>", "--no-identities") if known else ("<video>", "--identities")
        click.echo(f"read as {read}/...; {other} reads it the other way", err=True)
    _say(done)


@command.command("csv")
@click.argument("table", type=_FILE)
@out_option
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="OURS=THEIRS",
    help="What the table calls a column of the manifest, as in path=file; may be repeated.",
)
@click.option(
    "--value",
    "values",
    multiple=True,
    metavar="COLUMN:THEIRS=OURS",
    help="What a word of the table is in the manifest, as in split:dev=train; may be repeated.",
)
@click.option("--root", type=_FOLDER, metavar="DIR", help="What paths are relative to.  [default: the table's folder]")
@click.option("--trust-paths", is_flag=True, help="Allow paths that lead out of that folder.")
@share_options
def csv(
    table: Path,
    out: Path,
    columns: tuple[str, ...],
    values: tuple[str, ...],
    root: Path | None,
    trust_paths: bool,
    val: float,
    test: float,
    split_seed: int,
) -> None:
    """A TABLE of one's own, one row per voice clip or face image, with other columns."""
    from lowshot.importers.splits import Shares
    from lowshot.importers.table import import_table

    named = dict(_cut("--column", text, "=") for text in columns)
    words = {}
    for text in values:
        column, rest = _cut("--value", text, ":")
        theirs, ours = _cut("--value", rest, "=", text)
        words[column, theirs] = ours
    _say(import_table(table, out, named, words, Shares(val, test, split_seed), root, trust_paths))


def _cut(option: str, text: str, mark: str, whole: str | None = None) -> tuple[str, str]:
    left, found, right = text.rpartition(mark) if mark == "=" else text.partition(mark)
    if not found or (not left and mark == ":"):
        form = "OURS=THEIRS, as in path=file" if option == "--column" else "COLUMN:THEIRS=OURS, as in split:dev=train"
        raise click.UsageError(f"{option} {whole or text}: give {form}")
    return left, right


@contextmanager
def _bar() -> "Iterator[Progress]":
    with tqdm(desc="import", unit="file", disable=None) as bar:

        def advance(count: int) -> None:
            bar.update(count)

        yield advance


def _say(done: "Imported") -> None:
    if click.get_current_context().meta[_JSON]:
        click.echo(json.dumps(_record(done)))
        return
    for split in sorted(done.videos):
        voices, faces = done.rows[split, "voice"], done.rows[split, "face"]
        people = f" of {done.identities[split]:,} identities" if done.identities[split] else ""
        click.echo(
            f"{split or '(no split)'}: {done.videos[split]:,} videos{people}, {voices:,} voices, {faces:,} faces"
        )
    if done.thinned:
        click.echo(f"thinned out: {done.thinned:,} faces")
    for reason, count in done.skipped.counts.most_common():
        click.echo(f"left out: {count:,} {reason}")
    if done.skipped.counts:
        click.echo(f"what was left out stands in {done.report}")
    if done.outside:
        click.echo(
            "media lie outside the manifest's folder: it has absolute paths, which are trusted here and nowhere else",
            err=True,
        )
    click.echo(str(done.manifest))


def _record(done: "Imported") -> dict[str, object]:
    """The same for JSON."""
    splits = {
        split or "(none)": {
            "videos": done.videos[split],
            "identities": done.identities[split],
            "voices": done.rows[split, "voice"],
            "faces": done.rows[split, "face"],
        }
        for split in sorted(done.videos)
    }
    skipped = dict(done.skipped.counts.most_common())
    return {
        "manifest": str(done.manifest),
        "splits": splits,
        "thinned": done.thinned,
        "skipped": skipped,
        "report": str(done.report) if skipped else None,
        "absolute_paths": done.outside,
    }
