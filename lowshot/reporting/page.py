"""The page: one HTML file with comparison, outcome and commands.

It loads nothing: it holds pictures as SVG and media as data, and a content security policy forbids every request.
Jinja2 escapes names that come from users.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lowshot import __version__
from lowshot.errors import RequestError
from lowshot.files import write_text
from lowshot.reporting import (
    cluster_tables,
    drawing,
    efficiency_table,
    first_screen,
    plots,
    style,
    table_files,
    tables,
    verdicts,
    views,
)
from lowshot.reporting.drawing import Missing, Picture
from lowshot.reporting.gallery import Gallery
from lowshot.reporting.sources import Sources, gather
from lowshot.schema import PLOTS, REPORT, SEEN

TEMPLATES = Path(__file__).parent / "templates"
USUAL = ("png", "svg")
FORMATS = (*table_files.FORMATS, *drawing.FORMATS)
# Characters of all galleries on one page; with its pictures it stays below 10 MB.
LARGEST_GALLERIES = 5_000_000


def check_formats(names: Sequence[str]) -> tuple[str, ...]:
    """Check the formats that a person names.

    Args:
        names: some of `FORMATS`, or `all` for every one.

    Raises:
        RequestError: a format is unknown.
    """
    wanted = tuple(dict.fromkeys(name for name in names if name))
    if "all" in wanted:
        return FORMATS
    for name in wanted:
        if name not in FORMATS:
            raise RequestError(f"`formats={name}`: no such format; there are {', '.join(FORMATS)} and all")
    return wanted


def write_report(
    directory: Path,
    *,
    title: str,
    curves: Mapping[str, Path],
    commands: Sequence[str],
    formats: Sequence[str] = USUAL,
    sources: Sequence[Path] = (),
) -> Path:
    """Write `report.html`, `plots/` and `tables/` into a directory.

    Args:
        directory: directory to write to; it also holds the results unless `sources` names others.
        title: heading of the page.
        curves: name of a training run (such as pretrain-cmpc-seed0) -> its metrics.csv.
        commands: the command lines that reproduce the results, in order.
        formats: of pictures and tables, some of `FORMATS`.
        sources: directories of results to put on one page; see `sources.gather`.

    Returns:
        Path of report.html.

    Raises:
        RequestError: results.csv is missing, one of the files is malformed, or the sources were measured on different
            data or trials. Nothing is written then.
    """
    found = gather(list(sources) or [directory], curves)
    pictures = plots.draw(found)
    text = _render(found, pictures, title=title, commands=commands)
    for picture in pictures:
        plots.write_picture(directory / PLOTS, picture, [kind for kind in formats if kind in drawing.FORMATS])
    wanted = [kind for kind in formats if kind in table_files.FORMATS]
    table_files.write_tables(directory / "tables", table_files.sheets(found) if wanted else [], wanted)
    path = directory / REPORT
    write_text(path, text)
    return path


def _render(sources: Sources, pictures: Sequence[Picture | Missing], *, title: str, commands: Sequence[str]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        title=title,
        version=__version__,
        pictures=[views.picture_entry(picture) for picture in pictures],
        commands=commands,
        themes=style.theme_variables().values(),
        **_said(sources),
        **_tables(sources),
        **_beside(sources),
    )


def _said(sources: Sources) -> dict[str, Any]:
    """Return the page's sentences and verdicts."""
    results, judged = sources.results, sources.judged
    shown = pd.DataFrame(columns=list(verdicts.COLUMNS)) if judged is None else judged
    main = shown[(shown["first"] == "cmpc") & (shown["second"] == "cid")]
    return {
        "compared": views.compared(results),
        "sentence": first_screen.sentence(results, judged),
        "rivals": first_screen.rivals(results, judged),
        "verdicts": views.entries(main[main["figure"].isin(("auc", "auc_g"))]),
        "all_verdicts": views.entries(shown),
        "verdict_columns": [verdicts.NAMES[figure] for figure in verdicts.NAMES if (shown["figure"] == figure).any()],
        "by_gender": bool((main["figure"] == "auc_g").any()),
        "seeds_told": bool(shown["seed_low"].notna().any()),
        "no_verdicts": views.no_verdicts(results, judged, main),
        "is_validation": tables.population(results) == tables.VALIDATION,
    }


def _tables(sources: Sources) -> dict[str, Any]:
    """Return the page's tables for the template."""
    results = sources.results
    seen = tables.population(results)
    efficiency = sources.efficiency
    return {
        "headline": views.figure_table(tables.headline(results)),
        "strata": views.figure_table(tables.strata(results, seen)),
        "groups": views.figure_table(tables.by_group(sources.groups, seen)),
        "heard": views.figure_table(tables.strata(results, seen=SEEN)),
        "directions": [(words, views.figure_table(table)) for _, words, table in tables.directions(results, seen)],
        "others": [(words, views.figure_table(table)) for _, words, table in table_files.other_tables(results)],
        "probes": [(words, views.figure_table(table)) for _, words, table in table_files.probe_tables(results)],
        "efficiency": [] if efficiency is None else efficiency_table.rows(efficiency),
        "efficiency_g": [] if efficiency is None else efficiency_table.rows(efficiency, "auc_g"),
        "efficiency_reference": "" if efficiency is None else style.name(str(efficiency["reference"].iloc[0])),
        "efficiency_largest": "" if efficiency is None else style.percent(float(efficiency["largest_fraction"].max())),
        "clusters": cluster_tables.rows(sources.clusters),
        "several_seeds": bool((tables.headline(results)["seeds"] > 1).any()),
        "labelled_undrawn": drawing.labelled_undrawn(results),
        "has_oracle": bool((results["method"] == style.ORACLE).any()),
    }


def _beside(sources: Sources) -> dict[str, Any]:
    """Return the galleries that fit, and the provenance."""
    shown: list[Gallery] = []
    skipped: list[Gallery] = []
    size = 0
    for gallery in sources.galleries:
        fits = size + gallery.size <= LARGEST_GALLERIES
        size += gallery.size if fits else 0
        (shown if fits else skipped).append(gallery)
    return {
        "galleries": shown,
        "galleries_skipped": [gallery.model for gallery in skipped],
        "provenance": sources.provenance,
        "warnings": sources.warnings,
    }
