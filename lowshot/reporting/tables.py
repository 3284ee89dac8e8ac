"""Tables of a report, made from the long `results.csv`.

A figure is the mean over the seeds of one method under one label budget. Its interval is from the identity bootstrap.
With several seeds, the bounds are means, so it is the interval of one typical model. The spread is the least and the
greatest seed. Interval and spread answer different questions and are never merged.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lowshot.errors import RequestError
from lowshot.reporting import style
from lowshot.schema import RESULTS, STRATA, UNSEEN, VALIDATION

TEXT = ("method", "adaptation", "protocol", "direction", "stratum", "seen", "metric")
NUMBERS = ("gallery_size", "fraction", "subset_seed", "train_seed", "value", "ci_low", "ci_high")
_PROBED = ("accuracy@5", "balanced_accuracy")
SHARES = ("auc", "eer", "min_dcf", "min_cllr", "accuracy", "map", "recall@1", "recall@5", "recall@10", *_PROBED)
DIRECTIONS = {"voice_to_face": "voice to face", "face_to_voice": "face to voice"}
BUDGET = ("method", "adaptation", "fraction")
PARTS = ("_low", "_high", "_min", "_max")
MISSING = "–"

AUC: dict[str, object] = {"protocol": "verification", "metric": "auc", "stratum": "U", "seen": UNSEEN}
_SEARCH = {"direction": "voice_to_face", "stratum": "U", "seen": UNSEEN}
HEADLINE: dict[str, dict[str, object]] = {
    "auc": AUC,
    "auc_g": {**AUC, "stratum": "G"},
    "accuracy": {"protocol": "matching", "metric": "accuracy", "gallery_size": 2.0, **_SEARCH},
    "map": {"protocol": "retrieval", "metric": "map", **_SEARCH},
}
"""The first figures to read. Gender alone can win much of the AUC over all impostors, but nothing of `auc_g`."""
_HEADINGS = {"auc": "AUC %", "auc_g": "AUC G %", "accuracy": "1:2 V→F %", "map": "mAP V→F %"}
_HEADINGS |= {f"{VALIDATION} {figure}": f"{VALIDATION} {words}" for figure, words in _HEADINGS.items()}
_ADAPTATION_ORDER = ("", "none", "probe", "finetune")


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV table; an empty cell and `nan` are missing values.

    Raises:
        RequestError: the file is missing, cannot be read, or is not a CSV table.
    """
    if not path.is_file():
        raise RequestError(f"{path}: no such file")
    try:
        # By default pandas would also read a method called "null" as missing.
        return pd.read_csv(path, keep_default_na=False, na_values=["", "nan", "NaN"], dtype={"data_sha": str})
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror})") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: not a CSV table in UTF-8 ({' '.join(str(error).split())})") from error


def check(results: pd.DataFrame, source: str | Path = RESULTS) -> pd.DataFrame:
    """Check a results table, and convert its columns.

    Args:
        results: the columns of results.csv, as read from a CSV file.
        source: name of the table in messages.

    Returns:
        A copy without the rows of groups: text columns without missing values (""), numbers as float64 (NaN where
        empty), chance and oracle without adaptation and fraction. Extra columns are kept.

    Raises:
        RequestError: a column is missing, there are no rows, a cell is not a number, a fraction lies outside [0, 1],
            two datasets are mixed, or one method has two different figures under one budget and seed.
    """
    table = _checked(results, source)
    return table[table["group"] == ""].reset_index(drop=True)


def check_groups(results: pd.DataFrame, source: str | Path = RESULTS) -> pd.DataFrame:
    """Check the rows of groups, such as `gender=f`, which `check` skips."""
    table = _checked(results, source)
    return table[table["group"] != ""].reset_index(drop=True)


def _checked(results: pd.DataFrame, source: str | Path) -> pd.DataFrame:
    if "group" not in results.columns:
        results = results.assign(group="")
    table = typed(results, (*TEXT, "group"), NUMBERS, source, "lowshot evaluate")
    share = table["metric"].isin(SHARES) | table["metric"].str.startswith("tpr@")
    for column in ("value", "ci_low", "ci_high"):
        wrong = share & table[column].notna() & ~table[column].between(0, 1)
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise RequestError(
                f"{source}: row {row + 2}: column '{column}' holds {table[column].iloc[row]:g}; "
                f"{table['metric'].iloc[row]} must be in [0, 1]"
            )
    if "data_sha" in table and table["data_sha"].dropna().nunique() > 1:
        raise RequestError(f"{source}: column 'data_sha' names more than one dataset; report each dataset alone")
    reference = table["method"].isin((style.CHANCE, style.ORACLE))
    table.loc[reference, "adaptation"] = ""
    table.loc[reference, "fraction"] = math.nan
    _refuse_conflicts(table[~reference], source)
    return table


