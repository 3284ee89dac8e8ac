"""The Python door: what a callback hears, and trust as an argument."""

import shutil

import pandas as pd
import pytest

import lowshot
from lowshot.data import trust
from lowshot.errors import RequestError
from lowshot.runs import read_config


@pytest.fixture
def elsewhere(world, tmp_path, monkeypatch):
    """A manifest that names files outside its folder, for a reader who has trusted none yet."""
    monkeypatch.setattr("lowshot.synthetic.render.cache_root", lambda: tmp_path / "cache")
    table = pd.read_csv(world / "manifest.csv", dtype=str, keep_default_na=False)
    table["path"] = [str(world / path) for path in table["path"]]
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    table.to_csv(folder / "manifest.csv", index=False)
    return folder


def test_paths_are_trusted_by_an_argument(elsewhere):
    with pytest.raises(RequestError, match="must name a file below the manifest's folder"):
        lowshot.open_data(elsewhere)
    opened = lowshot.open_data(elsewhere, trust_paths=True)
    assert len(opened.voices) == len(lowshot.open_data(elsewhere).voices)
    assert trust.is_trusted(elsewhere / "manifest.csv")


@pytest.mark.parametrize("act", [lowshot.pretrain, lowshot.compare])
def test_every_verb_passes_trust_on(elsewhere, config, monkeypatch, act):
    opened = []

    def stop(source, *, trust_paths=False, **others):
        opened.append(trust_paths)
        raise KeyboardInterrupt

    for module in ("pretrain", "compare"):
        monkeypatch.setattr(f"lowshot.workflows.{module}.open_dataset", stop)
    with pytest.raises(KeyboardInterrupt):
        act(data=elsewhere, config=config, trust_paths=True)
    assert opened == [True]


@pytest.mark.slow
def test_a_callback_hears_what_a_terminal_would_show(world, config, tmp_path, capsys):
    events = []
    run = lowshot.pretrain(
        world, method="cid", config=config, train={"epochs": 2}, out=tmp_path / "run", progress=events.append
    )
    assert read_config(run).train.epochs == 2
    assert events[0].kind == "message" and str(run) in events[0].text
    steps = [event for event in events if event.kind == "steps"]
    assert {event.text for event in steps} == {"pretrain cid"}
    assert [event.done for event in steps] == [*range(steps[-1].total + 1)]
    assert capsys.readouterr() == ("", "")

    shutil.rmtree(run)
    lowshot.pretrain(world, config=config, train={"epochs": 1}, out=tmp_path / "run", progress=False)
    assert capsys.readouterr() == ("", "")
    heard = []
    lowshot.embed(run, out=tmp_path / "vectors", progress=heard.append)
    assert [event.text for event in heard[:2]] == [f"embed {world.name} with run", "embed"]
    assert heard[-1].done == heard[-1].total == len(lowshot.open_data(tmp_path / "vectors").manifest)
