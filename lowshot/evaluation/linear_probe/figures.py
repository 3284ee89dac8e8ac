"""Figures of probes within one modality, and chance."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot import __version__
from lowshot.evaluation.linear_probe.probe import FittedProbe, Names
from lowshot.evaluation.linear_probe.tasks import IDENTITY, Task
from lowshot.evaluation.results import Figure, figure_row
from lowshot.metrics.bootstrap import Interval, identity_codes, identity_counts, mean_replicates, percentile_interval
from lowshot.metrics.classification import balanced_mean, balanced_replicates, tied_items, top_k_credit
from lowshot.metrics.variance_correction import ONE_SIDED_METHOD, corrected
from lowshot.metrics.verification import FloatArray

TOP = 5
"""Number of answers that `accuracy@5` allows."""
FEWEST, FEWEST_OF_CLASS = 10, 5
"""Smallest number of identities for an interval.

A balanced figure needs as many of each class: with fewer, resamples often lack the class.
"""
LEVEL = 0.95


def probe_figures(
    task: Task, probe: FittedProbe, vectors: FloatArray, replicates: int, seed: int
) -> tuple[list[Figure], pd.DataFrame]:
    """Measure a fitted probe.

    Args:
        task: the question and its videos.
        probe: fitted on the task's labelled videos.
        vectors: [n, d] of all the task's videos.
        replicates: number of resamples of identities.
        seed: of the resamples.

    Returns:
        The figures and the answers. Figures are `accuracy`; `accuracy@5` for more than `TOP` labelled identities; and
        `balanced_accuracy` for attributes. Answers are one row per video: `video, identity, class, answer, correct`,
        and `correct@5` if it is measured.
    """
    scores = probe.scores(vectors[task.measured])
    column = {str(name): place for place, name in enumerate(probe.classes)}
    target = np.array([column.get(str(name), -1) for name in task.classes])
    (codes,), identities = identity_codes(task.identities)
    counts = identity_counts(identities, replicates, seed) if identities >= FEWEST else None
    table = pd.DataFrame(
        {
            "video": task.clips.column("video", task.measured),
            "identity": task.identities,
            "class": task.classes,
            "answer": probe.classes[scores.argmax(axis=1)],
        }
    )
    figures = []
    for metric, allowed in _metrics(task, len(probe.classes)):
        credit = top_k_credit(scores, target, allowed)
        table["correct" if allowed == 1 else f"correct@{allowed}"] = credit
        of_class = _codes(task.classes) if metric == "balanced_accuracy" else None
        value = float(credit.mean()) if of_class is None else balanced_mean(credit, of_class)
        figures.append(
            Figure(
                metric,
                value,
                len(task.measured),
                identities,
                None if counts is None else _interval(value, credit, of_class, codes, counts),
                tied_items(scores, target, allowed),
                gallery_size=len(probe.classes) if task.target == IDENTITY else None,
            )
        )
    return figures, table


def chance_figures(task: Task, classes: int) -> list[Figure]:
    """Return chance: a random identity, or the most common class.

    Args:
        task: the question and its videos.
        classes: number of the probe's classes.
    """
    of_class = _codes(task.classes)
    identities = len(set(task.identities))
    figures = []
    for metric, allowed in _metrics(task, classes):
        if task.target == IDENTITY:
            value, size = allowed / classes, classes
        else:
            shares = np.bincount(of_class) / len(of_class)
            value, size = float(shares.max() if metric == "accuracy" else 1 / len(shares)), None
        figures.append(Figure(metric, value, len(task.measured), identities, gallery_size=size))
    return figures


def rows_of_figures(
    figures: list[Figure], task: Task, modality: str, labels: Mapping[str, object], data_sha: str
) -> list[dict[str, object]]:
    """Turn figures into rows of results.csv.

    The column `protocol` is `probe-<target>`, and `direction` is the modality.

    Args:
        figures: of the task.
        task: the question.
        modality: `voice` or `face`.
        labels: values of `LABEL_COLUMNS` for the model.
        data_sha: of the dataset.
    """
    place = {
        "protocol": f"probe-{task.target}",
        "direction": modality,
        "stratum": "",
        "seen": task.seen,
        "n_skipped": task.skipped,
    }
    said = {"data_sha": data_sha, "version": __version__, **labels}
    return [figure_row(figure, place, said) for figure in figures]


def _metrics(task: Task, classes: int) -> list[tuple[str, int]]:
    """Return figures by name, with the number of answers each allows."""
    if task.target != IDENTITY:
        return [("accuracy", 1), ("balanced_accuracy", 1)]
    # With five classes or fewer, the right one is always among the first five.
    return [("accuracy", 1), *([(f"accuracy@{TOP}", TOP)] if classes > TOP else [])]


def _codes(classes: Names) -> npt.NDArray[np.int64]:
    return np.unique(classes.astype(str), return_inverse=True)[1].astype(np.int64)


def _interval(
    value: float,
    credit: FloatArray,
    of_class: npt.NDArray[np.int64] | None,
    codes: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int32],
) -> Interval | None:
    """Compute the 95 % interval over identities, if they suffice."""
    if of_class is None:
        resampled = mean_replicates(credit, (codes,), counts)
    else:
        people = pd.DataFrame({"class": of_class, "identity": codes}).groupby("class")["identity"].nunique()
        if people.min() < FEWEST_OF_CLASS:
            return None
        resampled = balanced_replicates(credit, of_class, codes, counts)
    if np.ptp(resampled[~np.isnan(resampled)]) == 0.0:
        return None
    return percentile_interval(corrected(value, resampled, counts), LEVEL, ONE_SIDED_METHOD)
