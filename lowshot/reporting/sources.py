"""Sources of a page: results and the files beside them.

They are of one directory, or of several that were measured on the same trials.
"""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lowshot.errors import RequestError
from lowshot.reporting import cluster_tables, efficiency_table, style, tables, verdicts
from lowshot.reporting.gallery import Gallery, read_gallery
from lowshot.runs import read_provenance
from lowshot.schema import DIFFERENCES, EFFICIENCY, MAP, MODEL, RESULTS, SCORES

PROBED = "probe-"
_KEY = ["protocol", "direction", "stratum", "seen", "gallery_size", "metric"]
# Columns of a score table that identify a trial.
_TRIAL = re.compile(r"voice|face|label|direction|probe|target|candidate_\d+|query")


@dataclass(frozen=True, eq=False)
class Sources:
    """Everything on one page.

    Attributes:
        directories: the directories, in order.
        results: from `tables.check`, with `source`, the directory of each row.
        groups: from `tables.check_groups`, with `source`.
        judged: from `verdicts.judge`; None if no directory has differences.
        efficiency: from `efficiency_table.read`; None if no directory, or more than one, has it.
        curves: name of a training run -> its metrics.csv.
        clusters: from `cluster_tables.gather`.
        map: gallery/map.csv of the first directory that has one.
        galleries: of all directories.
        provenance: name of a directory -> keys and values.
        warnings: warnings about the figures, a line each.
    """

    directories: tuple[Path, ...]
    results: pd.DataFrame
    groups: pd.DataFrame
    judged: pd.DataFrame | None
    efficiency: pd.DataFrame | None
    curves: Mapping[str, Path]
    clusters: pd.DataFrame
    map: Path | None
    galleries: tuple[Gallery, ...]
    provenance: Mapping[str, Sequence[tuple[str, str]]]
    warnings: Sequence[str]


@dataclass(eq=False)
class _Source:
    """Tables of one directory, with its methods' names on the page."""

    directory: Path
    results: pd.DataFrame
    groups: pd.DataFrame
    differences: pd.DataFrame | None
    efficiency: pd.DataFrame | None
    curves: Mapping[str, Path]

    @property
    def name(self) -> str:
        return self.directory.resolve().name

    def rename(self, methods: Sequence[str]) -> None:
        """Add the directory's name to the names of these methods."""
        names = {method: f"{method} ({self.name})" for method in methods}
        for table, columns in ((self.results, ["method"]), (self.groups, ["method"])):
            table[columns] = table[columns].replace(names)
        if self.differences is not None:
            both = ["method_a", "method_b"]
            self.differences[both] = self.differences[both].replace(names)
        if self.efficiency is not None:
            both = ["method", "reference"]
            self.efficiency[both] = self.efficiency[both].replace(names)


