"""What keeps tests of the page quick."""

import pytest

from lowshot.reporting import page


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without pictures: drawing them takes most of the time that a page takes."""
    monkeypatch.setattr(page.plots, "draw", lambda sources: [])
