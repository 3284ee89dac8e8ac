"""The tables of a page as CSV, Markdown and LaTeX files."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from lowshot.files import write_text
from lowshot.reporting import efficiency_table, style, tables, verdicts
from lowshot.reporting.sources import PROBED, Sources

FORMATS = ("csv", "md", "latex")
_SEARCHES = tuple(tables.search_name(name, stratum) for stratum in tables.STRATA for name in tables.DIRECTIONS)
_NAMES = ("headline", "strata", "groups", *_SEARCHES, "differences", "label-efficiency")
OTHER = "protocol-"
"""Prefix of the names of tables of other protocols."""
_SUFFIX = {"csv": ".csv", "md": ".md", "latex": ".tex"}
# Columns with a figure of `verdicts.FIGURES`; only these differences are tested.
_TESTED = {
    "headline": {name: name for name in tables.HEADLINE},
    "strata": {"U": "auc", "G": "auc_g", "GNA": "auc_gna"},
    "voice_to_face": {"1:2": "accuracy", "mAP": "map"},
}
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "→": r"$\rightarrow$",
    "−": r"$-$",
    "–": "--",
    "…": r"\ldots{}",
}


@dataclass(frozen=True, eq=False)
class Sheet:
    """One table.

    Attributes:
        name: of its files, without suffix.
        caption: one line.
        data: its numbers, for CSV.
        lines: heading and rows as text.
        best: (row, column) of the cells in `lines` that are better than every other model in their group, by the
            intervals.
    """

    name: str
    caption: str
    data: pd.DataFrame
    lines: list[list[str]]
    best: frozenset[tuple[int, int]] = field(default_factory=frozenset)


def sheets(sources: Sources) -> list[Sheet]:
    """Return every table of a page that holds a figure."""
    results, judged = sources.results, sources.judged
    seen = tables.population(results)
    people = "validation identities" if seen == tables.VALIDATION else "unseen identities"
    wanted = [
        ("headline", f"Headline figures on {people}, per cent, with 95 % intervals", tables.headline(results)),
        ("strata", f"Verification AUC on {people} by what the impostor shares", tables.strata(results, seen)),
        ("groups", f"Verification AUC on {people} by the gender of the voice", tables.by_group(sources.groups, seen)),
    ]
    for name, words, table in tables.directions(results, seen):
        wanted.append((name, f"Matching and retrieval on {people}, {words}, per cent", table))
    for name, words, table in (*other_tables(results), *probe_tables(results)):
        wanted.append((name, words, table))
    found = [_sheet(name, caption, table, judged) for name, caption, table in wanted if tables.names_of_figures(table)]
    if judged is not None and len(judged):
        found.append(_differences(judged))
    if sources.efficiency is not None:
        found.append(_efficiency(sources.efficiency))
    return found


def probe_tables(results: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Return the tables of probes within a modality: name, caption and figures.

    There is one per directory and modality, because chance depends on the labelled people.
    """
    probed = results[results["protocol"].str.startswith(PROBED)]
    found = []
    for place, (_, rows) in enumerate(probed.groupby("source", sort=False)):
        for modality, part in rows.groupby("direction", sort=False):
            wanted: dict[str, dict[str, object]] = {
                f"{protocol.removeprefix(PROBED)} {metric.replace('_', ' ')}": {"protocol": protocol, "metric": metric}
                for protocol, metric in dict.fromkeys(zip(part["protocol"], part["metric"], strict=True))
            }
            number = f"-{place + 1}" if probed["source"].nunique() > 1 else ""
            caption = f"Classifiers on frozen {modality} embeddings, per cent"
            found.append((f"probe-{modality}{number}", caption, tables.figures(part, wanted)))
    return found


