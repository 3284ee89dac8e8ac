"""Trial lists as CSV: written from built trials, read back against a manifest."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.data.dataset import Dataset
from lowshot.data.manifest import MODALITIES
from lowshot.errors import RequestError
from lowshot.evaluation.draws import IntArray
from lowshot.evaluation.protocols import DIRECTIONS
from lowshot.evaluation.trials import MatchingTrials, RetrievalTrials, VerificationTrials, row_names
from lowshot.files import atomic_path


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


def read_verification(path: Path, dataset: Dataset, seen: str) -> list[VerificationTrials]:
    """Read a verification list.

    Args:
        path: CSV with the columns `voice, face, label`, and `stratum` where there are several.
        dataset: whose rows the list names.
        seen: `unseen-unheard`, `seen-heard` or `validation`.

    Returns:
        One list of trials per stratum, in the order in which they appear; stratum U where the file names none.

    Raises:
        RequestError: the file is unreadable, lacks a column, names a file the manifest does not have, or holds a
            label other than 0 and 1.
    """
    table = _read(path, ("voice", "face", "label"))
    wrong = ~table["label"].isin(("0", "1"))
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise RequestError(f"{path}, row {row + 2}: label '{table['label'].iloc[row]}' is neither 0 nor 1")
    voice = _resolve(path, table["voice"], dataset, "voice")
    face = _resolve(path, table["face"], dataset, "face")
    label = (table["label"] == "1").to_numpy()
    stratum = table["stratum"] if "stratum" in table.columns else pd.Series("U", index=table.index)
    video = {modality: dataset.rows(modality)["video"].to_numpy() for modality in MODALITIES}
    same = video["voice"][voice] == video["face"][face]
    return [
        VerificationTrials(
            voice[part], face[part], label[part], str(name), seen, same_video=int((same & label)[part].sum())
        )
        for name in stratum.unique()
        for part in [(stratum == name).to_numpy()]
    ]


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


def read_matching(path: Path, dataset: Dataset, seen: str, stratum: str = "U") -> list[MatchingTrials]:
    """Read a 1:N list.

    Args:
        path: CSV as `write_matching` writes it.
        dataset: whose rows the list names.
        seen: `unseen-unheard`, `seen-heard` or `validation`.
        stratum: what the list's impostors share with the probe; the file does not say.

    Returns:
        One list of trials per direction, in the order in which they appear.

    Raises:
        RequestError: the file is unreadable, lacks a column, names a file the manifest does not have, has an unknown
            direction, or a gap in a row's candidates.
    """
    table = _read(path, ("direction", "probe", "target", "candidate_1"))
    names = [column for column in table.columns if column.startswith("candidate_")]
    if names != [f"candidate_{place + 1}" for place in range(len(names))]:
        raise RequestError(f"{path}: candidates must be in columns candidate_1 ... candidate_{len(names)}, in order")
    unknown = ~table["direction"].isin(DIRECTIONS)
    if unknown.any():
        row = int(unknown.to_numpy().argmax())
        raise RequestError(
            f"{path}, row {row + 2}: direction '{table['direction'].iloc[row]}' is none of {', '.join(DIRECTIONS)}"
        )
    given = (table[names] != "").to_numpy()
    gap = ~given[:, 0] | (given[:, 1:] & ~given[:, :-1]).any(axis=1)
    if gap.any():
        raise RequestError(f"{path}, row {int(gap.argmax()) + 2}: a candidate is missing before the last one")
    return [
        _matching_part(path, table[table["direction"] == direction], dataset, str(direction), seen, stratum, names)
        for direction in table["direction"].unique()
    ]


def _matching_part(
    path: Path,
    table: pd.DataFrame,
    dataset: Dataset,
    direction: str,
    seen: str,
    stratum: str,
    names: list[str],
) -> MatchingTrials:
    probe_modality, modality = direction.split("_to_")
    probe = _resolve(path, table["probe"], dataset, probe_modality)
    target = _resolve(path, table["target"], dataset, modality)
    impostors = np.full((len(table), len(names)), -1, dtype=np.int64)
    for place, name in enumerate(names):
        given = (table[name] != "").to_numpy()
        impostors[given, place] = _resolve(path, table.loc[given, name], dataset, modality)
    itself = (impostors == target[:, None]).any(axis=1)
    if itself.any():
        line = int(table.index[itself][0]) + 2
        raise RequestError(f"{path}, row {line}: the target stands among the candidates too; name it once, as target")
    videos = (dataset.rows(probe_modality)["video"].to_numpy(), dataset.rows(modality)["video"].to_numpy())
    same_video = int((videos[0][probe] == videos[1][target]).sum())
    return MatchingTrials(direction, probe, target, impostors, stratum, seen, same_video)


def write_retrieval(path: Path, trials: RetrievalTrials, dataset: Dataset) -> None:
    """Write the voices and faces of a retrieval with their identities: `modality, path, identity`."""
    tables = []
    for modality, rows in zip(MODALITIES, (trials.voices, trials.faces), strict=True):
        names = row_names_array(dataset, modality)[rows]
        identity = dataset.rows(modality)["identity"].to_numpy()[rows]
        tables.append(pd.DataFrame({"modality": modality, "path": names, "identity": identity}))
    write_table(path, pd.concat(tables, ignore_index=True))


def read_retrieval(path: Path, dataset: Dataset, seen: str) -> RetrievalTrials:
    """Read the list of a retrieval.

    Args:
        path: CSV with the columns `modality, path, identity`.
        dataset: whose rows the list names.
        seen: `unseen-unheard`, `seen-heard` or `validation`.

    Raises:
        RequestError: the file is unreadable, lacks a column or a modality, names a file the manifest does not have,
            or gives it another identity than the manifest.
    """
    table = _read(path, ("modality", "path", "identity"))
    rows = {}
    for modality in MODALITIES:
        part = table[table["modality"] == modality]
        if part.empty:
            raise RequestError(f"{path}: no row with modality '{modality}'; retrieval needs both voices and faces")
        rows[modality] = _resolve(path, part["path"], dataset, modality)
        known = dataset.rows(modality)["identity"].to_numpy()[rows[modality]]
        differs = known != part["identity"].to_numpy()
        if differs.any():
            line, k = int(part.index[differs][0]) + 2, int(differs.argmax())
            raise RequestError(
                f"{path}, row {line}: identity '{part['identity'].iloc[k]}', but the manifest says '{known[k]}'"
            )
    return RetrievalTrials(rows["voice"], rows["face"], seen)


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    if not path.is_file():
        raise RequestError(f"{path}: no such trial list")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: not a CSV table in UTF-8 ({str(error).strip()})") from error
    for column in columns:
        if column not in table.columns:
            raise RequestError(f"{path}: column '{column}' is missing; this list needs {', '.join(columns)}")
    if table.empty:
        raise RequestError(f"{path}: no trials")
    return table


def _resolve(path: Path, names: pd.Series, dataset: Dataset, modality: str) -> IntArray:
    """Row numbers of named rows; a name the manifest lacks is an error that says in which line it stands."""
    known = {name: number for number, name in reversed(list(enumerate(row_names(dataset, modality))))}
    rows = names.map(known)
    if rows.isna().any():
        line = int(names.index[rows.isna().to_numpy()][0])
        raise RequestError(
            f"{path}, row {line + 2}: '{names[line]}' is no {modality} of {dataset.name}; check the list against --data"
        )
    return np.asarray(rows, dtype=np.int64)
