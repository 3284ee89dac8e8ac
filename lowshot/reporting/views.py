"""Tables, verdicts and pictures as text for the page's template."""

import html
import math
import re
from typing import Any

import pandas as pd

from lowshot.reporting import style, tables, verdicts
from lowshot.reporting.drawing import Missing, Picture


def models(results: pd.DataFrame) -> list[str]:
    """List the methods of a results table, in the order of legends."""
    methods = set(results["method"]) - {style.CHANCE, style.ORACLE}
    return sorted(methods, key=style.sort_key)


def compared(results: pd.DataFrame) -> str:
    """Say in one sentence what was compared on which trials."""
    names = [style.long_name(method) for method in models(results)]
    listed = " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "Chance and the oracle"
    listed = listed[0].upper() + listed[1:]
    verb = "were" if len(names) != 1 else "was"
    is_validation = tables.population(results) == tables.VALIDATION
    trials = tables.where_equal(results, {**tables.AUC, "seen": tables.population(results)})
    sizes = [_largest(trials, column) for column in ("n_trials", "n_identities")]
    if len(names) > 1:
        verb += " compared"
    else:
        verb += " measured"
    on = "the trials in results.csv" if trials.empty else f"{'validation' if is_validation else 'unseen'} identities"
    if None not in sizes:
        people = "validation identities" if is_validation else "identities that no model was trained on"
        on = f"{sizes[0]:,} verification trials between {sizes[1]:,} {people}"
    budgets = tables.budgets(results[results["method"].isin(models(results))])
    fractions = sorted(fraction for fraction in budgets["fraction"].dropna().unique() if fraction > 0)
    labels = ["without labels"] if (budgets["fraction"] == 0).any() else []
    if fractions:
        shares = " and ".join(style.percent(fraction) for fraction in fractions)
        labels.append(f"with {shares} of the training identities labelled")
    return f"{listed} {verb} on {on}{', ' + ' and '.join(labels) if labels else ''}."


def _largest(table: pd.DataFrame, column: str) -> int | None:
    if column not in table:
        return None
    values = pd.to_numeric(table[column], errors="coerce").dropna()
    return None if values.empty else int(values.max())


def entries(judged: pd.DataFrame) -> list[dict[str, Any]]:
    """Return paired differences for the page, an entry per pair and budget."""
    shown: dict[tuple[str, str], dict[str, Any]] = {}
    for row in judged.to_dict("records"):
        labels = style.labels(row["adaptation"], row["fraction"]) or "labels not stated"
        pair = f"{style.name(row['first'])} − {style.name(row['second'])}"
        count = row["seeds"]
        seeds = "" if math.isnan(count) else f"{count:.0f} {'seed' if count == 1 else 'seeds'}"
        entry = shown.setdefault((pair, labels), {"labels": labels, "pair": pair, "seeds": seeds, "parts": {}})
        p = row["p_holm"]
        entry["parts"][verdicts.NAMES[row["figure"]]] = {
            "value": verdicts.points(row["difference"]),
            "interval": verdicts.band(row["low"], row["high"], ", "),
            "spread": verdicts.band(row["seed_low"], row["seed_high"], " to "),
            "p": "" if math.isnan(p) else "p < 0.001" if p < 0.001 else f"p = {p:.3f}",
            "verdict": row["verdict"],
        }
    return list(shown.values())


def no_verdicts(results: pd.DataFrame, judged: pd.DataFrame | None, main: pd.DataFrame) -> str:
    """Say why CMPC − CID is not shown; "" if it is."""
    if not main.empty:
        return ""
    measured = models(results)
    if len(measured) < 2:
        only = style.name(measured[0]) if measured else "no model"
        return f"Only {only} was measured: there is nothing to compare it with."
    if judged is None:
        return "No paired difference was computed (no differences.csv): the figures below do not rank methods."
    return "differences.csv has no difference between CMPC and CID on unseen identities."


def figure_table(table: pd.DataFrame) -> dict[str, Any]:
    """Return headings and rows of a `tables.figures` table for the template."""
    columns = tables.names_of_figures(table)
    rows = []
    before: tuple[str, str] | None = None
    for row in table.to_dict("records"):
        reference = row["method"] in (style.CHANCE, style.ORACLE)
        labels = "" if reference else style.labels(row["adaptation"], row["fraction"]) or "not stated"
        group = ("reference", row["method"]) if reference else ("model", labels)
        rows.append(
            {
                "labels": labels,
                "method": style.name(row["method"]),
                "seeds": row["seeds"],
                "reference": reference,
                "starts": group != before,
                "cells": [tables.cell(row, column) for column in columns],
            }
        )
        before = group
    return {"columns": [tables.heading(column) for column in columns], "rows": rows if columns else []}


def picture_entry(picture: Picture | Missing) -> dict[str, Any]:
    if isinstance(picture, Missing):
        return {"name": picture.name, "title": picture.title, "svg": None, "reason": picture.reason}
    return {"name": picture.name, "title": picture.title, "svg": _inline(picture), "reason": ""}


def _inline(picture: Picture) -> Any:
    """Return a picture's SVG for the page.

    It has shapes only, unique identifiers, and the theme's colours.
    """
    from markupsafe import Markup

    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", picture.svg, flags=re.DOTALL)
    text = text[text.index("<svg") :]
    text = re.sub(r'(?<=[ "])(id="|xlink:href="#|clip-path="url\(#)', rf"\g<1>{picture.name}-", text)
    text = text.replace("xlink:href=", "href=")
    for variable, light, _ in style.theme_variables().values():
        text = text.replace(light, f"var({variable})")
    box = re.search(r'viewBox="[^"]*"', text)
    if box is None:
        raise ValueError(f"the SVG of picture {picture.name} has no viewBox")
    opening = f'<svg {box[0]} role="img" aria-label="{html.escape(picture.alt, quote=True)}">'
    return Markup(opening + text[text.index(">") + 1 :])
