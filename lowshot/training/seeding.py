"""What a step draws inside the towers (dropout) depends on the run's seed and the step alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

DROPOUT_STREAM = 3


@contextmanager
def seeded_step(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Seed torch for one step; afterwards its generators are as they were.

    Args:
        seed: of the run.
        step: counted from 0 over the whole run.
        device: where the towers compute.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        state = np.random.SeedSequence([seed, DROPOUT_STREAM, step]).generate_state(1, np.uint64)
        torch.manual_seed(int(state[0]))
        yield
