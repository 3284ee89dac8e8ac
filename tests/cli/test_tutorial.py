"""The tutorial works as it stands: its blocks run in order, in an empty folder, as a reader runs them."""

import re
import shlex
from pathlib import Path

import pytest

from lowshot.synthetic import world

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PARTS = dict(zip(("vectors", "videos"), PAGE.read_text(encoding="utf-8").split("\n## Part ")[1:], strict=True))
# A third of the people of `tiny`, with two videos each: all else is as on the page.
FEW = world.WorldConfig(
    name="tiny",
    train_identities=5,
    val_identities=4,
    test_identities=4,
    train_videos=(2, 3, 4),
    val_videos=2,
    test_videos=2,
)
# Resamples and epochs cost time, and no figure is compared here.
LESS = {
    "pretrain": ("--set", "train.epochs=3"),
    "evaluate": ("--set", "evaluate.replicates=100"),
    "compare": ("--set", "train.epochs=3", "--set", "evaluate.replicates=100", "--jobs", 1),
}


def follow(part, lowshot, names):
    """Run the blocks of a part; `names` are the variables that its Python shares."""
    for language, block in BLOCK.findall(PARTS[part]):
        if language == "python":
            exec(compile(block, str(PAGE), "exec"), names)
        elif not language:
            for line in block.splitlines():
                words = shlex.split(line)
                assert words[0] == "lowshot", f"{line}: output belongs in a block of text"
                code, _, err = lowshot(*words[1:], *LESS.get(words[1], ()))
                assert code == 0, f"{line}: {err}"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(world.SIZES, "tiny", FEW)


@pytest.mark.slow
def test_a_reader_trains_and_measures_on_vectors(lowshot):
    follow("vectors", lowshot, {})
    runs = {path.name for path in Path("runs").iterdir()}
    assert {"0001-pretrain-cmpc", "0002-probe-cmpc-0.1", "0003-finetune-cmpc-0.1"} <= runs
    assert Path("comparison", "differences.csv").is_file() and Path("comparison", "report.html").is_file()


@pytest.mark.slow
def test_a_reader_trains_and_measures_on_videos(lowshot):
    pytest.importorskip("av")
    pytest.importorskip("cv2")
    import pandas

    follow("videos", lowshot, {})
    talk = pandas.read_csv("talk/manifest.csv", keep_default_na=False)
    assert len(talk["video"].unique()) >= 15
    assert len({name for name in talk.loc[talk["split"] == "train", "identity"] if name}) == 4
    results = list(Path("runs").glob("*-evaluate-*/results.csv"))
    assert len(results) == 1
    assert set(pandas.read_csv(results[0])["protocol"]) >= {"verification", "matching", "retrieval"}


def test_every_block_is_run_or_is_output():
    assert {language for part in PARTS.values() for language, _ in BLOCK.findall(part)} <= {"", "python", "text"}
    assert len(BLOCK.findall(PARTS["vectors"])) >= 8
    assert len(BLOCK.findall(PARTS["videos"])) >= 6
