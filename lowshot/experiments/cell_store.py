"""Figures and scores of a cell on disk, and their fingerprint."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from lowshot import __version__
from lowshot.data.dataset import Dataset
from lowshot.evaluation.evaluate import EvaluationResult
from lowshot.evaluation.protocols.base import Protocol
from lowshot.evaluation.protocols.registry import compared_figures, score_key
from lowshot.evaluation.results import read_results, read_scores, write_results, write_scores
from lowshot.evaluation.trial_set import TrialSet
from lowshot.files import write_text
from lowshot.schema import CELLS, SCORES


def trials_sha(trials: TrialSet) -> str:
    """Hash what figures depend on in a trial set: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    _feed(digest, trials)
    return digest.hexdigest()[:16]


def _feed(digest: "hashlib._Hash", value: object) -> None:
    if isinstance(value, Dataset):
        digest.update(value.sha.encode())
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(repr(value.tolist()).encode() if value.dtype == object else np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Protocol):
        digest.update(json.dumps(value.record()).encode())
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            digest.update(field.name.encode())
            _feed(digest, getattr(value, field.name))
    elif isinstance(value, tuple):
        digest.update(f"tuple of {len(value)}".encode())
        for item in value:
            _feed(digest, item)
    else:
        digest.update(repr(value).encode())


def fingerprint(weights: Path, trials: str) -> dict[str, str]:
    """Return hashes of what a model's figures depend on.

    Args:
        weights: the weights file, with its metadata.
        trials: from `trials_sha`.
    """
    return {"weights": hashlib.sha256(weights.read_bytes()).hexdigest(), "trials": trials, "version": __version__}


class Measured:
    """The figures and scores of the cells of a comparison.

    Args:
        directory: of the comparison. Scores lie in scores/<key>, figures and fingerprints in state/cells.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def holds(self, key: str, depends: dict[str, str]) -> bool:
        """Tell if a whole cell was written for these weights and trials."""
        record, rows = self._record(key), self._rows(key)
        if not (record.is_file() and rows.is_file()):
            return False
        try:
            written = json.loads(record.read_text(encoding="utf-8"))
        except ValueError:
            return False
        if not isinstance(written, dict):
            return False
        scores = written.pop("scores", [])
        return written == depends and all((self._scores(key) / f"{name}.csv").is_file() for name in scores)

    def write(self, key: str, depends: dict[str, str], result: EvaluationResult) -> None:
        """Write a cell; a half-written cell counts as missing."""
        self._record(key).unlink(missing_ok=True)
        write_scores(self._scores(key), result.scores)
        write_results(self._rows(key), result.rows)
        write_text(self._record(key), json.dumps({**depends, "scores": list(result.scores)}, indent=2) + "\n")

    def rows(self, key: str) -> pd.DataFrame:
        """Read the figures of a cell, in the columns of results.csv."""
        return read_results(self._rows(key))

    def compared(self, key: str) -> EvaluationResult:
        """Read the figures of a cell, with the scores that comparisons use."""
        wanted = {score_key(figure) for figure in compared_figures()}
        written = json.loads(self._record(key).read_text(encoding="utf-8"))["scores"]
        scores = {name: read_scores(self._scores(key) / f"{name}.csv") for name in written if name in wanted}
        return EvaluationResult(self.rows(key), scores, {}, ())

    def _scores(self, key: str) -> Path:
        return self.directory / SCORES / key

    def _rows(self, key: str) -> Path:
        return self.directory / CELLS / f"{key}.csv"

    def _record(self, key: str) -> Path:
        return self.directory / CELLS / f"{key}.json"