def typed(
    table: pd.DataFrame, text: Sequence[str], numbers: Sequence[str], source: str | Path, command: str
) -> pd.DataFrame:
    """Convert columns to text and numbers.

    Args:
        table: as read from a CSV file.
        text: columns of text; missing values become "".
        numbers: columns of numbers; they become float64, with NaN for empty cells.
        source: name of the table in messages.
        command: the command that writes such a table.

    Raises:
        RequestError: a column is missing, there are no rows, or a cell is not a number.
    """
    missing = [column for column in (*text, *numbers) if column not in table.columns]
    if missing:
        raise RequestError(f"{source}: column '{missing[0]}' is missing; write the table with {command}")
    if table.empty:
        raise RequestError(f"{source}: no rows; run {command} first")
    table = table.reset_index(drop=True)
    for column in text:
        table[column] = table[column].astype(object).where(table[column].notna(), "").astype(str)
    for column in numbers:
        number = pd.to_numeric(table[column], errors="coerce")
        wrong = number.isna() & table[column].notna() & (table[column].astype(str).str.strip() != "")
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            # Row 1 of the file is the header.
            raise RequestError(
                f"{source}: row {row + 2}: column '{column}' holds {str(table[column].iloc[row])!r}, not a number"
            )
        table[column] = number.astype(float)
    return table


def _refuse_conflicts(models: pd.DataFrame, source: str | Path) -> None:
    same = [column for column in (*TEXT, "group", *NUMBERS) if column not in ("value", "ci_low", "ci_high")]
    distinct = models.drop_duplicates([*same, "value"])
    twice = distinct.duplicated(same)
    if twice.any():
        place = int(twice.to_numpy().argmax())
        row = distinct.iloc[place]
        raise RequestError(
            f"{source}: row {distinct.index.to_numpy()[place] + 2}: column 'value' gives {row['method']} a second "
            f"figure for {row['metric']} with the same labels and seeds; report each run alone"
        )


def figures(results: pd.DataFrame, wanted: Mapping[str, Mapping[str, object]]) -> pd.DataFrame:
    """Gather figures into one row per method and label budget.

    Args:
        results: from `check`.
        wanted: new column -> the value that each named column of `results` must have; `group` is empty unless named.

    Returns:
        Columns method, adaptation, fraction, seeds, and for each wanted name `x`: x (mean over seeds), x_low
        and x_high (95 % interval), x_min and x_max (least and greatest seed; NaN with one seed). Seeds are training
        seeds, each averaged over its labelled subsets; with a single training, they are the subsets. A figure is NaN if
        it was not measured, or is missing for one seed. Chance comes first, then budgets by their number of labels,
        then the oracle.
    """
    whole = {"group": ""} if "group" in results.columns else {}
    named = {column: {**whole, **where} for column, where in wanted.items()}
    # What all figures ask for is looked up once.
    shared = dict(set.intersection(*(set(where.items()) for where in named.values()))) if named else {}
    within = where_equal(results, shared)
    chosen = {
        column: where_equal(within, {key: value for key, value in where.items() if key not in shared})
        for column, where in named.items()
    }
    columns = [*BUDGET, "seeds", *(f"{column}{part}" for column in wanted for part in ("", *PARTS))]
    if not chosen:
        return pd.DataFrame(columns=columns)
    parts = {column: _by_budget(table) for column, table in chosen.items()}
    none = results.iloc[:0]
    records = []
    for row in budgets(pd.concat(chosen.values())).to_dict("records"):
        budget = {name: row[name] for name in BUDGET}
        record: dict[str, Any] = {**budget, "seeds": 1}
        for column, part in parts.items():
            group = part.get(order(**budget), none)
            by_seed = _by_seed(group)
            # Chance and the upper bound belong to the trials, not to a model.
            several = len(by_seed) > 1 and budget["method"] not in (style.CHANCE, style.ORACLE)
            record["seeds"] = max(record["seeds"], len(by_seed) if several else 1)
            record[column] = group["value"].mean(skipna=False)
            record[f"{column}_low"] = group["ci_low"].mean(skipna=False)
            record[f"{column}_high"] = group["ci_high"].mean(skipna=False)
            record[f"{column}_min"] = by_seed.min(skipna=False) if several else math.nan
            record[f"{column}_max"] = by_seed.max(skipna=False) if several else math.nan
        records.append(record)
    return pd.DataFrame(records, columns=columns)


