"""Figures as a terminal shows them, one line each."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from lowshot.schema import CHANCE, ORACLE

_KEY = ["protocol", "direction", "stratum", "seen", "gallery_size", "metric"]


def listing(rows: pd.DataFrame) -> str:
    """Write one line per figure of a model.

    A line holds the figure's name, value, interval, chance and number of trials. Figures of parts of a list, such as
    one gender, stand in results.csv alone.

    Args:
        rows: in the columns of results.csv, with rows of chance.
    """
    # As text: a missing gallery size equals itself.
    rows = rows[rows["group"] == ""]
    keys = list(rows[_KEY].astype(str).itertuples(index=False, name=None))
    chance = {
        key: value for key, value, method in zip(keys, rows["value"], rows["method"], strict=True) if method == CHANCE
    }
    lines = []
    width = max([14, *(len(_figure(row)) for row in rows.to_dict("records"))])
    for key, row in zip(keys, rows.to_dict("records"), strict=True):
        if row["method"] in (CHANCE, ORACLE):
            continue
        place = " ".join(str(row[name]) for name in ("protocol", "direction", "stratum", "seen") if row[name])
        interval = "" if pd.isna(row["ci_low"]) else f"[{row['ci_low']:.4f}, {row['ci_high']:.4f}]"
        beside = f"chance {chance[key]:.4f}" if key in chance else ""
        skipped = f", {row['n_skipped']:,} skipped" if row["n_skipped"] else ""
        lines.append(
            f"{place:44}  {_figure(row):{width}}  {row['value']:.4f}  {interval:18}  {beside:13}  "
            f"{row['n_trials']:,} trials{skipped}"
        )
    return "\n".join(lines)


def _figure(row: Mapping[Hashable, Any]) -> str:
    """Name a figure, with its gallery size if it has one."""
    return str(row["metric"]) + ("" if pd.isna(row["gallery_size"]) else f" 1:{row['gallery_size']}")
