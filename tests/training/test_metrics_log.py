"""metrics.csv: columns of every run, and those that a method adds by its own names."""

import os
import signal
from pathlib import Path

import pandas as pd
import pytest

from lowshot.config import Config
from lowshot.data.readers.base import Reader
from lowshot.errors import RunError
from lowshot.methods.cid import Cid
from lowshot.schema import CHECKPOINT, METRICS
from lowshot.training.checkpoint import load_checkpoint, save_checkpoint
from lowshot.training.loop import pretrain
from lowshot.training.metrics_log import MetricsLog

# Rows of a run whose method logs a second figure from step 2 on.
ROWS = [
    ({"step": step, "epoch": 0, "loss": 1 / (3 + step), "clustered": 0}, {"first": 0.1 * step} | later)
    for step, later in enumerate([{}, {}, {"second, of two": 7}, {"second, of two": 8}])
]


def written(log: MetricsLog, rows: list) -> MetricsLog:
    for row, figures in rows:
        log.write(row, figures)
    return log


def test_a_figure_gets_a_column_when_it_is_first_logged(tmp_path: Path) -> None:
    written(MetricsLog(tmp_path / "a.csv"), ROWS).close()
    table = pd.read_csv(tmp_path / "a.csv")
    assert list(table) == ["step", "epoch", "learning_rate", "loss", "first", "second, of two", "clustered", "val_auc"]
    assert table["second, of two"].isna().tolist() == [True, True, False, False]
    assert table["loss"].tolist() == [1 / 3, 1 / 4, 1 / 5, 1 / 6]
    assert b"\r" not in (tmp_path / "a.csv").read_bytes()


@pytest.mark.parametrize("done", range(5))
@pytest.mark.parametrize("ahead", range(3))
def test_a_log_that_goes_on_is_the_same_to_the_last_byte(tmp_path: Path, done: int, ahead: int) -> None:
    """Even if rows, and columns, were written after the checkpoint, and half a row when the process was killed."""
    written(MetricsLog(tmp_path / "whole.csv"), ROWS).close()
    log = written(MetricsLog(tmp_path / "a.csv"), ROWS[:done])
    kept = log.sync()
    written(log, ROWS[done : done + ahead]).close()
    with (tmp_path / "a.csv").open("a") as file:
        file.write("9,9,half a ro")
    written(MetricsLog(tmp_path / "a.csv", kept), ROWS[done:]).close()
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_column_of_every_run_is_not_the_methods_to_write(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the method logs `val_auc`, a column of every run"):
        MetricsLog(tmp_path / "a.csv").write({"step": 0}, {"val_auc": 0.5})


def test_a_run_cannot_go_on_without_its_log(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"a\.csv: cannot be read"):
        MetricsLog(tmp_path / "a.csv", {"columns": [], "rows": 1})


@pytest.mark.slow
def test_a_checkpoint_of_version_0_1_goes_on(
    config: Config, reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the size of the log, not its rows and columns."""
    config = config.with_method("cid")
    whole = pretrain(config, reader, tmp_path / "whole")
    plain = Cid.after_step

    def stopping(self: Cid, *args: object) -> None:
        plain(self, *args)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch, pytest.raises(RunError, match="stopped at step 1"):
        patch.setattr(Cid, "after_step", stopping)
        pretrain(config, reader, tmp_path / "run")
    state = load_checkpoint(tmp_path / "run" / CHECKPOINT)
    log = tmp_path / "run" / METRICS
    del state["log"]
    save_checkpoint(tmp_path / "run" / CHECKPOINT, {**state, "log_size": log.stat().st_size})
    with log.open("a") as file:
        file.write("1,0,half a ro")
    assert pretrain(config, reader, tmp_path / "run")
    assert log.read_bytes() == (whole / METRICS).read_bytes()