def _by_seed(group: pd.DataFrame) -> pd.Series:
    """Average a figure over labelled subsets by training; one training gives subsets."""
    seed = "train_seed" if group["train_seed"].nunique(dropna=False) > 1 else "subset_seed"
    # A missing figure makes the mean NaN.
    return group.groupby(seed, dropna=False)["value"].agg(lambda values: values.mean(skipna=False))


def _by_budget(table: pd.DataFrame) -> dict[tuple[Any, ...], pd.DataFrame]:
    groups = table.groupby(list(BUDGET), dropna=False, sort=False)
    return {order(str(key[0]), str(key[1]), float(str(key[2]))): group for key, group in groups}


def where_equal(table: pd.DataFrame, where: Mapping[str, object]) -> pd.DataFrame:
    """Select the rows whose named columns have the named values."""
    for key, value in where.items():
        table = table[table[key] == value]
    return table


def of_budget(table: pd.DataFrame, budget: Mapping[Any, Any]) -> pd.DataFrame:
    """Select the rows of a budget; NaN selects empty fractions."""
    rows = where_equal(table, {key: budget[key] for key in ("method", "adaptation")})
    fraction = rows["fraction"]
    return rows[fraction.isna() if math.isnan(budget["fraction"]) else fraction == budget["fraction"]]


def order(method: str, adaptation: str, fraction: float) -> tuple[Any, ...]:
    """Return a budget's sort key, without NaN, so equal keys match."""
    rank = style.sort_key(method)
    known = _ADAPTATION_ORDER.index(adaptation) if adaptation in _ADAPTATION_ORDER else len(_ADAPTATION_ORDER)
    return rank[0], -1.0 if math.isnan(fraction) else fraction, known, adaptation, rank


def budgets(results: pd.DataFrame) -> pd.DataFrame:
    """List every method and label budget, in the order of `figures`."""
    table = results[list(BUDGET)].drop_duplicates()
    keys = [order(row["method"], row["adaptation"], row["fraction"]) for row in table.to_dict("records")]
    return table.iloc[sorted(range(len(keys)), key=keys.__getitem__)].reset_index(drop=True)


def population(results: pd.DataFrame) -> str:
    """Return `VALIDATION` if only validation identities were measured, else `UNSEEN`."""
    seen = set(results["seen"])
    return VALIDATION if VALIDATION in seen and UNSEEN not in seen else UNSEEN


def headline(results: pd.DataFrame) -> pd.DataFrame:
    """Gather the first figures to read, on unseen identities.

    Args:
        results: from `check`.

    Returns:
        As `figures`, with those of `HEADLINE`: `auc` and `auc_g` (verification, all impostors and those of the same
        gender), `accuracy` (1:2 matching, voice to face) and `map` (retrieval, voice to face), all in [0, 1].
        If there are only validation figures, their names say so: `validation auc` and so on.
    """
    seen = population(results)
    prefix = "" if seen == UNSEEN else f"{seen} "
    return figures(results, {f"{prefix}{name}": {**where, "seen": seen} for name, where in HEADLINE.items()})


def strata(results: pd.DataFrame, seen: str = UNSEEN) -> pd.DataFrame:
    """Gather the verification AUC by stratum, in the columns of `figures`.

    Args:
        results: from `check`.
        seen: which identities and clips: unseen-unheard, seen-heard or validation.
    """
    measured = results[(results["metric"] == "auc") & (results["seen"] == seen)]["stratum"]
    names = [name for name in STRATA if (measured == name).any()]
    return figures(results, {name: {**AUC, "stratum": name, "seen": seen} for name in names})


def by_group(groups: pd.DataFrame, seen: str = UNSEEN) -> pd.DataFrame:
    """Gather the verification AUC by group in strata U and G.

    Args:
        groups: from `check_groups`.
        seen: which identities and clips: unseen-unheard, seen-heard or validation.

    Returns:
        Columns of `figures`, one figure per stratum of U and G and group, named like `U gender=f`.
    """
    measured = groups[(groups["metric"] == "auc") & (groups["seen"] == seen)]
    names = sorted(measured["group"].unique())
    return figures(
        groups,
        {
            f"{stratum} {name}": {**AUC, "stratum": stratum, "seen": seen, "group": name}
            for stratum in ("U", "G")
            for name in names
            if ((measured["stratum"] == stratum) & (measured["group"] == name)).any()
        },
    )


