"""Tables of a report: from the long `results.csv` to what a person reads, in a terminal, in Markdown or on
the page.

A figure is the mean over the seeds of one method under one label budget. Its interval is that of the identity
bootstrap (with several seeds: the mean of their bounds, that is, the interval of one typical model), its
spread the least and the greatest seed. The two answer different questions and are never merged.
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
"""What a reader wants first. Much of the AUC over all impostors can be won by gender alone, nothing of `auc_g` can."""
_HEADINGS = {"auc": "AUC %", "auc_g": "AUC G %", "accuracy": "1:2 V→F %", "map": "mAP V→F %"}
_HEADINGS |= {f"{VALIDATION} {figure}": f"{VALIDATION} {words}" for figure, words in _HEADINGS.items()}
_ADAPTATION_ORDER = ("", "none", "probe", "finetune")


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV table; an empty cell or `nan` is a missing value, any other text is itself.

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
    """Refuse a results table that cannot be reported, and bring its columns to one form.

    Args:
        results: the columns of DESIGN section 5 and `gallery_size`, as read from a CSV file.
        source: what to call the table in a message.

    Returns:
        A copy without the rows of groups: text columns without missing values (""), numbers as float64 (NaN where
        empty), chance and oracle without adaptation and fraction. Extra columns are kept.

    Raises:
        RequestError: a column is missing, there are no rows, a number is none, a figure that is a share lies
            outside [0, 1], two datasets are mixed, or one method has two different figures under one budget
            and seed.
    """
    table = _checked(results, source)
    return table[table["group"] == ""].reset_index(drop=True)


def check_groups(results: pd.DataFrame, source: str | Path = RESULTS) -> pd.DataFrame:
    """The rows of groups, such as `gender=f`, that `check` leaves out; as it returns the others."""
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
                f"{table['metric'].iloc[row]} is a share in [0, 1]"
            )
    if "data_sha" in table and table["data_sha"].dropna().nunique() > 1:
        raise RequestError(f"{source}: column 'data_sha' names more than one dataset; report each dataset by itself")
    reference = table["method"].isin((style.CHANCE, style.ORACLE))
    table.loc[reference, "adaptation"] = ""
    table.loc[reference, "fraction"] = math.nan
    _refuse_conflicts(table[~reference], source)
    return table


def typed(
    table: pd.DataFrame, text: Sequence[str], numbers: Sequence[str], source: str | Path, command: str
) -> pd.DataFrame:
    """Bring columns to one form.

    Args:
        table: as read from a CSV file.
        text: columns of text; missing values become "".
        numbers: columns of numbers, float64 with NaN where empty.
        source: what to call the table in a message.
        command: what writes such a table.

    Raises:
        RequestError: a column is missing, there are no rows, or a number is none.
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
            f"figure for {row['metric']} with the same labels and seeds; report the two runs by themselves"
        )


def figures(results: pd.DataFrame, wanted: Mapping[str, Mapping[str, object]]) -> pd.DataFrame:
    """Gather figures into one row per method and label budget.

    Args:
        results: as `check` returns it.
        wanted: new column -> the value that each named column of `results` must have; `group` is empty unless named.

    Returns:
        Columns method, adaptation, fraction, seeds, and for each wanted name `x`: x (mean over seeds), x_low
        and x_high (95 % interval), x_min and x_max (least and greatest seed; NaN with one seed). Seeds are those of
        the training, each with all its labelled subsets; of a single training, those of the subsets. NaN where
        nothing was measured, or where the figure of one seed is missing. Chance comes first, then budgets by
        their number of labels, oracle last.
    """
    whole = {"group": ""} if "group" in results.columns else {}
    chosen = {column: where_equal(results, {**whole, **where}) for column, where in wanted.items()}
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
            # One set of trials has one chance level and one ceiling, however many models were run on it.
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
    """A figure of one method and budget by training, over its labelled subsets; of a single training, by subset."""
    seed = "train_seed" if group["train_seed"].nunique(dropna=False) > 1 else "subset_seed"
    # A run that lacks the figure is not averaged away.
    return group.groupby(seed, dropna=False)["value"].agg(lambda values: values.mean(skipna=False))


