"""Figures of probes: counted by hand, beside chance, and with an interval where it says something."""

import numpy as np
import pandas as pd
import pytest

from lowshot.evaluation.linear_probe.figures import chance_figures, probe_figures
from lowshot.evaluation.linear_probe.tasks import Clips, Task


class Known:
    """A probe whose logits are the vectors themselves."""

    def __init__(self, classes):
        self.classes = np.array(classes, dtype=object)

    def scores(self, vectors):
        return vectors


def asked(target, classes, identities):
    about = pd.DataFrame({"video": [f"v{place}" for place in range(len(classes))], "identity": identities})
    none = np.array([], dtype=int)
    clips = Clips(about, [])
    names = np.array(classes, dtype=object)
    return Task(target, "unseen-unheard", clips, none, names[:0], names[:0], np.arange(len(classes)), names, 0, ())


def measured(task, probe, vectors):
    figures, table = probe_figures(task, probe, np.array(vectors, dtype=float), 200, 0)
    return {figure.metric: figure for figure in figures}, table


def test_attributes_are_counted_as_by_hand():
    task = asked("gender", ["m", "m", "m", "f", "x"], ["a", "a", "b", "c", "d"])
    found, table = measured(task, Known(["f", "m"]), [[0, 1], [1, 0], [2, 2], [1, 0], [0, 1]])
    # Right, wrong, a tie, right, and a class that nobody labelled has.
    assert table["correct"].tolist() == [1, 0, 0.5, 1, 0]
    assert table["answer"].tolist() == ["m", "f", "f", "f", "m"]
    assert found["accuracy"].value == pytest.approx(2.5 / 5)
    assert found["balanced_accuracy"].value == pytest.approx((1.5 / 3 + 1 + 0) / 3)
    assert [(figure.n_trials, figure.n_identities, figure.n_ties) for figure in found.values()] == [(5, 4, 1)] * 2
    chance = {figure.metric: figure.value for figure in chance_figures(task, 2)}
    assert chance == {"accuracy": pytest.approx(3 / 5), "balanced_accuracy": pytest.approx(1 / 3)}


@pytest.mark.parametrize("people", [5, 6])
def test_of_five_people_one_is_always_among_the_first_five(people):
    names = [f"id{number}" for number in range(people)]
    vectors = -np.abs(np.arange(people)[:, None] - np.arange(people)[None, :]) * 1.0
    found, _ = measured(asked("identity", names, names), Known(names), vectors)
    assert list(found) == ["accuracy"] + ["accuracy@5"] * (people > 5)
    assert {figure.gallery_size for figure in found.values()} == {people}
    chance = {figure.metric: figure.value for figure in chance_figures(asked("identity", names, names), people)}
    assert chance == {"accuracy": 1 / people} | ({"accuracy@5": 5 / 6} if people > 5 else {})


@pytest.mark.parametrize(
    ("people", "rare", "right", "metrics"),
    [
        (9, 4, 0.7, set()),
        (12, 4, 0.7, {"accuracy"}),
        (12, 5, 0.7, {"accuracy", "balanced_accuracy"}),
        (40, 20, 1.0, set()),
    ],
)
def test_an_interval_needs_people_of_each_class_and_a_spread(people, rare, right, metrics):
    generator = np.random.default_rng(0)
    classes = np.repeat(["f"] * rare + ["m"] * (people - rare), 3)
    correct = generator.random(len(classes)) < right
    vectors = np.where((classes == "m") == correct, 1.0, -1.0)[:, None] * [-1.0, 1.0]
    task = asked("gender", classes.tolist(), np.repeat([f"id{number}" for number in range(people)], 3))
    found, _ = measured(task, Known(["f", "m"]), vectors)
    assert {metric for metric, figure in found.items() if figure.interval is not None} == metrics
    for metric in metrics:
        assert 0 <= found[metric].interval.low < found[metric].value < found[metric].interval.high <= 1
