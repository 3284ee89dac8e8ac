"""Datasets as a person names them."""

import pytest

from lowshot.errors import RequestError
from lowshot.schema import MANIFEST, WORLD_SIZES
from lowshot.synthetic.world import SIZES
from lowshot.workflows.datasets import manifest_of, open_dataset


def test_sizes_of_worlds_are_those_of_the_schema():
    assert tuple(SIZES) == WORLD_SIZES


def test_an_unknown_world_is_refused():
    with pytest.raises(RequestError, match=r"`data=synth:huge`: no such embedded world; .* synth:tiny, synth:demo"):
        open_dataset("synth:huge")


def test_a_manifest_need_not_exist(tmp_path):
    assert manifest_of(tmp_path) == tmp_path / MANIFEST
    assert manifest_of(tmp_path / "none.csv") == tmp_path / "none.csv"


def test_trust_is_an_argument(tmp_path):
    (tmp_path / "elsewhere.wav").touch()
    (tmp_path / "elsewhere.jpg").touch()
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [f"{tmp_path}/elsewhere.{ending},{kind},v,,\n" for ending, kind in (("wav", "voice"), ("jpg", "face"))]
    (folder / MANIFEST).write_text("path,modality,video,identity,split\n" + "".join(rows), encoding="utf-8")
    with pytest.raises(RequestError, match="row 2: path"):
        open_dataset(folder)
    assert open_dataset(folder, trust_paths=True).path("voice", 0).is_file()
    # From now on.
    open_dataset(folder)
    with (folder / MANIFEST).open("a", encoding="utf-8") as file:
        file.write(rows[0])
    with pytest.raises(RequestError, match="row 2: path"):
        open_dataset(folder)
