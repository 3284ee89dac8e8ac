"""What pictures leave out, and what they tell apart."""

from pathlib import Path

import pandas as pd

from lowshot.reporting import tables, verdicts
from lowshot.reporting.difference_plots import forest
from lowshot.reporting.drawing import Missing, Picture
from lowshot.reporting.map_plot import embedding_map
from lowshot.schema import MAP

from .invented import differences, results, write_gallery


def drawn(picture: Picture | Missing) -> Picture:
    assert isinstance(picture, Picture)
    return picture


def test_differences_that_a_picture_has_no_room_for_are_counted() -> None:
    one = differences().iloc[[0]]
    many = pd.concat([one.assign(method_b=f"m{number}") for number in range(41)])
    measured = tables.check(results())
    cut = drawn(forest(verdicts.judge(many, measured)))
    assert "the first 40 of 41" in cut.title and len(cut.figure.axes[0].get_yticks()) == 40
    assert "the first" not in drawn(forest(verdicts.judge(many.iloc[:40], measured))).title


def test_a_map_names_its_model_and_tells_every_gender_apart(tmp_path: Path) -> None:
    write_gallery(tmp_path / "gallery", model="cid-seed0")
    points = pd.read_csv(tmp_path / MAP)
    points["gender"] = ["", "f", "m", "f", "m"] * 2
    points.to_csv(tmp_path / MAP, index=False)
    picture = drawn(embedding_map(tmp_path / MAP))
    assert picture.title.endswith(": cid-seed0")
    looks = {
        str(entry.get_label()): (entry.get_color(), entry.get_marker(), entry.get_markerfacecolor())
        for entry in picture.figure.legends[0].legend_handles
    }
    assert list(looks) == ["voice", "voice, f", "voice, m", "face", "face, f", "face, m"]
    assert len(set(looks.values())) == 6
