"""What keeps comparisons quick here."""

from collections.abc import Iterator

import pytest

from lowshot.experiments import differences


@pytest.fixture(scope="module", autouse=True)
def _few_replicates() -> Iterator[None]:
    """Resamples for a p-value that nobody reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(differences, "LEAST_REPLICATES", 100)
        yield


@pytest.fixture(autouse=True)
def _pages_without_pictures(no_pictures: None) -> None:
    """Draw none in tests; comparisons that a module shares are made before this, with pictures."""
