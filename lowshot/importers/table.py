"""A table of one's own, with other columns and other words."""

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
from lowshot.importers.writing import Imported, check_out, path_in_manifest, start_of_paths
from lowshot.schema import ATTRIBUTES, MANIFEST_COLUMNS, MODALITIES, SPLITS

Values = Mapping[tuple[str, str], str]
"""Of a column of the manifest and a word of the table, the word of the manifest."""

_WORDS = {"modality": MODALITIES, "split": SPLITS}


def import_table(
    table: Path,
    out: Path,
    columns: Mapping[str, str],
    values: Values,
    shares: Shares,
    root: Path | None = None,
    trust_paths: bool = False,
) -> Imported:
    """Write a manifest of a table with one row per voice clip or face image.

    Args:
        table: CSV, separated by commas, semicolons or tabs.
        out: the manifest to write.
        columns: of columns of the manifest, what the table calls them; others are called the same. Further columns of
            the table are kept. Without `modality`, endings of file names tell it.
        values: words of the table that are others in the manifest.
        shares: of the identities, to hold out; for tables without splits.
        root: what the table's paths are relative to; its own folder when None.
        trust_paths: whether paths may lead out of that folder.

    Raises:
        RequestError: the table is unreadable, lacks a column, has a word that no manifest has, or what comes of it
            breaks a rule of manifests. Names the row or the column.
    """
    check_out(out)
    rows = read_columns(table, "table")
    header = [name.strip() for name in rows.fields[0]]
    places = _places(table, header, columns)
    kept = [name for place, name in enumerate(header) if place not in places.values() and name not in places]
    if len(set(kept)) < len(kept):
        double = next(name for name, count in Counter(kept).items() if count > 1)
        raise RequestError(f"{table}: column '{double}' stands twice; rename one")
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
                f"{table}, row {line}: path '{found['path']}' leads out of {start}; name the folder that paths are "
                "relative to with --root, or add --trust-paths"
            )
        for name in own:
            cells[name].append(found.get(name, ""))
        for name in kept:
            cells[name].append(row[header.index(name)])
    made = _pair(pd.DataFrame(cells, dtype=str), start, skipped)
    if shares.val or shares.test:
        if (made["split"] != "").any():
            raise RequestError(f"{table}: has splits of its own; leave --val and --test out")
        drawn = shares.draw(sorted(set(made["identity"]) - {""}))
        made["split"] = [drawn.get(name, "") for name in made["identity"]]
    return _write(made, start, out, skipped)


def _places(table: Path, header: list[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Where the columns of the manifest stand in the table."""
    places = {}
    for name in dict.fromkeys((*MANIFEST_COLUMNS, *ATTRIBUTES, *columns)):
        theirs = columns.get(name, name)
        if theirs in header:
            places[name] = header.index(theirs)
        elif name in columns:
            raise RequestError(f"--column {name}={theirs}: {table} has no column '{theirs}', but {', '.join(header)}")
    for name in ("path", "video"):
        if name not in places:
            raise RequestError(
                f"{table}: no column '{name}'; say which it is, as in --column {name}={header[0]} "
                f"(there are {', '.join(header)})"
            )
    return places


def _check(table: Path, line: int, found: Mapping[str, str]) -> None:
    for name, words in _WORDS.items():
        word = found.get(name, "")
        if word not in words:
            raise RequestError(
                f"{table}, row {line}: {name} '{word}' is none of {', '.join(filter(None, words))}; "
                f"say which it is, as in --value {name}:{word}={words[0]}"
            )
    if not found["video"]:
        raise RequestError(f"{table}, row {line}: video is empty; it pairs voices with faces")


def _pair(rows: pd.DataFrame, start: Path, skipped: Skipped) -> pd.DataFrame:
    """The rows of videos that have both modalities."""
    has = {name: rows["video"].isin(rows.loc[rows["modality"] == name, "video"]) for name in MODALITIES}
    for name in MODALITIES:
        lone = rows.loc[~has[name], "path"]
        skipped.add(f"of a video without {name}s", start.as_posix(), lone.tolist())
    return rows[has["voice"] & has["face"]].reset_index(drop=True)


def _write(rows: pd.DataFrame, start: Path, out: Path, skipped: Skipped) -> Imported:
    if rows.empty:
        raise RequestError(
            f"no video has both a voice and a face; left out: {skipped}" if skipped.counts else "no rows"
        )
    begin = start_of_paths(start, out)
    rows["path"] = [path_in_manifest(start / path, out) if leaves_root(path) else begin + path for path in rows["path"]]
    write_manifest(rows, out)
    outside = any(map(leaves_root, rows["path"]))
    if outside:
        trust(out)
    done = Imported(out, skipped, outside=outside)
    skipped.write(done.report)
    done.rows.update(zip(rows["split"], rows["modality"], strict=True))
    for column, counter in (("video", done.videos), ("identity", done.identities)):
        places = rows.loc[rows[column] != "", [column, "split"]].drop_duplicates()
        counter.update(places["split"])
    return done
