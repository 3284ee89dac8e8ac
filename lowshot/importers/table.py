"""Your own table, with other columns and other words."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lowshot.data.dataset import leaves_root
from lowshot.data.manifest import write_manifest
from lowshot.data.table_text import read_columns
from lowshot.data.trust import trust
from lowshot.errors import RequestError
from lowshot.importers.collect import modality_of
from lowshot.importers.skipped import Skipped
from lowshot.importers.splits import Shares
from lowshot.importers.writing import OUTSIDE_PATHS, Imported, check_out, path_in_manifest, start_of_paths
from lowshot.progress import Report, message, quiet
from lowshot.schema import ATTRIBUTES, MANIFEST_COLUMNS, MODALITIES, SPLITS

_WORDS = {"modality": MODALITIES, "split": SPLITS}


def import_table(
    table: Path,
    out: Path,
    *,
    column: Mapping[str, str] | None = None,
    value: Mapping[str, str] | None = None,
    root: Path | None = None,
    trust_paths: bool = False,
    val: float = 0.0,
    test: float = 0.0,
    split_seed: int = 0,
    report: Report = quiet,
) -> Imported:
    """Write a manifest of a table with one row per voice clip or face image.

    Args:
        table: CSV, separated by commas, semicolons or tabs. Further columns are kept. If it has no column `modality`,
            endings of file names tell voices from faces.
        out: the manifest to write.
        column: the table's names of columns by the manifest's, as in `{"path": "file"}`. Others have the same name.
        value: the manifest's words by column and the table's word, as in `{"split:dev": "train"}`.
        root: folder that the table's paths are relative to; its own folder if None.
        trust_paths: allow paths that lead out of that folder.
        val, test, split_seed: shares of the identities to hold out, for a table without splits, and the seed of their
            choice.
        report: takes messages.

    Raises:
        RequestError: the table is unreadable, lacks a column, has an unknown word, or breaks a rule of manifests.
            Names the row or the column.

    Example:
        >>> import_table(Path("clips.csv"), Path("manifest.csv"), column={"path": "file"})  # doctest: +SKIP
    """
    columns, values = column or {}, _words(value or {})
    shares = Shares(val, test, split_seed)
    check_out(out)
    rows = read_columns(table, "table")
    header = [name.strip() for name in rows.fields[0]]
    places = _places(table, header, columns)
    kept = [name for place, name in enumerate(header) if place not in places.values() and name not in places]
    if len(set(kept)) < len(kept):
        double = next(name for name, count in Counter(kept).items() if count > 1)
        raise RequestError(f"{table}: column '{double}' appears twice; rename one")
    start = (root or table.parent).absolute()
    skipped = Skipped()
    own = list(dict.fromkeys((*MANIFEST_COLUMNS, *places)))
    cells: dict[str, list[str]] = {name: [] for name in (*own, *kept)}
    for row, line in zip(rows.fields[1:], rows.line[1:], strict=True):
        found = {name: row[place] for name, place in places.items()}
        found = {name: values.get((name, cell), cell) for name, cell in found.items()}
        found.setdefault("modality", modality_of(found["path"]))
        reason = "without a path" if not found["path"] else "" if found["modality"] else "of an unknown kind"
        if reason:
            skipped.add(reason, start.as_posix(), [found["path"]])
            continue
        _check(table, int(line), found)
        if leaves_root(found["path"]) and not trust_paths:
            raise RequestError(
                f"{table}, row {line}: path '{found['path']}' leads out of {start}; give `root`, the folder that paths "
                "are relative to, or add `trust_paths`"
            )
        for name in own:
            cells[name].append(found.get(name, ""))
        for name in kept:
            cells[name].append(row[header.index(name)])
    made = _pair(pd.DataFrame(cells, dtype=str), start, skipped)
    if shares.val or shares.test:
        if (made["split"] != "").any():
            raise RequestError(f"{table}: has splits; omit `val` and `test`")
        drawn = shares.assign(sorted(set(made["identity"]) - {""}))
        made["split"] = [drawn.get(name, "") for name in made["identity"]]
    return _write(made, start, out, skipped, report)


def _words(value: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Return the manifest's words by column and the table's word."""
    words = {}
    for key, ours in value.items():
        column, colon, theirs = key.partition(":")
        if not column or not colon:
            raise RequestError(f"`value={key}={ours}`: give COLUMN:THEIRS=OURS, as in split:dev=train")
        words[column, theirs] = ours
    return words


def _places(table: Path, header: list[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Find the columns of the manifest in the table."""
    places = {}
    for name in dict.fromkeys((*MANIFEST_COLUMNS, *ATTRIBUTES, *columns)):
        theirs = columns.get(name, name)
        if theirs in header:
            places[name] = header.index(theirs)
        elif name in columns:
            raise RequestError(f"`column={name}={theirs}`: {table} has no column '{theirs}', but {', '.join(header)}")
    for name in ("path", "video"):
        if name not in places:
            raise RequestError(
                f"{table}: no column '{name}'; say which it is, as in `column={name}={header[0]}` "
                f"(there are {', '.join(header)})"
            )
    return places


def _check(table: Path, line: int, found: Mapping[str, str]) -> None:
    for name, words in _WORDS.items():
        word = found.get(name, "")
        if word not in words:
            raise RequestError(
                f"{table}, row {line}: {name} '{word}' is none of {', '.join(filter(None, words))}; "
                f"say which it is, as in `value={name}:{word}={words[0]}`"
            )
    if not found["video"]:
        raise RequestError(f"{table}, row {line}: video is empty; it pairs voices with faces")


def _pair(rows: pd.DataFrame, start: Path, skipped: Skipped) -> pd.DataFrame:
    """Return the rows of videos that have both modalities."""
    has = {name: rows["video"].isin(rows.loc[rows["modality"] == name, "video"]) for name in MODALITIES}
    for name in MODALITIES:
        lone = rows.loc[~has[name], "path"]
        skipped.add(f"of a video without {name}s", start.as_posix(), lone.tolist())
    return rows[has["voice"] & has["face"]].reset_index(drop=True)


def _write(rows: pd.DataFrame, start: Path, out: Path, skipped: Skipped, report: Report) -> Imported:
    if rows.empty:
        raise RequestError(
            f"no video has both a voice and a face; skipped: {skipped}" if skipped.counts else f"{out}: no rows"
        )
    begin = start_of_paths(start, out)
    rows["path"] = [path_in_manifest(start / path, out) if leaves_root(path) else begin + path for path in rows["path"]]
    write_manifest(rows, out)
    outside = any(map(leaves_root, rows["path"]))
    if outside:
        trust(out)
        message(report, OUTSIDE_PATHS)
    done = Imported(out, skipped, outside=outside)
    skipped.write(done.skipped_list)
    done.rows.update(zip(rows["split"], rows["modality"], strict=True))
    for column, counter in (("video", done.videos), ("identity", done.identities)):
        places = rows.loc[rows[column] != "", [column, "split"]].drop_duplicates()
        counter.update(places["split"])
    return done
