"""Atomic writes: a disk that takes no more is one line that names the file, and what was there before stays."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from lowshot.errors import RunError
from lowshot.files import atomic_path, write_text
from lowshot.training.checkpoint import save_checkpoint

LONG = 100_000


@contextmanager
def full_disk():
    """No file may grow beyond a kilobyte: what a write meets on a full disk, or over its quota."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def by_python(temporary):
    temporary.write_bytes(bytes(LONG))


def by_safetensors(temporary):
    save_file({"x": np.zeros(LONG)}, temporary)


@pytest.mark.parametrize("write", [by_python, by_safetensors])
def test_a_full_disk_is_one_line_that_names_the_file_and_leaves_the_old_one(tmp_path, write):
    path = tmp_path / "run" / "model.safetensors"
    write_text(path, "old")
    with (
        pytest.raises(RunError, match=r"model\.safetensors: cannot be written \(.*File too large.*\)"),
        full_disk(),
        atomic_path(path) as temporary,
    ):
        write(temporary)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_checkpoint_on_a_full_disk_leaves_the_one_before(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 1})
    old = path.read_bytes()
    with pytest.raises(RunError, match=r"checkpoint\.pt: .* cannot be written"), full_disk():
        save_checkpoint(path, {"weights": torch.zeros(LONG)})
    assert path.read_bytes() == old


def test_an_error_that_names_another_file_is_not_taken_for_a_failed_write(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"source\.csv"), atomic_path(tmp_path / "copy.csv"):
        (tmp_path / "source.csv").read_bytes()
