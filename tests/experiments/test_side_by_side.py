"""Pretrainings in processes of their own end in what they end in alone; a failure is told."""

import pytest
import torch
from safetensors.torch import load_file

from lowshot.config import build_config
from lowshot.errors import RunError
from lowshot.experiments.side_by_side import pretrain_all
from lowshot.runs import MODEL
from lowshot.training.loop import pretrain


@pytest.fixture
def one_thread():
    """Numbers of threads change the order of sums; processes beside each other have one each on two cores."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_side_by_side_equals_alone(config, reader, tmp_path, one_thread):
    single = build_config([config.model_dump(mode="json"), {"train": {"threads": 1}}])
    settings = [single.with_method(name) for name in ("cmpc", "cid")]
    pretrain_all([(one, tmp_path / f"together-{one.method.name}", "never") for one in settings], reader)
    for one in settings:
        alone = load_file(pretrain(one, reader, tmp_path / one.method.name) / MODEL)
        together = load_file(tmp_path / f"together-{one.method.name}" / MODEL)
        assert all(torch.equal(alone[name], together[name]) for name in alone)


def test_a_failure_in_one_names_it_and_the_other_ends_well(config, reader, tmp_path, capfd):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("x")
    jobs = [(config, tmp_path / "taken", "never"), (config.with_method("cid"), tmp_path / "fine", "never")]
    with pytest.raises(RunError, match="taken failed"):
        pretrain_all(jobs, reader)
    assert "files that are not a run's" in capfd.readouterr().err
    assert (tmp_path / "fine" / MODEL).is_file()
