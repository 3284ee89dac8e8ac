"""The cross-modal linear probe: which videos a step sees."""

import numpy as np
import pytest

from lowshot.adapt.probe import videos_of_step


@pytest.mark.parametrize("step", [0, 7])
def test_few_videos_are_seen_all_at_every_step(step: int) -> None:
    assert videos_of_step(5, 5, seed=1, step=step).tolist() == [0, 1, 2, 3, 4]


def test_many_videos_take_turns_as_epochs_deal_them_out() -> None:
    """Of 11 videos, 4 a step: two steps an epoch, no video twice within one, another order in the next."""
    steps = [videos_of_step(11, 4, seed=1, step=step) for step in range(4)]
    assert all(len(rows) == 4 for rows in steps)
    first, second = (np.concatenate(steps[start : start + 2]) for start in (0, 2))
    assert len(set(first)) == len(set(second)) == 8
    assert first.tolist() != second.tolist()
    assert set(first) | set(second) <= set(range(11))
    # A step depends on nothing that was asked for before.
    assert np.array_equal(videos_of_step(11, 4, seed=1, step=3), steps[3])
    assert not np.array_equal(videos_of_step(11, 4, seed=2, step=3), steps[3])
