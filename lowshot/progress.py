"""One callback for all long work: how far it is, and what a person should read."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

LINE_SECONDS = 60.0


@dataclass(frozen=True)
class Event:
    """Something that long work reports.

    Attributes:
        kind: `steps` (how far it is), `message`, or `warning`.
        text: name of the work of `steps`, as in `pretrain cmpc`; else one line to read.
        done, total: of `steps`: how many are done, and how many there are; None while nobody knows. Equal numbers end
            the work.
        unit: of `steps`: what is counted, as in `video`; `B` for bytes.
        brief: of `steps`: show nothing if it takes less than two seconds, and nothing once it is over.
        line: of `steps`: line of the terminal, from 0, if several are shown at once.
    """

    kind: Literal["steps", "message", "warning"]
    text: str
    done: int = 0
    total: int | None = 0
    unit: str = "step"
    brief: bool = False
    line: int = 0


Report = Callable[[Event], None]
"""Takes the events of a workflow, in the thread that the workflow runs in."""


def quiet(event: Event) -> None:
    """Report nothing."""


def message(report: Report, text: str) -> None:
    """Report one line to read."""
    report(Event("message", text))


def warning(report: Report, text: str) -> None:
    """Report one line that a person should know before relying on the outcome. It does not stop the work."""
    report(Event("warning", text))


def counter(
    report: Report, text: str, total: int | None, unit: str = "step", brief: bool = False
) -> Callable[[int], None]:
    """Report the start of some steps; call the outcome with how many more of them are done.

    Args:
        report: takes the events.
        text, total, unit, brief: as of `Event`.
    """
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        report(Event("steps", text, done, total, unit, brief))

    advance(0)
    return advance


class Terminal:
    """Shows events on standard error: bars on a terminal, elsewhere a line a minute with an estimate.

    Args:
        wording: applied to every message, as the command line does to put flags for arguments.

    Example:
        >>> from lowshot.progress import Event, Terminal
        >>> Terminal()(Event("message", "3 of 10 people are labelled"))
    """

    def __init__(self, wording: Callable[[str], str] = str) -> None:
        self._wording = wording
        # tqdm is imported with the first bar: help texts need none.
        self._bars: dict[tuple[str, int], _Bar] = {}

    def __call__(self, event: Event) -> None:
        if event.kind != "steps":
            text = self._wording(event.text)
            self._say(text if event.kind == "message" else f"warning: {text}")
            return
        # Two seeds of one method are pretrained under one name, on two lines.
        key = (event.text, event.line)
        if key not in self._bars:
            self._bars[key] = _Bar(event)
        if line := self._bars[key].update(event.done):
            self._say(line)
        if event.total is not None and event.done >= event.total:
            self._bars.pop(key).close()

    def close(self) -> None:
        """Leave unfinished bars as they are."""
        while self._bars:
            self._bars.popitem()[1].close()

    def _say(self, text: str) -> None:
        if not self._bars:
            print(text, file=sys.stderr, flush=True)
            return
        from tqdm import tqdm

        # Above the bars, not through them.
        tqdm.write(text, file=sys.stderr)


class _Bar:
    """One bar, or a line a minute if nobody watches."""

    def __init__(self, event: Event) -> None:
        from tqdm import tqdm

        self._first, self._total, self._name, self._unit = event.done, event.total, event.text, event.unit
        self._started = self._said = time.monotonic()
        self._bar = tqdm(
            desc=event.text,
            total=event.total,
            initial=event.done,
            unit=event.unit,
            unit_scale=event.unit == "B",
            disable=None,
            delay=2 if event.brief else 0,
            leave=not event.brief,
            position=event.line or None,
        )

    def update(self, done: int) -> str:
        """Show that so many steps are done; returns a line to print if one is due."""
        self._bar.update(done - self._bar.n)
        now = time.monotonic()
        if not self._bar.disable or done <= self._first or now - self._said < LINE_SECONDS:
            return ""
        self._said = now
        if self._total is None:
            return f"{self._name}: {self._unit} {done}"
        left = (now - self._started) / (done - self._first) * (self._total - done)
        return f"{self._name}: {self._unit} {done} of {self._total}, about {left / 60:.0f} min left"

    def close(self) -> None:
        self._bar.close()