def direction(results: pd.DataFrame, name: str, seen: str = UNSEEN, stratum: str = "U") -> pd.DataFrame:
    """Gather matching and retrieval of one direction and stratum.

    Args:
        results: from `check`.
        name: voice_to_face or face_to_voice.
        seen: which identities: unseen-unheard or validation.
        stratum: what impostors share with the probe; lists of several strata are never averaged.

    Returns:
        Columns of `figures`.
    """
    across: dict[str, object] = {"direction": name, "stratum": stratum, "seen": seen}
    matching = {"protocol": "matching", "metric": "accuracy", **across}
    retrieval = {"protocol": "retrieval", **across}
    wanted: dict[str, dict[str, object]] = {f"1:{n}": {**matching, "gallery_size": float(n)} for n in (2, 5, 10)}
    wanted |= {"mAP": {**retrieval, "metric": "map"}}
    wanted |= {f"R@{k}": {**retrieval, "metric": f"recall@{k}"} for k in (1, 5, 10)}
    return figures(results, wanted)


def directions(results: pd.DataFrame, seen: str = UNSEEN) -> list[tuple[str, str, pd.DataFrame]]:
    """List name, words and figures by direction and stratum, U first."""
    found = []
    for stratum in STRATA:
        for name, words in DIRECTIONS.items():
            shared = "" if stratum == "U" else f", impostors of stratum {stratum}"
            table = direction(results, name, seen, stratum)
            if names_of_figures(table):
                found.append((search_name(name, stratum), words + shared, table))
    return found


def search_name(direction: str, stratum: str) -> str:
    """Name a direction's table, with the stratum unless it is U."""
    return direction if stratum == "U" else f"{direction}-{stratum}"


def percentage(value: float) -> str:
    """Write a fraction in [0, 1] in per cent, without the sign."""
    return MISSING if math.isnan(value) else f"{100 * value:.1f}"


def names_of_figures(table: pd.DataFrame) -> list[str]:
    """List the figures that were measured at least once."""
    names = [str(column) for column in table.columns if f"{column}_low" in table.columns]
    return [name for name in names if table[name].notna().any()]


def heading(column: str) -> str:
    """Return the heading of a figure's column."""
    return _HEADINGS.get(column, column)


def display(table: pd.DataFrame) -> pd.DataFrame:
    """Write a table of `figures` as text.

    Figures are per cent with one decimal, with the 95 % interval in brackets.

    Returns:
        Columns Labels, Method, then (with several seeds) Seeds, and one per figure, with "… seeds" for the
        least and the greatest seed. Figures without a measurement are skipped.
    """
    out = pd.DataFrame(
        {
            "Labels": [style.labels(*pair) for pair in zip(table["adaptation"], table["fraction"], strict=True)],
            "Method": [style.name(method) for method in table["method"]],
        },
        dtype=object,
    )
    several = bool((table["seeds"] > 1).any())
    if several:
        out["Seeds"] = [
            "" if method in (style.CHANCE, style.ORACLE) else str(seeds)
            for method, seeds in zip(table["method"], table["seeds"], strict=True)
        ]
    for column in names_of_figures(table):
        cells = [cell(row, column) for row in table.to_dict("records")]
        out[heading(column)] = [f"{value} {interval}".strip() for value, interval, _ in cells]
        if several:
            out[f"{heading(column)} seeds"] = [spread for _, _, spread in cells]
    return out


def cell(row: Mapping[object, object], column: str) -> tuple[str, str, str]:
    """Write value, interval and spread of a figure; "" if not measured."""
    value, low, high, least, most = (float(str(row[f"{column}{part}"])) for part in ("", *PARTS))
    interval = "" if math.isnan(low) or math.isnan(high) else f"[{percentage(low)}, {percentage(high)}]"
    spread = "" if math.isnan(least) else f"{percentage(least)}–{percentage(most)}"
    return percentage(value), interval, spread


def to_text(table: pd.DataFrame) -> str:
    """Write a table of `figures` for the terminal, with aligned columns."""
    shown = lines(table)
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    shown.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in shown
    )


def to_markdown(table: pd.DataFrame) -> str:
    """Write a table of `figures` as a Markdown table."""
    shown = [[escape_markdown(text) for text in line] for line in lines(table)]
    shown.insert(1, ["---"] * len(shown[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in shown)


def escape_markdown(text: str) -> str:
    """Escape text for a cell of a Markdown table."""
    return re.sub(r"([\\|<>*_`~])", r"\\\1", " ".join(text.split()))


def lines(table: pd.DataFrame) -> list[list[str]]:
    """Return heading and rows of `display` as text."""
    shown = display(table)
    return [list(map(str, shown.columns)), *(list(map(str, row)) for row in shown.itertuples(index=False))]
