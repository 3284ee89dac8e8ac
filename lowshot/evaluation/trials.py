"""Populations of trials, and the sampling of positives and impostors."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.sampling import (
    IntArray,
    KeyArray,
    Pool,
    draw_impostors,
    draw_rows,
    mix,
    text_key,
    text_keys,
)
from lowshot.evaluation.strata import attribute_groups
from lowshot.schema import MODALITIES, SEEN, UNSEEN, VALIDATION

SEEN_BY_SPLIT = {"test": UNSEEN, "val": VALIDATION}
"""Population names of splits; `val` selects adapted models, so it is not unseen."""
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Population:
    """Rows that trials are drawn from. All have an identity.

    Args:
        voices, faces: rising row numbers in `Dataset.voices` and `Dataset.faces`.
        seen: `unseen-unheard`, `seen-heard` or `validation`.
        unlabelled: number of rows of the split that were skipped because they have no identity.
    """

    voices: IntArray
    faces: IntArray
    seen: str
    unlabelled: int = 0

    def rows(self, modality: str) -> IntArray:
        """Return the row numbers of one modality."""
        return {"voice": self.voices, "face": self.faces}[modality]


def split_population(dataset: Dataset, split: str = "test") -> Population:
    """Find the rows of a split that have an identity.

    Args:
        dataset: voices and faces with identities.
        split: `test` or `val`.

    Raises:
        RequestError: the split is unknown, or allows no trials: it has no rows, no identities, one modality only, or
            fewer than two identities with both modalities.
    """
    if split not in SEEN_BY_SPLIT:
        raise RequestError(f"`split={split}`: evaluation takes test or val; models are trained on the other rows")
    where = f"{dataset.name}, split {split}"
    members = {modality: dataset.rows(modality)["split"] == split for modality in MODALITIES}
    if not any(mask.any() for mask in members.values()):
        raise RequestError(
            f"{where}: no rows; write '{split}' in the manifest's column 'split' for the rows to evaluate, before a "
            "model is trained on them"
        )
    for modality in MODALITIES:
        if not members[modality].any():
            raise RequestError(f"{where}: no {modality} rows; evaluation needs voices and faces, add {modality} rows")
    labelled = {m: members[m] & (dataset.rows(m)["identity"] != "") for m in MODALITIES}
    for modality in MODALITIES:
        if not labelled[modality].any():
            raise RequestError(f"{where}: no {modality} row has an identity; fill in the manifest's column 'identity'")
    shared = set(dataset.voices.loc[labelled["voice"], "identity"]) & set(
        dataset.faces.loc[labelled["face"], "identity"]
    )
    if len(shared) < 2:
        found = f"only '{next(iter(shared))}'" if shared else "none"
        raise RequestError(f"{where}: impostors need at least two identities with a voice and a face, there is {found}")
    return Population(
        voices=np.flatnonzero(labelled["voice"]),
        faces=np.flatnonzero(labelled["face"]),
        seen=SEEN_BY_SPLIT[split],
        unlabelled=int(sum((members[m] & ~labelled[m]).sum() for m in MODALITIES)),
    )


def seen_heard_population(dataset: Dataset) -> Population | None:
    """Find held-out rows of training identities.

    They have an empty split, and an identity that has rows in train.

    Returns:
        None if fewer than two identities have such rows in both modalities.
    """
    table = dataset.manifest
    trained = set(table.loc[table["split"] == "train", "identity"]) - {""}
    rows, identities = {}, []
    for modality in MODALITIES:
        frame = dataset.rows(modality)
        held_out = (frame["split"] == "") & frame["identity"].isin(trained)
        rows[modality] = np.flatnonzero(held_out)
        identities.append(set(frame.loc[held_out, "identity"]))
    if len(identities[0] & identities[1]) < 2:
        return None
    return Population(voices=rows["voice"], faces=rows["face"], seen=SEEN)


def row_names(dataset: Dataset, modality: str) -> list[str]:
    """Name rows in lists and tables by path, else by `#number`."""
    return [path or f"#{number}" for number, path in enumerate(dataset.rows(modality)["path"])]


def row_names_array(dataset: Dataset, modality: str) -> npt.NDArray[np.object_]:
    """Return `row_names` as an array."""
    return np.array(row_names(dataset, modality), dtype=object)


class RowCodes:
    """Numbers for a dataset's rows: hashes for sampling, codes for comparing.

    Attributes:
        identity, video: codes of each row, by modality; comparable between modalities.
        key: hash of the name of each row, by modality.
        identity_key: hash of the name of each identity, by code.
    """

    def __init__(self, dataset: Dataset) -> None:
        together = pd.concat([dataset.rows(m)[["identity", "video"]] for m in MODALITIES], ignore_index=True)
        identity, identities = pd.factorize(together["identity"])
        video, _ = pd.factorize(together["video"])
        split = len(dataset.voices)
        self.identity_key = text_keys(identities)
        self.identity = {
            "voice": identity[:split].astype(np.int64),
            "face": identity[split:].astype(np.int64),
        }
        self.video = {"voice": video[:split].astype(np.int64), "face": video[split:].astype(np.int64)}
        self.key: dict[str, KeyArray] = {m: text_keys(row_names(dataset, m)) for m in MODALITIES}

    def pool(self, modality: str, rows: IntArray) -> Pool:
        """Return the rows of one modality to draw from."""
        return Pool(
            rows,
            self.key[modality][rows],
            self.identity[modality][rows],
            self.video[modality][rows],
            self.identity_key,
        )


@functools.lru_cache(maxsize=1)
def row_codes(dataset: Dataset) -> RowCodes:
    """Hash names once for all lists: a million rows take seconds."""
    return RowCodes(dataset)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A positive and impostors for each probe.

    Args:
        probe: [P] row numbers.
        positive: [P] row numbers of the other modality, -1 if the probe's identity has none.
        same_video: [P] whether probe and positive are of one video.
        impostors: [P, count] row numbers of the other modality, -1 from where there are no more.
    """

    probe: IntArray
    positive: IntArray
    same_video: BoolArray
    impostors: IntArray

    def kept(self, exclude_same_video: bool) -> BoolArray:
        """Mark probes with an impostor and a usable positive: [P]."""
        kept: BoolArray = (self.positive >= 0) & (self.impostors[:, 0] >= 0) & ~(self.same_video & exclude_same_video)
        return kept


