"""How far a run has come: a bar on a terminal, elsewhere a line a minute."""

import sys
import time

from tqdm import tqdm

LINE_SECONDS = 60.0


class Progress:
    """Says on standard error how many steps are done, and how long the rest takes.

    Args:
        name: of the work.
        total: steps in all.
        done: steps that were done before.
        line: of the terminal, where several bars stand below each other.
    """

    def __init__(self, name: str, total: int, done: int = 0, line: int = 0) -> None:
        self.name = name
        self.total = total
        self._first = done
        self._started = self._said = time.monotonic()
        self._bar = tqdm(desc=name, total=total, initial=done, unit="step", disable=None, position=line)

    def say(self, message: str) -> None:
        """Say something of the work, above the bar where there is one."""
        tqdm.write(f"{self.name}: {message}", file=sys.stderr)

    def __call__(self, done: int) -> None:
        """Take warning that so many steps are done in all."""
        self._bar.update(done - self._bar.n)
        now = time.monotonic()
        if self._bar.disable and now - self._said >= LINE_SECONDS:
            self._said = now
            left = (now - self._started) / (done - self._first) * (self.total - done)
            self.say(f"step {done} of {self.total}, about {left / 60:.0f} min left")

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()
