"""`lowshot data import videos` as a person types it."""

import builtins
import sys

import pytest

from lowshot import cli


@pytest.fixture
def lowshot(capsys, monkeypatch):
    """Run a command line; gives (exit code, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["lowshot", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stopped:
            code = stopped.code or 0
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


@pytest.mark.parametrize("package", ["av", "cv2"])
def test_a_missing_package_is_named_with_what_to_install(lowshot, monkeypatch, tmp_path, package):
    real = builtins.__import__

    def without(name, *args, **options):
        # The first of the two that is missing is named.
        if name == package:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    if package == "cv2":
        monkeypatch.setitem(sys.modules, "av", sys)
    code, out, err = lowshot("data", "import", "videos", tmp_path, "--out", "x/manifest.csv")
    assert (code, out) == (2, "")
    assert f"'{package}': pip install 'lowshot[video]'" in err


def test_what_is_left_out_is_counted(lowshot, tmp_path):
    pytest.importorskip("av")
    pytest.importorskip("cv2")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "text.mp4").write_text("no film")
    code, out, err = lowshot("data", "import", "videos", tmp_path / "in", "--out", "x/manifest.csv")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "none of 1 files is usable" in err
    assert lowshot("data", "import", "videos", tmp_path / "none", "--out", "x/manifest.csv")[0] == 2
