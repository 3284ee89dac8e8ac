"""What probes within one modality are asked: who it is, of the labelled, and which gender, age or nationality."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.data.dataset import Dataset
from lowshot.data.pairs import Videos
from lowshot.errors import RequestError
from lowshot.evaluation.linear_probe.probe import Names
from lowshot.evaluation.strata import age_group
from lowshot.metrics.verification import FloatArray
from lowshot.schema import SEEN, UNSEEN

IDENTITY = "identity"
ATTRIBUTES = ("gender", "age", "nationality")
TARGETS = (IDENTITY, *ATTRIBUTES)
TRAINING = "training"
"""What figures on held-out videos of split train are called: the probe has not seen them, the pretraining has."""
HELD_OUT = 5
"""One labelled video in so many is held out where there is nothing else to measure identities on."""
_HOLD_OUT_STREAM = 4

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Clips:
    """Videos in one modality: those that are labelled, others of the same people, and those of split test.

    Attributes:
        about: n rows: `video`, `identity`, `role` (`labelled`, `heard` or `unseen`), and those of `ATTRIBUTES` that the
            manifest has, ages as groups.
        media: n arrays, the row numbers of each video.
    """

    about: pd.DataFrame
    media: list[IntArray]

    @property
    def rows(self) -> IntArray:
        """All row numbers, each once, rising."""
        return np.unique(np.concatenate(self.media))

    def of(self, role: str) -> IntArray:
        """Numbers of the videos of a role."""
        return np.flatnonzero(self.about["role"] == role)

    def column(self, name: str, places: IntArray) -> Names:
        """Values of a column of `about`, as text."""
        return self.about[name].to_numpy(dtype=object)[places]

    def vectors(self, embedded: npt.NDArray[np.float32]) -> FloatArray:
        """[n, d] the mean direction of each video's embeddings.

        Args:
            embedded: unit embeddings of `rows`, in that order.
        """
        rows = self.rows
        sums = np.stack([embedded[np.searchsorted(rows, part)].sum(axis=0, dtype=np.float64) for part in self.media])
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        return sums / np.where(lengths > 0, lengths, 1.0)


@dataclass(frozen=True, eq=False)
class Task:
    """One thing to tell from embeddings.

    Attributes:
        target: one of `TARGETS`.
        seen: which people and videos are measured, as results have it.
        clips: the videos that the numbers below are of.
        fitted, fit_classes: which videos are fitted on, and what they are.
        fit_groups: what cross-validation keeps together.
        measured, classes: which videos are asked for, and what they are.
        skipped: videos that are not asked for because nothing says what they are.
        warnings: what a reader of the figures should know.
    """

    target: str
    seen: str
    clips: Clips
    fitted: IntArray
    fit_classes: Names
    fit_groups: Names
    measured: IntArray
    classes: Names
    skipped: int
    warnings: tuple[str, ...]

    @property
    def identities(self) -> Names:
        """Whose the measured videos are."""
        return self.clips.column("identity", self.measured)


def clips_of(dataset: Dataset, modality: str, labelled: Videos, bounds: Sequence[float]) -> Clips:
    """The videos that probes of a modality are about.

    Args:
        dataset: where to look.
        modality: `voice` or `face`.
        labelled: the labelled training videos.
        bounds: lower bounds of the age groups, as `age_group` takes them.

    Returns:
        Labelled videos, videos of their identities with an empty split, and videos of split test. Attributes are those
        of a video's first row.
    """
    table = dataset.rows(modality)
    split, identity = table["split"], table["identity"]
    # Another clip of a video that is trained on is no held-out video.
    trained = set(dataset.manifest.loc[dataset.manifest["split"] == "train", "video"])
    roles = {
        "labelled": np.sort(np.concatenate(labelled.voices if modality == "voice" else labelled.faces)),
        "heard": np.flatnonzero((split == "") & identity.isin(labelled.identities) & ~table["video"].isin(trained)),
        "unseen": np.flatnonzero((split == "test") & (identity != "")),
    }
    tables, media = [], []
    for role, rows in roles.items():
        part = table.iloc[rows]
        media += [rows[places] for places in part.groupby("video", sort=False).indices.values()]
        tables.append(part.drop_duplicates("video").assign(role=role))
    about = pd.concat(tables, ignore_index=True)
    about = about[["video", "identity", "role", *(name for name in ATTRIBUTES if name in about)]]
    about = about.assign(**{name: about[name].str.strip() for name in ATTRIBUTES if name in about})
    if "age" in about:
        about["age"] = [age_group(age, bounds) for age in about["age"]]
    return Clips(about, media)


def task_of(target: str, clips: Clips, seed: int) -> Task:
    """What to fit on and what to ask for one target.

    Args:
        target: one of `TARGETS`.
        clips: as `clips_of` gives them.
        seed: of the choice of held-out videos, where one is needed.

    Raises:
        RequestError: the data do not allow it.
    """
    return _identity(clips, seed) if target == IDENTITY else _attribute(target, clips)


def _identity(clips: Clips, seed: int) -> Task:
    """Who is it, of the labelled?

    Measured on videos that nothing was trained on, where at least two of the identities have one. Otherwise one
    labelled video in `HELD_OUT` of each identity, at least one where it has two, is measured on and not fitted on.
    """
    labelled, heard = clips.of("labelled"), clips.of("heard")
    warnings: tuple[str, ...] = ()
    fitted, measured, seen = labelled, heard, SEEN
    if len(set(clips.column("identity", heard))) < 2:
        held_out = _held_out(clips.about.iloc[labelled], seed)
        if not held_out.any():
            raise RequestError(
                "identity: each labelled identity has a single labelled video, and none with an empty split: nothing "
                "is left to measure on; label more videos"
            )
        fitted, measured, seen = labelled[~held_out], labelled[held_out], TRAINING
        warnings = (
            "identity: no two labelled identities have a video with an empty split; measured on labelled videos that "
            "the probe has not seen, but the pretraining has",
        )
    names = clips.column("identity", fitted)
    answers = clips.column("identity", measured)
    return Task(IDENTITY, seen, clips, fitted, names, clips.column("video", fitted), measured, answers, 0, warnings)


def _held_out(about: pd.DataFrame, seed: int) -> npt.NDArray[np.bool_]:
    """[n] which videos are not fitted on."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, len(about), _HOLD_OUT_STREAM])))
    held_out = np.zeros(len(about), dtype=bool)
    ordered = about.reset_index(drop=True).sort_values(["identity", "video"], kind="stable")
    for _, places in ordered.groupby("identity", sort=True).groups.items():
        count = max(1, len(places) // HELD_OUT) if len(places) > 1 else 0
        held_out[generator.permutation(places.to_numpy())[:count]] = True
    return held_out


def _attribute(target: str, clips: Clips) -> Task:
    """Which gender, age group or nationality? Fitted on labelled videos, measured on people of split test."""
    if target not in clips.about:
        raise RequestError(f"{target}: the manifest has no column '{target}'")
    labelled, unseen = clips.of("labelled"), clips.of("unseen")
    fitted = labelled[clips.column(target, labelled) != ""]
    measured = unseen[clips.column(target, unseen) != ""]
    classes = sorted(set(clips.column(target, fitted)))
    if len(classes) < 2:
        alike = f"all labelled identities are '{classes[0]}'" if classes else f"no labelled identity has a {target}"
        raise RequestError(f"{target}: {alike}, and a probe tells at least two classes apart; label others, or more")
    if not len(measured):
        raise RequestError(f"{target}: no identity of split test has a {target} to be asked for")
    warnings = []
    if len(fitted) < len(labelled):
        unknown = len(labelled) - len(fitted)
        warnings.append(f"{target}: {unknown} of {len(labelled)} labelled videos say nothing of it and are left out")
    answers = clips.column(target, measured)
    strange = [name for name in answers if name not in classes]
    if strange:
        warnings.append(
            f"{target}: {len(strange)} of {len(answers)} videos are of a class that nobody labelled has "
            f"({', '.join(sorted(set(strange)))}), and count as errors"
        )
    return Task(
        target,
        UNSEEN,
        clips,
        fitted,
        clips.column(target, fitted),
        clips.column("identity", fitted),
        measured,
        answers,
        len(unseen) - len(measured),
        tuple(warnings),
    )