def _by_budget(table: pd.DataFrame) -> dict[tuple[Any, ...], pd.DataFrame]:
    groups = table.groupby(list(BUDGET), dropna=False, sort=False)
    return {order(str(key[0]), str(key[1]), float(str(key[2]))): group for key, group in groups}


def where_equal(table: pd.DataFrame, where: Mapping[str, object]) -> pd.DataFrame:
    """The rows of `table` whose named columns have the named values."""
    for key, value in where.items():
        table = table[table[key] == value]
    return table


def of_budget(table: pd.DataFrame, budget: Mapping[Any, Any]) -> pd.DataFrame:
    """The rows of one method and label budget; a fraction of NaN means the rows without one."""
    rows = where_equal(table, {key: budget[key] for key in ("method", "adaptation")})
    fraction = rows["fraction"]
    return rows[fraction.isna() if math.isnan(budget["fraction"]) else fraction == budget["fraction"]]


def order(method: str, adaptation: str, fraction: float) -> tuple[Any, ...]:
    """Sort key of a budget; unlike the budget itself it holds no NaN, so that equal budgets have equal keys."""
    rank = style.sort_key(method)
    known = _ADAPTATION_ORDER.index(adaptation) if adaptation in _ADAPTATION_ORDER else len(_ADAPTATION_ORDER)
    return rank[0], -1.0 if math.isnan(fraction) else fraction, known, adaptation, rank


def budgets(results: pd.DataFrame) -> pd.DataFrame:
    """Every method and label budget of `results` (columns of `BUDGET`), in the order of `figures`."""
    table = results[list(BUDGET)].drop_duplicates()
    keys = [order(row["method"], row["adaptation"], row["fraction"]) for row in table.to_dict("records")]
    return table.iloc[sorted(range(len(keys)), key=keys.__getitem__)].reset_index(drop=True)


def population(results: pd.DataFrame) -> str:
    """Whose figures these are: `UNSEEN`, or `VALIDATION` where nothing but validation identities was measured."""
    seen = set(results["seen"])
    return VALIDATION if VALIDATION in seen and UNSEEN not in seen else UNSEEN


def headline(results: pd.DataFrame) -> pd.DataFrame:
    """The figures a reader wants first, on identities no model was trained on.

    Args:
        results: as `check` returns it.

    Returns:
        As `figures`, with those of `HEADLINE`: `auc` and `auc_g` (verification, all impostors and those of the same
        gender), `accuracy` (1:2 matching, voice to face) and `map` (retrieval, voice to face), all in [0, 1].
        Where the results hold validation figures only, their names say so: `validation auc` and so on.
    """
    seen = population(results)
    prefix = "" if seen == UNSEEN else f"{seen} "
    return figures(results, {f"{prefix}{name}": {**where, "seen": seen} for name, where in HEADLINE.items()})


def strata(results: pd.DataFrame, seen: str = UNSEEN) -> pd.DataFrame:
    """Verification AUC by what the impostor shares with the voice; columns of `figures`, one figure per
    stratum.

    Args:
        results: as `check` returns it.
        seen: which identities and clips: unseen-unheard, seen-heard or validation.
    """
    measured = results[(results["metric"] == "auc") & (results["seen"] == seen)]["stratum"]
    names = [name for name in STRATA if (measured == name).any()]
    return figures(results, {name: {**AUC, "stratum": name, "seen": seen} for name in names})


