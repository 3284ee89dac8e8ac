"""What a person is told while a run goes on."""

import pytest

from lowshot.training import progress
from lowshot.training.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_a_line_a_minute_says_how_long_the_rest_takes(clock, capsys):
    told = Progress("pretrain cid", total=100, done=10)
    for step in range(11, 41):
        clock[0] += 4.0
        told(step)
    told.close()
    assert capsys.readouterr().err.splitlines() == [
        # 15 steps took a minute; 75 are left.
        "pretrain cid: step 25 of 100, about 5 min left",
        "pretrain cid: step 40 of 100, about 4 min left",
    ]
