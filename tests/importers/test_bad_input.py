"""What lies about on disks, and manifests that reach out of their folder."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from PIL import Image

from lowshot.cli import app
from lowshot.data.dataset import Dataset
from lowshot.data.manifest import read_manifest, write_manifest
from lowshot.errors import RequestError

from .trees import grow, imported, run, skipped

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
WHOLE = ["ann/one/a.wav", "ann/one/a.jpg"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWSHOT_CACHE", str(tmp_path / "cache"))


@POSIX
def test_any_name_that_is_text_survives(tmp_path: Path) -> None:
    names = [
        "two words",
        'quo"te',
        "'=1+1",
        "=cmd|x",
        "line\nend",
        "carriage\rreturn",
        "both\r\n",
        "😀",
        "a,b",
        "NA",
        "c:x",
    ]
    root = grow(tmp_path / "d", [f"{name}/{name}/{name}.{end}" for name in names for end in ("wav", "jpg")])
    found = imported("folder", root, out=root / "m.csv")
    assert set(found["path"]) == {
        f"{'./' * (name == 'c:x')}{name}/{name}/{name}.{end}" for name in names for end in ("wav", "jpg")
    }
    assert set(found["identity"]) == set(names)
    dataset = Dataset.open(root / "m.csv")
    dataset.check_files("voice", range(len(names)))
    write_manifest(found, root / "again.csv")
    assert read_manifest(root / "again.csv").equals(found)


@pytest.mark.skipif(sys.platform != "linux", reason="file systems elsewhere refuse names that are not UTF-8")
def test_names_that_are_not_text_are_named(tmp_path: Path) -> None:
    root = grow(tmp_path / "d", [*WHOLE, "ann/one/back\\slash.wav"])
    grow(root, [os.fsdecode(b"ann/caf\xe9/a.wav"), os.fsdecode(b"ann/one/\xff.wav")])
    assert len(imported("folder", root, out=tmp_path / "m.csv")) == 2
    assert skipped(tmp_path / "m.csv") == {
        f"{root}/ann/caf\\xe9": "with a name that is not UTF-8",
        f"{root}/ann/one/\\xff.wav": "with a name that is not UTF-8",
        f"{root}/ann/one/back\\slash.wav": "with a backslash in the name, which elsewhere is a folder",
    }
    unnamed = grow(tmp_path / os.fsdecode(b"\xe9"), WHOLE)
    result = run("folder", unnamed, "--out", tmp_path / "n.csv")
    assert "the name is not UTF-8" in str(result.exception)


@POSIX
def test_links_in_circles_and_pipes_do_not_hang(tmp_path: Path) -> None:
    root = grow(tmp_path / "d", WHOLE)
    (root / "ann/one/up").symlink_to(root)
    (root / "loop.wav").symlink_to("loop.wav")
    (root / "ann/one/gone.wav").symlink_to("nothing.wav")
    (root / "ann/one/other.wav").symlink_to("a.wav")
    os.mkfifo(root / "ann/one/pipe.wav")
    found = imported("folder", root, out=root / "m.csv")
    assert found["path"].tolist() == ["ann/one/a.wav", "ann/one/other.wav", "ann/one/a.jpg"]
    assert skipped(root / "m.csv") == {
        str(root / "ann/one/up"): "links to a folder",
        str(root / "loop.wav"): "links in a circle",
        str(root / "ann/one/gone.wav"): "links to nothing",
        str(root / "ann/one/pipe.wav"): "neither file nor folder",
    }


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        ([], "found no voices and no faces"),
        (["ann/one/a.wav"], "no video has both a voice and a face; skipped: 1 of a video without faces"),
        (["a.txt"], "no video has both a voice and a face; skipped: 1 of an unknown kind"),
    ],
)
def test_a_tree_without_pairs_is_refused(tmp_path: Path, names: list[str], fault: str) -> None:
    (tmp_path / "d").mkdir()
    result = run("folder", grow(tmp_path / "d", names), "--identities", "--out", tmp_path / "new/m.csv")
    assert isinstance(result.exception, RequestError)
    assert fault in str(result.exception)
    assert not (tmp_path / "new").exists()


def test_a_place_that_is_taken_or_no_place_is_refused(tmp_path: Path) -> None:
    root = grow(tmp_path / "d", WHOLE)
    (tmp_path / "m.csv").write_text("mine")
    for out, fault in (
        (tmp_path / "m.csv", "exists; name another"),
        (tmp_path / "manifest", "name a manifest to write"),
        (tmp_path / "m.csv/m.csv", "cannot write to"),
    ):
        result = run("folder", root, "--out", out)
        assert isinstance(result.exception, RequestError)
        assert fault in str(result.exception)
    assert (tmp_path / "m.csv").read_text() == "mine"
    assert "no such folder" in str(run("folder", tmp_path / "none", "--out", tmp_path / "n.csv").exception)


def test_media_elsewhere_have_absolute_paths_that_are_trusted_here_only(tmp_path: Path) -> None:
    root = grow(tmp_path / "disk/d", WHOLE)
    (tmp_path / "home").mkdir()
    out = tmp_path / "home/manifest.csv"
    found = imported("folder", root, out=out)
    assert found["path"].tolist() == [(root / name).as_posix() for name in WHOLE]
    assert len(Dataset.open(out).voices) == 1
    for content in (out.read_text().replace("a.wav", "b.wav"), out.read_text()):
        # Another content, and the same content in another place.
        copy = out if "b.wav" in content else tmp_path / "home/copy.csv"
        kept = out.read_text()
        copy.write_text(content)
        with pytest.raises(RequestError, match=r"row 2: path .* must name a file below .* add `trust_paths` once"):
            Dataset.open(copy)
        out.write_text(kept)


def test_trust_is_given_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in/manifest.csv"
    path.write_text("path,modality,video,identity,split\n../a.wav,voice,v,,\n/x/a.jpg,face,v,,\n")
    describe = ["data", "describe", str(tmp_path / "in")]
    assert isinstance(CliRunner().invoke(app, describe).exception, RequestError)
    assert CliRunner().invoke(app, [*describe, "--trust-paths"]).exit_code == 0
    assert CliRunner().invoke(app, describe).exit_code == 0
    path.write_text(path.read_text().replace("../a.wav", ""))
    result = CliRunner().invoke(app, [*describe, "--trust-paths"])
    assert "path '' must name a file" in str(result.exception)


def test_a_check_looks_at_media_elsewhere_once_they_are_trusted(tmp_path: Path) -> None:
    root = grow(tmp_path / "disk/d", [])
    (root / "ann/one").mkdir(parents=True)
    soundfile.write(root / "ann/one/a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 40_000), 16_000)
    for number in (1, 2):
        Image.effect_noise((64, 64), 20 * number).save(root / f"ann/one/{number}.png")
    out = tmp_path / "home/manifest.csv"
    (tmp_path / "home").mkdir()
    imported("folder", root, out=out)
    assert CliRunner().invoke(app, ["data", "check", str(out)]).exit_code == 0
    (root / "ann/one/2.png").write_text("no image")
    clean = out.with_name("clean.csv")
    assert CliRunner().invoke(app, ["data", "check", str(out), "--write-clean", str(clean)]).exit_code == 0
    assert len(Dataset.open(clean).faces) == 1
    out.write_text(out.read_text() + "\n")
    check = CliRunner().invoke(app, ["data", "check", str(out)])
    assert "3 path" in str(check.exception)
    check = CliRunner().invoke(app, ["data", "check", str(out), "--trust-paths"])
    assert "1 unreadable" in str(check.exception)
