"""Feature files: what was written is read back, from the disk, and other writers' files are read too."""

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from lowshot.data.dataset import Dataset
from lowshot.data.features import map_features, write_blocks
from lowshot.errors import RequestError


def test_blocks_are_one_tensor_to_every_reader(tmp_path) -> None:
    rng = np.random.default_rng(0)
    voice, face = rng.standard_normal((70, 6)).astype(np.float32), rng.standard_normal((33, 5))
    path = tmp_path / "new" / "features.safetensors"
    write_blocks(path, {"voice": (voice[k : k + 9] for k in range(0, 70, 9)), "face": face}, {"b": "é", "a": "1"})
    loaded, mapped = load_file(path), map_features(path)
    assert set(loaded) == set(mapped) == {"voice", "face"}
    for name, array in (("voice", voice), ("face", face.astype(np.float32))):
        np.testing.assert_array_equal(loaded[name], array)
        np.testing.assert_array_equal(mapped[name], array)
        assert isinstance(mapped[name], np.memmap) and not mapped[name].flags.writeable
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"a": "1", "b": "é"}


def test_equal_contents_are_equal_bytes_however_they_come(tmp_path) -> None:
    array = np.random.default_rng(0).standard_normal((10, 3)).astype(np.float32)
    write_blocks(tmp_path / "whole", {"voice": array, "face": array}, {"a": "1", "b": "2"})
    write_blocks(tmp_path / "parts", {"voice": [array[:4], array[4:]], "face": iter([array])}, {"b": "2", "a": "1"})
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "parts").read_bytes()


def test_blocks_are_written_as_they_come(tmp_path) -> None:
    sizes = []

    def blocks():
        for _ in range(3):
            (part,) = tmp_path.glob(".features*")
            sizes.append(part.stat().st_size)
            # More than a file's buffer, so that it reaches the disk.
            yield np.ones((5000, 8), dtype=np.float32)

    write_blocks(tmp_path / "features", {"voice": blocks()}, {})
    assert sizes[0] < 10_000 and sizes[1] > 100_000 and sizes[2] > sizes[1] + 100_000


def test_nothing_is_left_when_a_block_fails(tmp_path) -> None:
    def blocks():
        yield np.ones((2, 3), dtype=np.float32)
        yield np.ones((2, 4), dtype=np.float32)

    with pytest.raises(ValueError, match="3 and 4 columns"):
        write_blocks(tmp_path / "features", {"voice": blocks()}, {})
    assert not list(tmp_path.glob("*features*"))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8])
def test_files_of_others_are_read_in_their_own_type(tmp_path, kind) -> None:
    arrays = {"voice": np.arange(12).reshape(4, 3).astype(kind), "face": np.empty((0, 3), dtype=kind)}
    save_file(arrays, tmp_path / "f", metadata={"k": "v"})
    mapped = map_features(tmp_path / "f")
    for name, array in arrays.items():
        assert mapped[name].dtype == kind and mapped[name].shape == array.shape
        np.testing.assert_array_equal(mapped[name], array)


def test_no_rows_at_all(tmp_path) -> None:
    write_blocks(tmp_path / "f", {"voice": [], "face": np.empty((0, 4), np.float32)}, {})
    assert [array.shape for array in map_features(tmp_path / "f").values()] == [(0, 0), (0, 4)]


def test_what_is_no_feature_file_is_refused(tmp_path) -> None:
    import torch
    from safetensors.torch import save_file as save_torch

    (tmp_path / "text").write_text("no tensors here")
    write_blocks(tmp_path / "cut", {"voice": np.ones((50, 4), np.float32)}, {})
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-10])
    save_torch({"voice": torch.ones(2, 2, dtype=torch.bfloat16)}, tmp_path / "bfloat16")
    for name, message in (("text", "not a readable"), ("cut", "not a readable"), ("bfloat16", "BF16; write it as")):
        with pytest.raises(RequestError, match=f"{name}: .*{message}"):
            map_features(tmp_path / name)
    with pytest.raises(RequestError, match="not a readable"):
        map_features(tmp_path / "nowhere")


def test_a_datasets_features_stay_on_the_disk_and_are_checked_to_the_end(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("lowshot.data.dataset._CHECKED_ROWS", 2)
    names = [f"{k}.{kind}" for k in range(5) for kind in ("wav", "jpg")]
    lines = [f"{name},{'voice' if name[-1] == 'v' else 'face'},v{name[0]},p{name[0]},test" for name in names]
    (tmp_path / "manifest.csv").write_text("path,modality,video,identity,split\n" + "\n".join(lines) + "\n")
    good = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    bad = good.copy()
    bad[4, 1] = np.inf
    write_blocks(tmp_path / "features.safetensors", {"voice": good, "face": good}, {})
    assert all(isinstance(array, np.memmap) for array in Dataset.open(tmp_path).features.values())
    write_blocks(tmp_path / "features.safetensors", {"voice": good, "face": bad}, {})
    with pytest.raises(RequestError, match="row 11: face vector holds values"):
        _ = Dataset.open(tmp_path).features
