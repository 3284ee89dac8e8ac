"""What a person is told while work goes on."""

import pytest

from lowshot import progress
from lowshot.progress import Event, Terminal, counter, message, warning


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_a_line_a_minute_says_how_long_the_rest_takes(clock, capsys):
    told = Terminal()
    for step in range(10, 41):
        told(Event("steps", "pretrain cid", step, 100))
        clock[0] += 4.0
    told.close()
    assert capsys.readouterr().err.splitlines() == [
        # 15 steps took a minute; 75 are left.
        "pretrain cid: step 25 of 100, about 5 min left",
        "pretrain cid: step 40 of 100, about 4 min left",
    ]


def test_two_pieces_of_work_of_one_name_have_a_line_each(clock, capsys):
    told = Terminal()
    for step in (0, 50):
        for line in (0, 1):
            told(Event("steps", "pretrain cid", step, 100, line=line))
        clock[0] += 60.0
    told(Event("steps", "pretrain cid", 100, 100, line=0))
    told(Event("steps", "pretrain cid", 60, 100, line=1))
    told.close()
    assert [line.split(",")[0] for line in capsys.readouterr().err.splitlines()] == [
        "pretrain cid: step 50 of 100",
        "pretrain cid: step 50 of 100",
        "pretrain cid: step 100 of 100",
        "pretrain cid: step 60 of 100",
    ]


def test_messages_and_warnings_are_worded_for_whoever_reads_them(capsys):
    told = Terminal(str.upper)
    message(told, "one")
    warning(told, "two")
    assert capsys.readouterr().err == "ONE\nwarning: TWO\n"


def test_a_counter_tells_its_start_every_step_and_its_end():
    events = []
    advance = counter(events.append, "embed", 5, "file", brief=True)
    advance(3)
    advance(2)
    assert [event.done for event in events] == [0, 3, 5]
    assert events[-1] == Event("steps", "embed", 5, 5, "file", True)
