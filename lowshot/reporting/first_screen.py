"""The first screen: one sentence, and the main method against each rival."""

import math
from typing import Any

import pandas as pd

from lowshot.reporting import style, tables, verdicts

MAIN = "cmpc"
_MOST_BUDGETS = 5
_FRACTIONS = (0.0, 0.01, 0.1)


def main_method(results: pd.DataFrame) -> str | None:
    """Return the page's main method: CMPC if measured, else the first."""
    methods = sorted(set(results["method"]) - {style.CHANCE, style.ORACLE}, key=style.sort_key)
    return (MAIN if MAIN in methods else methods[0]) if methods else None


def sentence(results: pd.DataFrame, judged: pd.DataFrame | None) -> str:
    """Put the difference with the fewest labels into a sentence.

    It has the interval and the verdict.

    Args:
        results: from `tables.check`.
        judged: from `verdicts.judge`; None if no difference was computed.

    Returns:
        "" if nothing was measured.
    """
    seen = tables.population(results)
    auc = tables.figures(results, {"auc": {**tables.AUC, "seen": seen}})
    main = main_method(results)
    measured = auc[(auc["method"] == main) & auc["auc"].notna()]
    if main is None or measured.empty:
        return ""
    beside = _beside(auc)
    said = [] if judged is None or seen != tables.UNSEEN else judged[judged["figure"] == "auc"].to_dict("records")
    ours = [row for row in said if main in (row["first"], row["second"])]
    if ours:
        # `judge` puts cmpc against cid first, and budgets by their number of labels.
        row = ours[0]
        first, second = row["first"], row["second"]
        values = {name: tables.of_budget(auc, {**row, "method": name})["auc"].tolist() for name in (first, second)}
        reached = " and ".join(f"{style.name(name)} {_percent(value)}" for name, value in values.items())
        labels = style.labels(row["adaptation"], row["fraction"]) or "labels not stated"
        interval = verdicts.band(row["low"], row["high"], ", ")
        return (
            f"Verification AUC, {labels}: {reached}{beside}. {style.name(first)} − {style.name(second)} is "
            f"{verdicts.points(row['difference'])} points{f', 95 % interval [{interval}]' if interval else ''}: "
            f"{row['verdict']}."
        )
    row = measured.to_dict("records")[0]
    value, interval, _ = tables.cell(row, "auc")
    labels = style.labels(row["adaptation"], row["fraction"]) or "labels not stated"
    return f"Verification AUC, {labels}: {style.name(main)} {value} %{f' {interval}' if interval else ''}{beside}."


def _percent(values: list[float]) -> str:
    return f"{tables.percentage(values[0])} %" if values else tables.MISSING


def _beside(auc: pd.DataFrame) -> str:
    """Put chance and upper bound into words."""
    parts = []
    for method, words in ((style.CHANCE, "chance is"), (style.ORACLE, "the upper bound is")):
        values = auc.loc[auc["method"] == method, "auc"].dropna().tolist()
        if values:
            parts.append(f"{words} {tables.percentage(values[0])} %")
    return f" ({', '.join(parts)})" if parts else ""


def rivals(results: pd.DataFrame, judged: pd.DataFrame | None) -> dict[str, Any]:
    """Gather the verification AUC of every method by labels.

    Rivals also have their distance from the main method.

    Args:
        results, judged: as of `sentence`.

    Returns:
        `main`, the main method's name; `reference`, the same as commands take it; `budgets`, headings; `rows` of
        `method`, `reference`, `main` and `cells` of `value`, `interval` and `ahead`; `lacks`, true if a rival has no
        difference.
    """
    seen = tables.population(results)
    table = tables.figures(results, {"auc": {**tables.AUC, "seen": seen}})
    table = table[table["auc"].notna()]
    main = main_method(results)
    models = table[~table["method"].isin((style.CHANCE, style.ORACLE))]
    shown = _budgets(models)
    ahead = {} if judged is None or seen != tables.UNSEEN else _ahead(judged, main)
    rows = []
    lacks = False
    for method in dict.fromkeys(sorted(table["method"], key=style.sort_key)):
        reference = method in (style.CHANCE, style.ORACLE)
        cells = []
        for adaptation, fraction in shown:
            budget = ("", math.nan) if reference else (adaptation, fraction)
            found = tables.of_budget(table, {"method": method, "adaptation": budget[0], "fraction": budget[1]})
            if found.empty:
                cells.append({"value": tables.MISSING, "interval": "", "ahead": ""})
                continue
            value, interval, _ = tables.cell(found.to_dict("records")[0], "auc")
            difference = ahead.get((method, adaptation, fraction), "")
            lacks |= not reference and method != main and not difference
            cells.append({"value": value, "interval": interval, "ahead": difference})
        rows.append({"method": style.name(method), "reference": reference, "main": method == main, "cells": cells})
    headings = [style.labels(*budget) or "labels not stated" for budget in shown]
    shown_as = style.name(main) if main else ""
    return {"main": shown_as, "reference": main or "", "budgets": headings, "rows": rows, "lacks": lacks}


def _budgets(models: pd.DataFrame) -> list[tuple[str, float]]:
    """Choose the first screen's budgets; of many, 0, 1 and 10 %."""
    every = [
        (row["adaptation"], row["fraction"]) for row in tables.budgets(models.assign(method="")).to_dict("records")
    ]
    every = [*dict.fromkeys(every)]
    if len(every) <= _MOST_BUDGETS:
        return every
    usual = [budget for budget in every if budget[1] in _FRACTIONS]
    return (usual or every)[:_MOST_BUDGETS]


def _ahead(judged: pd.DataFrame, main: str | None) -> dict[tuple[str, str, float], str]:
    """Return main method minus rival as text, by rival and budget."""
    found = {}
    for row in judged[judged["figure"] == "auc"].to_dict("records"):
        if main not in (row["first"], row["second"]):
            continue
        rival = row["second"] if row["first"] == main else row["first"]
        sign = 1 if row["first"] == main else -1
        low, high = sorted((sign * row["low"], sign * row["high"])) if not math.isnan(row["low"]) else (math.nan,) * 2
        interval = verdicts.band(low, high, ", ")
        words = verdicts.points(sign * row["difference"]) + (f" [{interval}]" if interval else "")
        found[rival, row["adaptation"], row["fraction"]] = words
    return found