def other_tables(results: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Return the tables of other protocols: name, caption and figures.

    There is one per list of trials. Figures outside [0, 1] stand in results.csv alone, because a table shows per cent.
    """
    shown = {where["protocol"] for where in tables.HEADLINE.values()}
    others = results[~results["protocol"].isin(shown) & ~results["protocol"].str.startswith(PROBED)]
    found = []
    for place, part in others.groupby(["protocol", "direction", "stratum", "seen"], sort=False):
        words = [str(word) for word in place if word]
        where = dict(zip(("protocol", "direction", "stratum", "seen"), place, strict=True))
        wanted: dict[str, dict[str, object]] = {}
        for (metric, n), rows in part.groupby(["metric", "gallery_size"], sort=False, dropna=False):
            size = float(str(n))
            if rows["value"].between(0, 1).all():
                sized: dict[str, object] = {} if math.isnan(size) else {"gallery_size": size}
                name = " ".join([str(metric), *(f"1:{n:g}" for n in sized.values())])
                wanted[name] = {**where, "metric": metric, **sized}
        found.append((f"{OTHER}{'-'.join(words)}", f"{' '.join(words)}, per cent", tables.figures(part, wanted)))
    return found


def _sheet(name: str, caption: str, table: pd.DataFrame, judged: pd.DataFrame | None) -> Sheet:
    lines = tables.lines(table)
    best = []
    for column, figure in _TESTED.get(name, {}).items():
        if column in tables.names_of_figures(table) and judged is not None:
            place = lines[0].index(tables.heading(column))
            best += [(row + 1, place) for row in _supported(table, column, figure, judged)]
    return Sheet(name, caption, table, lines, frozenset(best))


def _supported(table: pd.DataFrame, column: str, figure: str, judged: pd.DataFrame) -> list[int]:
    """Find rows that are better than every other model under their budget.

    Their intervals exclude zero.
    """
    records = table.to_dict("records")
    groups: dict[tuple[object, object], list[int]] = {}
    for place, row in enumerate(records):
        if row["method"] not in (style.CHANCE, style.ORACLE) and not math.isnan(row[column]):
            groups.setdefault((row["adaptation"], row["fraction"]), []).append(place)
    won = []
    for (adaptation, fraction), places in groups.items():
        top = max(places, key=lambda place: records[place][column])
        rivals = [records[place]["method"] for place in places if place != top]
        where = {"figure": figure, "adaptation": adaptation, "fraction": fraction}
        said = tables.where_equal(judged, where).to_dict("records")
        if rivals and all(_is_ahead(said, records[top]["method"], rival) for rival in rivals):
            won.append(top)
    return won


def _is_ahead(said: Sequence[Mapping[object, object]], ours: object, theirs: object) -> bool:
    for row in said:
        if (row["first"], row["second"]) == (ours, theirs):
            return float(str(row["low"])) > 0
        if (row["first"], row["second"]) == (theirs, ours):
            return float(str(row["high"])) < 0
    return False


def _differences(judged: pd.DataFrame) -> Sheet:
    lines = [["Labels", "Pair", "Figure", "Difference", "95 % interval", "Seeds", "p (Holm)", "Verdict"]]
    for row in judged.to_dict("records"):
        p = row["p_holm"]
        lines.append(
            [
                style.labels(row["adaptation"], row["fraction"]),
                f"{style.name(row['first'])} − {style.name(row['second'])}",
                verdicts.NAMES[row["figure"]],
                verdicts.points(row["difference"]),
                f"[{verdicts.band(row['low'], row['high'], ', ')}]" if not math.isnan(row["low"]) else "",
                verdicts.band(row["seed_low"], row["seed_high"], " to "),
                "" if math.isnan(p) else f"{p:.3f}",
                row["verdict"],
            ]
        )
    return Sheet("differences", "Paired differences on the same trials, in percentage points", judged, lines)


def _efficiency(table: pd.DataFrame) -> Sheet:
    reference = style.name(str(table["reference"].iloc[0]))
    lines = [["Method", "Its labels", "Its AUC", f"Labels that {reference} needs", "95 % interval"]]
    lines += [
        [row[key] for key in ("method", "labels", "value", "equal", "interval")] for row in efficiency_table.rows(table)
    ]
    return Sheet("label-efficiency", f"Labels that {reference} needs for the same verification AUC", table, lines)


def write_tables(folder: Path, found: Sequence[Sheet], formats: Sequence[str]) -> list[Path]:
    """Write tables as FOLDER/NAME.csv, .md and .tex; remove older ones.

    Args:
        folder: of the tables.
        found: from `sheets`.
        formats: some of `FORMATS`.

    Returns:
        The files.
    """
    paths = []
    for sheet in found:
        for kind in formats:
            path = folder / f"{sheet.name}{_SUFFIX[kind]}"
            text = {"csv": to_csv, "md": to_markdown, "latex": to_latex}[kind](sheet)
            write_text(path, text)
            paths.append(path)
    for path in folder.glob("*"):
        ours = path.stem in _NAMES or path.stem.startswith((PROBED, OTHER))
        if ours and path.suffix in _SUFFIX.values() and path not in paths:
            path.unlink()
    return paths


def to_csv(sheet: Sheet) -> str:
    """Write a table's numbers as CSV, in [0, 1]."""
    return sheet.data.to_csv(index=False, lineterminator="\n")


def to_markdown(sheet: Sheet) -> str:
    """Write a table as Markdown; bold figures are best by an interval."""
    head, *rows = [[tables.escape_markdown(cell) for cell in line] for line in sheet.lines]
    for row, column in sheet.best:
        rows[row - 1][column] = f"**{rows[row - 1][column]}**"
    lines = [head, ["---"] * len(head), *rows]
    return f"{sheet.caption}.\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def to_latex(sheet: Sheet) -> str:
    """Write a table for LaTeX's booktabs, with the best in bold."""
    head, *rows = sheet.lines
    numbers = [
        bool(rows) and all(re.match(r"[-+−]?\d|–|$|\[", row[place]) for row in rows) for place in range(len(head))
    ]
    body = []
    before = None
    for index, row in enumerate(rows, start=1):
        cells = [_cell(text, (index, place) in sheet.best) for place, text in enumerate(row)]
        if before is not None and row[0] != before:
            body.append(r"\midrule")
        before = row[0]
        body.append(" & ".join(cells) + r" \\")
    bold = (
        "bold: better than every other model with the same labels, by the 95 % interval of the paired difference"
        if sheet.best
        else "nothing in bold: no model was shown to be better than every other, or some pairs were not compared"
    )
    return "\n".join(
        [
            f"% {' '.join(sheet.caption.split())}; {bold}. Needs \\usepackage{{booktabs}}.",
            rf"\begin{{tabular}}{{{''.join('r' if number else 'l' for number in numbers)}}}",
            r"\toprule",
            " & ".join(escape_latex(text) for text in head) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _cell(text: str, is_best: bool) -> str:
    value, bracket, interval = text.partition(" [")
    shown = escape_latex(value)
    if is_best:
        shown = rf"\textbf{{{shown}}}"
    if bracket and interval.endswith("]"):
        return rf"{shown} {{\scriptsize [{escape_latex(interval)}}}"
    shown += escape_latex(bracket + interval)
    # LaTeX reads a bracket or a star after the end of a line as its argument.
    return f"{{}}{shown}" if shown[:1] in ("[", "*") else shown


def escape_latex(text: str) -> str:
    """Escape text for LaTeX."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
