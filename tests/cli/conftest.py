"""Commands run in this process, with settings under which they take a second."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lowshot import cli
from lowshot.config import Config

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def lowshot(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line; gives (exit code, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lowshot", *map(str, arguments)])
        code: int | str = 0
        try:
            cli.main()
        except SystemExit as stopped:
            code = stopped.code or 0
        out = capsys.readouterr()
        return int(code), out.out, out.err

    return run


@pytest.fixture
def sets(config: Config, tmp_path: Path) -> tuple[str, Path]:
    """The micro settings, as a user would keep them."""
    path = tmp_path / "micro.yaml"
    path.write_text(config.to_yaml())
    return ("--config", path)


@pytest.fixture(autouse=True)
def _pages_without_pictures(no_pictures: None) -> None:
    """Draw none, unless a test is marked `pictures`."""