def by_group(groups: pd.DataFrame, seen: str = UNSEEN) -> pd.DataFrame:
    """Verification AUC of the voices of each group, against all impostors and against those of the same gender.

    Args:
        groups: as `check_groups` returns it.
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
    """Matching and retrieval in one direction, against impostors of one stratum; columns of `figures`.

    Args:
        results: as `check` returns it.
        name: voice_to_face or face_to_voice.
        seen: which identities: unseen-unheard or validation.
        stratum: what the impostors share with the probe; lists of several strata are never averaged.
    """
    across: dict[str, object] = {"direction": name, "stratum": stratum, "seen": seen}
    matching = {"protocol": "matching", "metric": "accuracy", **across}
    retrieval = {"protocol": "retrieval", **across}
    wanted: dict[str, dict[str, object]] = {f"1:{n}": {**matching, "gallery_size": float(n)} for n in (2, 5, 10)}
    wanted |= {"mAP": {**retrieval, "metric": "map"}}
    wanted |= {f"R@{k}": {**retrieval, "metric": f"recall@{k}"} for k in (1, 5, 10)}
    return figures(results, wanted)


def directions(results: pd.DataFrame, seen: str = UNSEEN) -> list[tuple[str, str, pd.DataFrame]]:
    """Name, words and figures of `direction`, for each direction and stratum that was measured, stratum U first."""
    found = []
    for stratum in STRATA:
        for name, words in DIRECTIONS.items():
            shared = "" if stratum == "U" else f", impostors of stratum {stratum}"
            table = direction(results, name, seen, stratum)
            if names_of_figures(table):
                found.append((search_name(name, stratum), words + shared, table))
    return found


def search_name(direction: str, stratum: str) -> str:
    """What the table of `direction` is called: the direction, and the stratum where that is not U."""
    return direction if stratum == "U" else f"{direction}-{stratum}"


def percentage(value: float) -> str:
    """A share in [0, 1] in per cent, without the sign."""
    return MISSING if math.isnan(value) else f"{100 * value:.1f}"


def names_of_figures(table: pd.DataFrame) -> list[str]:
    """The figures of a table of `figures` that were measured at least once."""
    names = [str(column) for column in table.columns if f"{column}_low" in table.columns]
    return [name for name in names if table[name].notna().any()]


def heading(column: str) -> str:
    """What stands above a figure's column."""
    return _HEADINGS.get(column, column)


def display(table: pd.DataFrame) -> pd.DataFrame:
    """A table of `figures` as text: per cent with one decimal, the 95 % interval in brackets, seeds' spread
    beside it.

    Returns:
        Columns Labels, Method, then (with several seeds) Seeds, and one per figure, with "… seeds" for the
        least and the greatest seed. Figures that nobody measured are left out.
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
    """One figure as text: value, interval in brackets, spread over seeds; "" for what was not measured."""
    value, low, high, least, most = (float(str(row[f"{column}{part}"])) for part in ("", *PARTS))
    interval = "" if math.isnan(low) or math.isnan(high) else f"[{percentage(low)}, {percentage(high)}]"
    spread = "" if math.isnan(least) else f"{percentage(least)}–{percentage(most)}"
    return percentage(value), interval, spread


def to_text(table: pd.DataFrame) -> str:
    """A table of `figures` for the terminal: aligned columns, no trailing blanks."""
    shown = lines(table)
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    shown.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in shown
    )


def to_markdown(table: pd.DataFrame) -> str:
    """A table of `figures` as a Markdown table."""
    shown = [[escape_markdown(text) for text in line] for line in lines(table)]
    shown.insert(1, ["---"] * len(shown[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in shown)


def escape_markdown(text: str) -> str:
    """Text as a cell of a Markdown table shows it literally."""
    return re.sub(r"([\\|<>*_`~])", r"\\\1", " ".join(text.split()))


def lines(table: pd.DataFrame) -> list[list[str]]:
    """Heading and rows of `display`, as text."""
    shown = display(table)
    return [list(map(str, shown.columns)), *(list(map(str, row)) for row in shown.itertuples(index=False))]
