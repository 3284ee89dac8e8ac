"""Spans of a shot: tracks, false alarms, gaps and parts, without any media."""

import numpy as np
import pytest

from lowshot.importers.videos.faces import Box, Face, overlap
from lowshot.importers.videos.spans import Sample, SkippedSpan, Thresholds, cut_shot

ASKED = Thresholds(min_face=50, min_seconds=2.0, max_seconds=4.0, faces=2)


def face(left=0, side=60, sharp=0.1, mark=0):
    return Face(Box(left, 0, side), sharp, np.full((2, 2, 3), mark, np.uint8))


def shot(*faces):
    """Four pictures a second."""
    return [Sample(number / 4, list(found)) for number, found in enumerate(faces)]


def spans(samples):
    found, skipped = cut_shot(samples, ASKED)
    return [(span.start, span.end) for span in found], skipped


def test_boxes_overlap_as_areas_do():
    assert overlap(Box(0, 0, 10), Box(0, 0, 10)) == 1
    assert overlap(Box(0, 0, 10), Box(5, 0, 10)) == pytest.approx(50 / 150)
    assert overlap(Box(0, 0, 10), Box(10, 0, 10)) == overlap(Box(0, 0, 10), Box(0, 30, 10)) == 0


def test_a_steady_face_is_a_span_and_one_missed_picture_does_not_end_it():
    pictures = [[face(left=number)] for number in range(13)]
    pictures[5] = []
    assert spans(shot(*pictures)) == ([(0.0, 3.0)], [])
    pictures[6] = []
    assert spans(shot(*pictures)) == (
        [],
        [SkippedSpan(0.0, 1.0, "too-short"), SkippedSpan(1.25, 1.5, "no-face"), SkippedSpan(1.75, 3.0, "too-short")],
    )


def test_a_false_alarm_is_no_second_face_but_a_second_face_is():
    pictures = [[face()] for _ in range(9)]
    for number in (3, 4):
        pictures[number] = [face(), face(left=300)]
    assert spans(shot(*pictures)) == ([(0.0, 2.0)], [])
    pictures[5] = [face(left=300), face()]
    assert [entry.reason for entry in spans(shot(*pictures))[1]] == ["too-short", "several-faces", "too-short"]


def test_another_face_elsewhere_is_another_span():
    pictures = [[face()]] * 9 + [[face(left=300)]] * 10
    assert spans(shot(*pictures)) == ([(0.0, 2.0), (2.25, 4.5)], [])


def test_a_small_face_is_left_out_by_its_median():
    pictures = [[face(side=45)]] * 4 + [[face(side=55)]] * 6
    assert spans(shot(*pictures)) == ([(0.0, 2.25)], [])
    pictures[4:7] = [[face(side=45)]] * 3
    assert spans(shot(*pictures)) == ([], [SkippedSpan(0.0, 2.25, "too-small")])


def test_long_spans_are_cut_into_equal_parts_and_blurred_parts_go():
    pictures = [[face(sharp=0.1 if number < 16 else 0.001)] for number in range(33)]
    assert spans(shot(*pictures)) == ([(0.0, 4.0)], [SkippedSpan(4.0, 8.0, "blurred")])


def test_of_each_part_the_sharpest_picture_is_kept():
    sharp = [0.1, 0.3, 0.2, 0.1, 0.0, 0.0, 0.1, 0.1, 0.5]
    pictures = [[face(sharp=value, mark=number)] for number, value in enumerate(sharp)]
    (span,), _ = cut_shot(shot(*pictures), ASKED)
    assert [int(crop[0, 0, 0]) for crop in span.faces] == [1, 8]
