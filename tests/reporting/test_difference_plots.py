"""The forest of differences, and the picture of labels: whose line is where."""

import numpy as np
import pandas as pd
import pytest

from lowshot.reporting.difference_plots import efficiency, forest
from lowshot.reporting.drawing import Missing, Picture

from .invented import label_efficiency
from .test_verdicts import difference, judged

BUDGETS = {"no labels": {}, "10 % probe": {"adaptation": "probe", "fraction": 0.1}}


def drawn(table: pd.DataFrame) -> Picture:
    picture = forest(table)
    assert isinstance(picture, Picture)
    return picture


def ticks(picture: Picture) -> dict[str, list[float]]:
    """Where each label beside the axis stands."""
    axes = picture.figure.axes[0]
    found: dict[str, list[float]] = {}
    for place, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        found.setdefault(label.get_text(), []).append(float(place))
    return found


def test_each_mark_stands_at_its_budget_below_the_heading_of_its_pair() -> None:
    values = {("avid", "no labels"): 0.01, ("avid", "10 % probe"): 0.02, ("pins", "no labels"): 0.03}
    table = judged(
        *(
            difference(value, value, method_a=method, **BUDGETS[budget], stratum=stratum)
            for (method, budget), value in values.items()
            for stratum in ("U", "G")
        )
    )
    picture = drawn(table)
    axes = picture.figure.axes[0]
    headings = {text.get_text(): text.get_position()[1] for text in axes.texts}
    assert headings == {"AVID − CID": 0, "pins − CID": 3}
    assert ticks(picture) == {"no labels": [1, 4], "10 % probe": [2]}
    for line in axes.lines[1:]:
        assert list(line.get_xdata()) == pytest.approx([1, 2, 3])
        assert [round(y) for y in line.get_ydata()] == [1, 2, 4]
    # Rows are counted from the top.
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_with_one_budget_pairs_stand_beside_the_axis_and_the_budget_in_the_title() -> None:
    picture = drawn(judged(*(difference(0.01, 0.02, method_a=method) for method in ("avid", "pins"))))
    assert ticks(picture) == {"AVID − CID": [0], "pins − CID": [1]}
    assert not picture.figure.axes[0].texts
    assert picture.title.endswith(", no labels")


def test_a_long_table_is_cut_in_so_many_words() -> None:
    picture = drawn(judged(*(difference(0.01, 0.02, method_a=f"mine-{k}") for k in range(41))))
    assert picture.title.endswith("(the first 40 of 41; all are in the table)")
    assert len(ticks(picture)) == 40


def test_the_words_hold_every_line() -> None:
    table = judged(*(difference(-0.02, 0.01, **budget) for budget in BUDGETS.values()))
    for budget in BUDGETS:
        assert f"CMPC − CID, {budget}, AUC U −0.5 [−2.0, +1.0]" in drawn(table).alt


def test_without_an_interval_there_is_nothing_to_draw() -> None:
    assert isinstance(forest(None), Missing)
    assert isinstance(forest(judged(difference(float("nan"), float("nan")))), Missing)


def test_lines_of_labels_that_come_to_the_same_do_not_hide_each_other() -> None:
    rows = label_efficiency().assign(equal_fraction=[0.0, np.inf])
    table = pd.concat([rows.assign(method=name) for name in ("cmpc", "avid", "scratch")], ignore_index=True)
    picture = efficiency(table, {})
    assert isinstance(picture, Picture)
    (axes,) = picture.figure.axes
    heights = np.array([line.get_ydata() for line in axes.get_lines()[1:4]])
    low, high = np.sort(heights, axis=0).T
    for ends in (low, high):
        assert (np.diff(ends) > 0).all()
    # Near enough to the tick to be read as it.
    ticks = axes.get_yticks()
    assert (abs(low - ticks[0]) < 0.3 * (ticks[1] - ticks[0])).all()
    assert (abs(high - ticks[-1]) < 0.3 * (ticks[-1] - ticks[-2])).all()