def gather(directories: Sequence[Path], curves: Mapping[str, Path] | None = None) -> Sources:
    """Read directories of results.

    Args:
        directories: each holds results.csv and, if there are any, differences.csv, label_efficiency.csv, scores/,
            gallery/ and provenance.json.
        curves: name of a training run -> its metrics.csv.

    Raises:
        RequestError: a file is missing or malformed, or the directories were measured on different data or trials.
    """
    parts = [_read(directory, curves or {}) for directory in directories]
    if len(parts) > 1:
        _refuse_other_trials(parts)
        _refuse_other_lists(directories)
        _tell_apart(parts)
    results = _joined([part.results for part in parts])
    groups = _joined([part.groups for part in parts])
    found = [part.differences for part in parts if part.differences is not None]
    judged = None
    if found:
        several = pd.concat(found, ignore_index=True)
        # Correct p again, for the comparisons of all tables together.
        told = several if len(found) == 1 else several.drop(columns="p_holm", errors="ignore").drop_duplicates()
        paths = ", ".join(str(path) for item in directories if (path := item / DIFFERENCES).is_file())
        judged = verdicts.judge(told, results, paths)
    efficiency = [part.efficiency for part in parts if part.efficiency is not None]
    maps = [path for item in directories if (path := item / MAP).is_file()]
    galleries = [read_gallery(item) for item in directories]
    facts = {item: _provenance(item) for item in directories}
    warnings = _take_warnings(facts)
    if len(efficiency) > 1:
        warnings.append(
            "several directories have label_efficiency.csv; report one of them alone to see label efficiency"
        )
    return Sources(
        directories=tuple(directories),
        results=results,
        groups=groups,
        judged=judged,
        # Each table has its own curves; only one table can be drawn.
        efficiency=efficiency[0] if len(efficiency) == 1 else None,
        curves=curves or {},
        clusters=cluster_tables.gather(curves or {}),
        map=maps[0] if maps else None,
        galleries=tuple(gallery for gallery in galleries if gallery is not None),
        provenance={str(item): list(_flat("", content)) for item, content in facts.items()},
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _read(directory: Path, curves: Mapping[str, Path]) -> _Source:
    path = directory / RESULTS
    if not path.is_file() and (directory / MODEL).is_file():
        raise RequestError(f"{directory}: holds a model without results; run `lowshot evaluate` on it first")
    table = tables.read_csv(path)
    results, groups = tables.check(table, path), tables.check_groups(table, path)
    if results["value"].isna().all():
        raise RequestError(f"{path}: column 'value' is empty: there is no figure to report")
    differences, efficiency = directory / DIFFERENCES, directory / EFFICIENCY
    return _Source(
        directory,
        results.assign(source=str(directory)),
        groups.assign(source=str(directory)),
        tables.read_csv(differences) if differences.is_file() else None,
        efficiency_table.read(efficiency) if efficiency.is_file() else None,
        curves,
    )


def _refuse_other_trials(sources: Sequence[_Source]) -> None:
    """Refuse figures of other data or other trials: they cannot be compared."""
    first = sources[0]
    for source in sources[1:]:
        theirs, ours = _data(source.results), _data(first.results)
        if theirs != ours:
            raise RequestError(
                f"{source.directory}: measured on other data ({theirs or 'not stated'}) than {first.directory} "
                f"({ours or 'not stated'}); make a page of each"
            )
    for source in sources[1:]:
        here, there = _trials(first.results), _trials(source.results)
        for key in sorted(here.keys() & there.keys()):
            if here[key] != there[key]:
                raise RequestError(
                    f"{source.directory}: {' '.join(part for part in key if part not in ('', 'nan'))} was measured on "
                    f"{there[key]:g} trials, in {first.directory} on {here[key]:g}; make a page of each"
                )


def _refuse_other_lists(directories: Sequence[Path]) -> None:
    """Refuse scores of other trials, such as those of another seed."""
    ours = _score_tables(directories[0])
    for directory in directories[1:]:
        theirs = _score_tables(directory)
        for name in sorted(ours.keys() & theirs.keys()):
            if not _listed(ours[name]).equals(_listed(theirs[name])):
                raise RequestError(
                    f"{directory}: {name} holds scores of other trials than in {directories[0]}; evaluate with one "
                    "seed, or make a page of each"
                )


def _score_tables(directory: Path) -> dict[str, Path]:
    """Return a score table of each list by name, from any run."""
    found = {path.name: path for path in sorted((directory / SCORES).glob("**/*.csv"))}
    return {name: path for name, path in found.items() if not name.startswith(PROBED)}


def _listed(path: Path) -> pd.DataFrame:
    """Return the trials of a score table, sorted."""
    table = tables.read_csv(path)
    columns = sorted(column for column in table.columns if _TRIAL.fullmatch(column))
    # Equal numbers may be written differently.
    types = {column: float if pd.api.types.is_numeric_dtype(table[column]) else str for column in columns}
    listed = table[columns].astype(types)
    return listed.sort_values(columns, ignore_index=True) if columns else listed


def _data(results: pd.DataFrame) -> str:
    known = results["data_sha"].dropna() if "data_sha" in results else pd.Series(dtype=str)
    return "" if known.empty else str(known.iloc[0])


def _trials(results: pd.DataFrame) -> dict[tuple[str, ...], float]:
    """Count the trials of each figure; a probe's depend on its labels."""
    if "n_trials" not in results:
        return {}
    measured = results[~results["protocol"].str.startswith(PROBED) & (results["method"] == style.CHANCE)]
    numbers = pd.to_numeric(measured["n_trials"], errors="coerce")
    keys = measured[_KEY].astype(str).itertuples(index=False, name=None)
    return {key: number for key, number in zip(keys, numbers, strict=True) if not math.isnan(number)}


def _tell_apart(sources: Sequence[_Source]) -> None:
    """Rename methods whose figures or runs differ between directories."""
    same = [column for column in (*tables.TEXT, *tables.NUMBERS) if column not in ("value", "ci_low", "ci_high")]
    rows = pd.concat([source.results for source in sources], ignore_index=True)
    models = rows[~rows["method"].isin((style.CHANCE, style.ORACLE))].drop_duplicates([*same, "value"])
    twice = set(models.loc[models.duplicated(same, keep=False), "method"]) | _of_other_runs(sources)
    for source in sources:
        source.rename(sorted(twice & set(source.results["method"])))


def _of_other_runs(sources: Sequence[_Source]) -> set[str]:
    """Find methods with different runs of one budget in two directories.

    These may be seeds or other settings. A mean over both would fit neither directory's differences.
    """
    runs: dict[tuple[str, ...], set[frozenset[tuple[str, ...]]]] = {}
    for source in sources:
        models = source.results[~source.results["method"].isin((style.CHANCE, style.ORACLE))]
        for budget, rows in models.groupby(list(tables.BUDGET), dropna=False):
            seeds = frozenset(zip(rows["train_seed"].astype(str), rows["subset_seed"].astype(str), strict=True))
            runs.setdefault(tuple(map(str, budget)), set()).add(seeds)
    return {budget[0] for budget, found in runs.items() if len(found) > 1}


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join rows of several directories without duplicates, such as chance and oracle."""
    if len(parts) == 1:
        return parts[0]
    rows = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    once = [column for column in (*tables.TEXT, "group", *tables.NUMBERS) if column not in ("ci_low", "ci_high")]
    probed = rows["protocol"].str.startswith(PROBED)
    return rows[probed | ~rows.duplicated(once)].reset_index(drop=True)


def _provenance(directory: Path) -> dict[str, Any]:
    facts = read_provenance(directory)
    if isinstance(facts.get("command"), list):
        facts["command"] = shlex.join(map(str, facts["command"]))
    return facts


def _take_warnings(facts: Mapping[Path, dict[str, Any]]) -> list[str]:
    """Take the warnings out of the facts; name directories if they differ."""
    found = {item: content.pop("warnings", None) for item, content in facts.items()}
    warnings = {
        item: [str(warning) for warning in told if warning] if isinstance(told, list) else []
        for item, told in found.items()
    }
    common = set.intersection(*map(set, warnings.values()))
    lines = [
        warning if warning in common else f"{item.resolve().name}: {warning}"
        for item, told in warnings.items()
        for warning in told
    ]
    return list(dict.fromkeys(lines))


def _flat(key: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for inner, item in value.items() for pair in _flat(f"{key}.{inner}".strip("."), item)]
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return [pair for place, item in enumerate(value) for pair in _flat(f"{key}.{place}".strip("."), item)]
    if isinstance(value, list):
        return [(key, "; ".join(map(str, value)))]
    return [(key, f"{value:.6g}" if isinstance(value, float) else str(value))]
