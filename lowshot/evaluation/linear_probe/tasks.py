"""Tasks of probes within one modality: identity, gender, age, nationality."""

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
"""Population of held-out videos of split train, seen by the pretraining alone."""
HELD_OUT = 5
"""One labelled video in this many is held out if no others can measure identities."""
_HOLD_OUT_STREAM = 4

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Clips:
    """Videos in one modality: labelled, heard and unseen.

    Attributes:
        about: n rows: `video`, `identity`, `role` (`labelled`, `heard` or `unseen`), and those of `ATTRIBUTES` that the
            manifest has, ages as groups.
        media: n arrays, the row numbers of each video.
    """

    about: pd.DataFrame
    media: list[IntArray]

    @property
    def rows(self) -> IntArray:
        """Return all row numbers, each once, rising."""
        return np.unique(np.concatenate(self.media))

    def of(self, role: str) -> IntArray:
        """Return the numbers of the videos of a role."""
        return np.flatnonzero(self.about["role"] == role)

    def column(self, name: str, places: IntArray) -> Names:
        """Return the values of a column of `about`, as text."""
        return self.about[name].to_numpy(dtype=object)[places]

    def vectors(self, embedded: npt.NDArray[np.float32]) -> FloatArray:
        """Compute the mean direction of each video's embeddings: [n, d].

        Args:
            embedded: unit embeddings of `rows`, in that order.
        """
        rows = self.rows
        sums = np.stack([embedded[np.searchsorted(rows, part)].sum(axis=0, dtype=np.float64) for part in self.media])
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        return sums / np.where(lengths > 0, lengths, 1.0)


@dataclass(frozen=True, eq=False)
class Task:
    """One classification task on embeddings.

    Attributes:
        target: one of `TARGETS`.
        seen: the population that is measured, as in results.csv.
        clips: the videos of the numbers below.
        fitted, fit_classes: videos to fit on, and their classes.
        fit_groups: groups that cross-validation keeps together.
        measured, classes: videos to measure on, and their classes.
        skipped: number of videos that are not measured because their class is unknown.
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
        """Return the identities of the measured videos."""
        return self.clips.column("identity", self.measured)


def clips_of(dataset: Dataset, modality: str, labelled: Videos, bounds: Sequence[float]) -> Clips:
    """Collect the videos for the probes of a modality.

    Args:
        dataset: the dataset.
        modality: `voice` or `face`.
        labelled: the labelled training videos.
        bounds: lower bounds of the age groups, as of `age_group`.

    Returns:
        Labelled videos, videos of their identities with an empty split, and videos of split test. Attributes are those
        of a video's first row.
    """
    table = dataset.rows(modality)
    split, identity = table["split"], table["identity"]
    # Another clip of a training video is not held out.
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
    """Make the task of one target.

    Args:
        target: one of `TARGETS`.
        clips: from `clips_of`.
        seed: of the choice of held-out videos, if it is needed.

    Raises:
        RequestError: the data do not allow it.
    """
    return _identity(clips, seed) if target == IDENTITY else _attribute(target, clips)


def _identity(clips: Clips, seed: int) -> Task:
    """Make the task of identity among the labelled people.

    It is measured on videos outside all training, if at least two of the identities have one. Otherwise, one labelled
    video in `HELD_OUT` of each identity is held out for measuring; at least one if it has two.
    """
    labelled, heard = clips.of("labelled"), clips.of("heard")
    warnings: tuple[str, ...] = ()
    fitted, measured, seen = labelled, heard, SEEN
    if len(set(clips.column("identity", heard))) < 2:
        held_out = _held_out(clips.about.iloc[labelled], seed)
        if not held_out.any():
            raise RequestError(
                "identity: each labelled identity has one labelled video, and none with an empty split, so nothing is "
                "left to measure on; label more videos"
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
    """Mark the videos that are held out: [n]."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, len(about), _HOLD_OUT_STREAM])))
    held_out = np.zeros(len(about), dtype=bool)
    ordered = about.reset_index(drop=True).sort_values(["identity", "video"], kind="stable")
    for _, places in ordered.groupby("identity", sort=True).groups.items():
        count = max(1, len(places) // HELD_OUT) if len(places) > 1 else 0
        held_out[generator.permutation(places.to_numpy())[:count]] = True
    return held_out


def _attribute(target: str, clips: Clips) -> Task:
    """Make the task of gender, age group or nationality.

    It is fitted on labelled videos and measured on people of split test.
    """
    if target not in clips.about:
        raise RequestError(f"{target}: the manifest has no column '{target}'")
    labelled, unseen = clips.of("labelled"), clips.of("unseen")
    fitted = labelled[clips.column(target, labelled) != ""]
    measured = unseen[clips.column(target, unseen) != ""]
    classes = sorted(set(clips.column(target, fitted)))
    if len(classes) < 2:
        alike = f"all labelled identities are '{classes[0]}'" if classes else f"no labelled identity has a {target}"
        raise RequestError(f"{target}: {alike}, but a probe needs at least two classes; label other or more people")
    if not len(measured):
        raise RequestError(f"{target}: no identity of split test has a {target}; fill in the manifest's column")
    warnings = []
    if len(fitted) < len(labelled):
        unknown = len(labelled) - len(fitted)
        warnings.append(f"{target}: skipped {unknown} of {len(labelled)} labelled videos: their {target} is unknown")
    answers = clips.column(target, measured)
    strange = [name for name in answers if name not in classes]
    if strange:
        warnings.append(
            f"{target}: {len(strange)} of {len(answers)} videos have a class without a label "
            f"({', '.join(sorted(set(strange)))}) and count as errors"
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
