"""Trial lists of our own form, CSV: written from built trials, and read back as names."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.data.dataset import Dataset
from lowshot.data.table_text import Rows
from lowshot.errors import RequestError
from lowshot.evaluation.protocols import DIRECTIONS
from lowshot.evaluation.trial_lists.listed import (
    GalleryList,
    MatchingList,
    Names,
    TrialList,
    VerificationList,
    check_labels,
)
from lowshot.evaluation.trial_lists.published import seen_of, stratum_of
from lowshot.evaluation.trials import MatchingTrials, RetrievalTrials, VerificationTrials, row_names
from lowshot.files import atomic_path
from lowshot.schema import MODALITIES

FORM = "lowshot"
VERIFICATION = ("voice", "face", "label")
MATCHING = ("direction", "probe", "target", "candidate_1")
RETRIEVAL = ("modality", "path", "identity")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV with Unix line ends, atomically."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def row_names_array(dataset: Dataset, modality: str) -> npt.NDArray[np.object_]:
    """`row_names` as an array, to be indexed by row numbers."""
    return np.array(row_names(dataset, modality), dtype=object)


def write_verification(path: Path, trials: Sequence[VerificationTrials], dataset: Dataset) -> None:
    """Write verification trials, one stratum after the other: `voice, face, label, stratum`."""
    write_table(path, pd.concat([verification_table(part, dataset) for part in trials], ignore_index=True))


def verification_table(trials: VerificationTrials, dataset: Dataset) -> pd.DataFrame:
    """Verification trials as a table of names, in the columns of `write_verification`."""
    return pd.DataFrame(
        {
            "voice": row_names_array(dataset, "voice")[trials.voice],
            "face": row_names_array(dataset, "face")[trials.face],
            "label": trials.label.astype(int),
            "stratum": trials.stratum,
        }
    )


def write_matching(path: Path, trials: MatchingTrials, dataset: Dataset) -> None:
    """Write 1:N trials: `direction, probe, target, candidate_1 ... candidate_{N-1}`.

    The candidates beside the target stand in the order in which galleries grow: 1:n takes the first n - 1 of them.
    """
    write_table(path, matching_table(trials, dataset))


def matching_table(trials: MatchingTrials, dataset: Dataset) -> pd.DataFrame:
    """1:N trials as a table of names, in the columns of `write_matching`; missing candidates are empty."""
    probe, candidate = trials.direction.split("_to_")
    probes = row_names_array(dataset, probe)
    # The name at -1, the mark of a missing candidate, is empty.
    candidates = np.array([*row_names(dataset, candidate), ""], dtype=object)
    table = {
        "direction": trials.direction,
        "probe": probes[trials.probe],
        "target": candidates[trials.target],
    }
    for place in range(trials.impostors.shape[1]):
        table[f"candidate_{place + 1}"] = candidates[trials.impostors[:, place]]
    return pd.DataFrame(table)


def write_retrieval(path: Path, trials: RetrievalTrials, dataset: Dataset) -> None:
    """Write the voices and faces of a retrieval with their identities: `modality, path, identity`."""
    tables = []
    for modality, rows in zip(MODALITIES, (trials.voices, trials.faces), strict=True):
        names = row_names_array(dataset, modality)[rows]
        identity = dataset.rows(modality)["identity"].to_numpy()[rows]
        tables.append(pd.DataFrame({"modality": modality, "path": names, "identity": identity}))
    write_table(path, pd.concat(tables, ignore_index=True))


def parse_own(rows: Rows) -> list[TrialList]:
    """Read a list of our own form: verification, matching or retrieval, as the columns of its header say.

    Args:
        rows: the file.

    Returns:
        One list per stratum (verification), direction and stratum (matching) or modality (retrieval), in the order in
        which they appear; none where the header is of another form. `stratum` is a column that verification and
        matching may have; without it, it is U, or what the name of a built matching list says.

    Raises:
        RequestError: a column is missing, no trials, an empty stratum, a label other than 0 and 1, an unknown direction
            or modality, or a gap in a row's candidates; names file and row.
    """
    header = [name.strip() for name in rows.fields[0]]
    readers = {VERIFICATION: _verification, MATCHING: _matching, RETRIEVAL: _retrieval}
    # The form that shares most columns is meant: a list that lacks one is told which.
    columns = max(readers, key=lambda names: len(set(names) & set(header)))
    if len(set(columns) & set(header)) < 2:
        return []
    for column in columns:
        if column not in header:
            raise RequestError(f"{rows.path}: column '{column}' is missing; this list needs {', '.join(columns)}")
    twice = [name for place, name in enumerate(header) if name in header[:place]]
    if twice:
        raise RequestError(f"{rows.path}: column '{twice[0]}' stands twice")
    if len(rows.fields) == 1:
        raise RequestError(f"{rows.path}: no trials")
    table = np.array(rows.fields[1:], dtype=object)
    return readers[columns](rows, {name: table[:, place] for place, name in enumerate(header)})


def _verification(rows: Rows, table: dict[str, Names]) -> list[TrialList]:
    whole = VerificationList(
        path=rows.path,
        form=FORM,
        line=rows.line[1:],
        seen=seen_of(rows.path.name),
        voice=table["voice"],
        face=table["face"],
        label=np.asarray(table["label"] == "1", dtype=bool),
    )
    check_labels(whole, table["label"].tolist())
    _check_given(whole)
    return _by_stratum(whole, table)


def _matching(rows: Rows, table: dict[str, Names]) -> list[TrialList]:
    names = [column for column in table if column.startswith("candidate_")]
    if names != [f"candidate_{place + 1}" for place in range(len(names))]:
        raise RequestError(
            f"{rows.path}: candidates must be in columns candidate_1 ... candidate_{len(names)}, in order"
        )
    impostors = np.stack([table[name] for name in names], axis=1)
    given = impostors != ""
    direction = table["direction"]
    for trial, line in enumerate(rows.line[1:].tolist()):
        if direction[trial] not in DIRECTIONS:
            raise RequestError(
                f"{rows.path}, row {line}: direction '{direction[trial]}' is none of {', '.join(DIRECTIONS)}"
            )
    gap = ~given[:, 0] | (given[:, 1:] & ~given[:, :-1]).any(axis=1)
    if gap.any():
        line = rows.line[1:][gap][0]
        raise RequestError(f"{rows.path}, row {line}: a candidate is missing before the last one")
    parts: list[TrialList] = []
    for way in dict.fromkeys(direction.tolist()):
        kept = np.asarray(direction == way, dtype=bool)
        part = MatchingList(
            path=rows.path,
            form=FORM,
            line=rows.line[1:][kept],
            seen=seen_of(rows.path.name),
            direction=way,
            probe=table["probe"][kept],
            target=table["target"][kept],
            impostors=impostors[kept],
        )
        _check_given(part)
        parts += _by_stratum(part, {name: column[kept] for name, column in table.items()})
    return parts


def _retrieval(rows: Rows, table: dict[str, Names]) -> list[TrialList]:
    parts: list[TrialList] = []
    for modality in dict.fromkeys(table["modality"].tolist()):
        kept = np.asarray(table["modality"] == modality, dtype=bool)
        part = GalleryList(
            path=rows.path,
            form=FORM,
            line=rows.line[1:][kept],
            seen=seen_of(rows.path.name),
            modality=modality,
            name=table["path"][kept],
            identity=table["identity"][kept],
        )
        if modality not in MODALITIES:
            raise RequestError(f"{part.place(0)}: modality '{modality}' is none of {', '.join(MODALITIES)}")
        _check_given(part)
        parts.append(part)
    return parts


def _by_stratum(whole: TrialList, table: dict[str, Names]) -> list[TrialList]:
    if "stratum" not in table:
        # The names that `protocols build` gives: only there is a word such as A known to be a stratum.
        named = stratum_of(whole.path.name) if whole.path.name.startswith("matching-") else None
        return [replace(whole, stratum=named or "U")]
    stratum = table["stratum"]
    if (stratum == "").any():
        raise RequestError(f"{whole.place(int((stratum == '').argmax()))}: the stratum is empty; U asks nothing")
    return [
        replace(whole.take(np.asarray(stratum == name, dtype=bool)), stratum=name)
        for name in dict.fromkeys(stratum.tolist())
    ]


def _check_given(listed: TrialList) -> None:
    """Refuse trials without a medium; candidates that are missing at the end are no fault."""
    required = listed.media()[:2]
    for modality, names in required:
        empty = names == ""
        if empty.any():
            raise RequestError(f"{listed.place(int(empty.argmax()))}: the name of a {modality} is empty")
