"""Trials: which voices are held against which faces. Built from the manifest alone; no model takes part."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError
from lowshot.evaluation.protocols import DIRECTIONS
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
"""What figures of a split are called: adapted models are selected on `val`, so that its people are not unseen."""
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class VerificationTrials:
    """Is this voice's speaker the person of this face?

    Args:
        voice, face: [T] row numbers in `Dataset.voices` and `Dataset.faces`.
        label: [T] true when both are of one identity.
        stratum: what impostors share with the speaker: U, G, N, A, GN, GNA, or a foreign list's own word.
        seen: `unseen-unheard`, `seen-heard` or `validation`.
        same_video: number of positives whose voice and face are of one video.
        unmatched: number of voices without a trial, for want of a face of theirs or of an eligible impostor.
        skipped: number of trials of a list that name media the dataset lacks.
    """

    voice: IntArray
    face: IntArray
    label: BoolArray
    stratum: str
    seen: str
    same_video: int = 0
    unmatched: int = 0
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True, eq=False)
class MatchingTrials:
    """Which of N candidates belongs to the probe?

    Args:
        direction: `voice_to_face` (voice probes, face candidates) or `face_to_voice`.
        probe: [T] row numbers of the probes.
        target: [T] row numbers of the right candidates.
        impostors: [T, N-1] row numbers of the wrong ones, in the order in which galleries grow; -1 from where a
            probe ran out of eligible identities.
        stratum, seen: as in `VerificationTrials`.
        same_video: number of targets of the probe's own video.
        unmatched: number of probes without a trial.
        skipped: as in `VerificationTrials`.
    """

    direction: str
    probe: IntArray
    target: IntArray
    impostors: IntArray
    stratum: str
    seen: str
    same_video: int = 0
    unmatched: int = 0
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.probe)

    @property
    def largest(self) -> int:
        """The largest N that any trial reaches."""
        return 1 + int((self.impostors >= 0).any(axis=0).sum()) if len(self) else 0

    def having(self, size: int) -> BoolArray:
        """[T] which trials have a gallery of `size` candidates."""
        return self.impostors[:, size - 2] >= 0

    def gallery(self, size: int) -> tuple[IntArray, IntArray]:
        """Lay out the candidates of 1:`size`; galleries are nested, N + 1 adds one candidate to N.

        Args:
            size: N, from 2 to `largest`.

        Returns:
            candidates [T', N] of the trials that have N, and the target's column [T'], which is scattered by a hash of
            probe and candidate that does not know which candidate is right.
        """
        kept = self.having(size)
        rows = np.concatenate([self.target[kept, None], self.impostors[kept, : size - 1]], axis=1)
        probe_key = mix(self.probe[kept].astype(np.uint64) + text_key("layout", self.direction))
        order = mix(probe_key[:, None] + mix(rows.astype(np.uint64))).argsort(axis=1, kind="stable")
        return np.take_along_axis(rows, order, axis=1), (order == 0).argmax(axis=1)


@dataclass(frozen=True, eq=False)
class RetrievalTrials:
    """Every one of these voices against every one of these faces.

    Args:
        voices, faces: row numbers, all with an identity.
        seen: as in `VerificationTrials`.
        skipped: number of items of lists that the dataset lacks.
    """

    voices: IntArray
    faces: IntArray
    seen: str
    skipped: int = 0


@dataclass(frozen=True, eq=False)
class HiddenTrials:
    """Pairs whose labels a challenge keeps: they are scored, and nothing is measured.

    Args:
        name: of the list; its scores go by it.
        key: [T] what the challenge calls each trial.
        voice, face: [T] row numbers.
        skipped: as in `VerificationTrials`.
    """

    name: str
    key: npt.NDArray[np.object_]
    voice: IntArray
    face: IntArray
    skipped: int = 0


@dataclass(frozen=True, eq=False)
class Population:
    """The rows that trials are drawn from: they have an identity and one `seen` value.

    Args:
        voices, faces: row numbers in `Dataset.voices` and `Dataset.faces`, rising.
        seen: `unseen-unheard`, `seen-heard` or `validation`.
        unlabelled: number of rows of the split left out because their identity is empty.
    """

    voices: IntArray
    faces: IntArray
    seen: str
    unlabelled: int = 0

    def rows(self, modality: str) -> IntArray:
        """Row numbers of one modality."""
        return self.voices if modality == "voice" else self.faces


def split_population(dataset: Dataset, split: str = "test") -> Population:
    """The labelled rows of a split whose identities nothing trains on.

    Args:
        dataset: voices and faces with identities.
        split: `test` or `val`.

    Raises:
        RequestError: another split, or one in which trials cannot be built: no rows, no identities, a modality
            missing, fewer than two identities with both modalities.
    """
    if split not in SEEN_BY_SPLIT:
        raise RequestError(f"--split {split}: evaluation takes test or val; models are trained on the other rows")
    where = f"{dataset.name}, split {split}"
    members = {modality: dataset.rows(modality)["split"] == split for modality in MODALITIES}
    if not any(mask.any() for mask in members.values()):
        raise RequestError(
            f"{where}: no rows; mark rows to evaluate with '{split}' in the manifest's column 'split', before a model "
            "learns from them"
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
    """The held-out rows of training identities: an empty split, and an identity that has train rows.

    Returns:
        None when fewer than two identities have such rows in both modalities.
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
    """What trial and score files call each row: its path, or `#number` where features need none."""
    return [path or f"#{number}" for number, path in enumerate(dataset.rows(modality)["path"])]


class _Rows:
    """Names of a dataset's rows as numbers: hashes to draw by, codes to compare."""

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
        return Pool(
            rows,
            self.key[modality][rows],
            self.identity[modality][rows],
            self.video[modality][rows],
            self.identity_key,
        )


@functools.lru_cache(maxsize=1)
def _rows_of(dataset: Dataset) -> _Rows:
    """Names hashed once for all lists of a dataset: of a million rows, that takes seconds."""
    return _Rows(dataset)


def _draw(
    dataset: Dataset,
    population: Population,
    probe_modality: str,
    attributes: Sequence[str],
    age_bounds: Sequence[float],
    purpose: tuple[object, ...],
    stratum: str,
    count: int,
) -> tuple[IntArray, IntArray, BoolArray, IntArray]:
    """Draw a positive and impostors for every probe: probes, positives, same video or not, impostors [P, count]."""
    other = "face" if probe_modality == "voice" else "voice"
    rows = _rows_of(dataset)
    groups = attribute_groups(dataset, attributes, age_bounds)
    probes = population.rows(probe_modality)
    pool = rows.pool(other, population.rows(other))
    probe_key, identity = rows.key[probe_modality][probes], rows.identity[probe_modality][probes]
    # Positives do not depend on the stratum: two strata differ by their impostors and by nothing else.
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
    return probes, positives, same_video, impostors


def build_verification(
    dataset: Dataset,
    population: Population,
    stratum: str,
    attributes: Sequence[str],
    age_bounds: Sequence[float],
    seed: int,
    exclude_same_video: bool = False,
) -> VerificationTrials:
    """One positive and one negative trial for each voice that has both.

    Args:
        dataset: voices and faces with identities.
        population: the rows to take.
        stratum: name of the stratum.
        attributes: manifest columns in which the impostor's face equals the voice; none of them may be missing.
        age_bounds: as in `strata.age_group`.
        seed: seed of all draws.
        exclude_same_video: leave out the voices whose identity has a face in no other video.

    Returns:
        Positive, negative, positive, negative, ...; no trials at all when no voice has both.

    Source:
        The list format of Nagrani, Albanie, Zisserman, Learnable PINs, ECCV 2018, section 5.1.

    Deviation:
        The published G and GNA lists hold about 2 % impostors of another gender; here every impostor shares the
        stratum's attributes. Positives of one video are used only where an identity has no other video.
    """
    voices, positives, same_video, impostors = _draw(
        dataset, population, "voice", attributes, age_bounds, (seed, "verification"), stratum, 1
    )
    kept = _kept(positives, impostors, same_video, exclude_same_video)
    return VerificationTrials(
        voice=np.repeat(voices[kept], 2),
        face=np.stack([positives[kept], impostors[kept, 0]], axis=1).ravel(),
        label=np.tile([True, False], int(kept.sum())),
        stratum=stratum,
        seen=population.seen,
        same_video=int(same_video[kept].sum()),
        unmatched=int((~kept).sum()),
    )


def build_matching(
    dataset: Dataset,
    population: Population,
    direction: str,
    largest: int,
    stratum: str,
    attributes: Sequence[str],
    age_bounds: Sequence[float],
    seed: int,
    exclude_same_video: bool = False,
) -> MatchingTrials:
    """One 1:N trial for each probe, with impostors of as many identities as there are candidates.

    Args:
        dataset, population, stratum, attributes, age_bounds, seed, exclude_same_video: as in `build_verification`.
        direction: one of `DIRECTIONS`.
        largest: N of the largest gallery, at least 2; smaller galleries are prefixes of it.

    Returns:
        Trials of every probe with a target and at least one eligible impostor.

    Deviation:
        The published lists name the target first, and their scorer breaks ties by position; here no position tells.
    """
    if direction not in DIRECTIONS:
        raise RequestError(f"no direction '{direction}'; there are {', '.join(DIRECTIONS)}")
    probe_modality = direction.split("_", maxsplit=1)[0]
    probes, targets, same_video, impostors = _draw(
        dataset,
        population,
        probe_modality,
        attributes,
        age_bounds,
        (seed, "matching", direction),
        stratum,
        largest - 1,
    )
    kept = _kept(targets, impostors, same_video, exclude_same_video)
    return MatchingTrials(
        direction=direction,
        probe=probes[kept],
        target=targets[kept],
        impostors=impostors[kept],
        stratum=stratum,
        seen=population.seen,
        same_video=int(same_video[kept].sum()),
        unmatched=int((~kept).sum()),
    )


def _kept(positives: IntArray, impostors: IntArray, same_video: BoolArray, exclude_same_video: bool) -> BoolArray:
    """[P] which probes have a positive that may be used and an impostor."""
    kept: BoolArray = (positives >= 0) & (impostors[:, 0] >= 0) & ~(same_video & exclude_same_video)
    return kept


def build_retrieval(population: Population) -> RetrievalTrials:
    """All voices against all faces of a population."""
    return RetrievalTrials(voices=population.voices, faces=population.faces, seen=population.seen)
