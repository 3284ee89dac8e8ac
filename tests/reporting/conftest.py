"""What keeps tests of the page quick."""

import pytest

from lowshot.reporting import page
from lowshot.reporting.drawing import Picture


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without pictures: drawing them takes most of the time that a page takes."""
    monkeypatch.setattr(page.plots, "draw", lambda sources: [])


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages with an empty picture for each: what stands beside pictures is looked at, and not they."""
    monkeypatch.setattr(Picture, "svg", '<svg viewBox="0 0 1 1"></svg>')