def draw_trials(
    dataset: Dataset,
    population: Population,
    probe_modality: str,
    attributes: Sequence[str],
    age_bounds: Sequence[float],
    purpose: tuple[object, ...],
    stratum: str,
    count: int,
) -> Drawn:
    """Draw a positive and impostors for every probe.

    Args:
        dataset: voices and faces with identities.
        population: the rows to draw from.
        probe_modality: `voice` or `face`; candidates are of the other modality.
        attributes: manifest columns whose values an impostor shares with the probe; all must exist.
        age_bounds: as in `strata.age_group`.
        purpose: what the sample is for; the seed comes first.
        stratum: name of the stratum. Impostors depend on it, positives do not.
        count: impostors per probe, at least 1.
    """
    other = "face" if probe_modality == "voice" else "voice"
    rows = row_codes(dataset)
    groups = attribute_groups(dataset, attributes, age_bounds)
    probes = population.rows(probe_modality)
    pool = rows.pool(other, population.rows(other))
    probe_key, identity = rows.key[probe_modality][probes], rows.identity[probe_modality][probes]
    # Strata differ in their impostors only.
    positives, same_video = draw_rows(
        mix(probe_key ^ text_key(*purpose, "positive")), identity, pool, rows.video[probe_modality][probes]
    )
    impostors = draw_impostors(
        mix(probe_key ^ text_key(*purpose, "impostor", stratum)),
        identity,
        groups[probe_modality][probes],
        pool,
        groups[other][pool.row],
        count,
    )
    return Drawn(probes, positives, same_video, impostors)
