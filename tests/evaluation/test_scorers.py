"""Scorers: cosines that tie when embeddings are equal, and the oracle by identity."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError, RunError
from lowshot.evaluation import scorers as room
from lowshot.evaluation.scorers import EmbeddingScorer, OracleScorer, checked_scores
from lowshot.metrics import cosine


def test_scores_are_cosines_whatever_the_lengths() -> None:
    rng = np.random.default_rng(0)
    voice, face = rng.standard_normal((7, 5)), rng.standard_normal((9, 5)) * 1e4
    scores = EmbeddingScorer(voice, face).matrix(np.arange(7), np.arange(9))
    expected = voice @ face.T / np.linalg.norm(voice, axis=1)[:, None] / np.linalg.norm(face, axis=1)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_pairs_and_matrix_agree_to_the_bit_in_any_shape() -> None:
    rng = np.random.default_rng(1)
    voice = rng.standard_normal((83, 67)).astype(np.float32)
    face = rng.standard_normal((101, 67)).astype(np.float32)
    scorer = EmbeddingScorer(voice, face)
    rows, columns = np.meshgrid(np.arange(83), np.arange(101), indexing="ij")
    assert (scorer.pairs(rows, columns) == scorer.matrix(np.arange(83), np.arange(101))).all()


@pytest.mark.parametrize("width", [1, 3, 64, 129])
def test_equal_embeddings_tie_exactly(width: int) -> None:
    rng = np.random.default_rng(width)
    voice = np.tile(rng.standard_normal(width).astype(np.float32), (61, 1))
    face = np.tile(rng.standard_normal(width).astype(np.float32), (1203, 1))
    scorer = EmbeddingScorer(voice, face)
    scores = scorer.matrix(np.arange(61), np.arange(1203))
    assert len(np.unique(scores)) == 1
    assert (scorer.pairs(np.arange(61), np.arange(61)) == scores[0, 0]).all()


@pytest.mark.slow
@pytest.mark.parametrize("elements", [1, 700, 10**6])
def test_no_block_size_and_no_company_changes_a_bit(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    voice, face = rng.standard_normal((40, 67)).astype(np.float32), rng.standard_normal((50, 67)).astype(np.float32)
    whole = EmbeddingScorer(voice, face).matrix(np.arange(40), np.arange(50))
    monkeypatch.setattr(cosine, "_BLOCK_ELEMENTS", elements)
    # As when there are too many embeddings to keep their unit vectors.
    monkeypatch.setattr(room, "_KEPT_ELEMENTS", 0)
    scorer = EmbeddingScorer(voice, face)
    assert (scorer.matrix(np.arange(40), np.arange(50)) == whole).all()
    rows, columns = rng.integers(0, 40, 300), rng.integers(0, 50, 300)
    assert (scorer.pairs(rows, columns) == whole[rows, columns]).all()
    assert (scorer.matrix(rows, columns) == whole[np.ix_(rows, columns)]).all()


def test_products_of_unit_vectors_are_exact() -> None:
    rng = np.random.default_rng(3)
    scorer = EmbeddingScorer(rng.standard_normal((5, 300)), rng.standard_normal((6, 300)))
    left, right = scorer._voice[np.arange(5)], scorer._face[np.arange(6)]
    for a in left:
        for b in right:
            exact = sum(Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a, b, strict=True))
            assert Fraction(float(a @ b)) == exact
    np.testing.assert_allclose(np.linalg.norm(left, axis=1), 1, atol=1e-6)


def test_the_grid_moves_a_cosine_less_than_rounding_it_to_float32() -> None:
    rng = np.random.default_rng(4)
    voice, face = rng.standard_normal((60, 512)), rng.standard_normal((60, 512)) + rng.standard_normal(512)
    scorer = EmbeddingScorer(voice, face)
    exact = scorer._voice[np.arange(60)] @ scorer._face[np.arange(60)].T
    true = voice @ face.T / np.linalg.norm(voice, axis=1)[:, None] / np.linalg.norm(face, axis=1)
    assert np.abs(exact - true).max() < 4e-8


def test_embeddings_on_the_disk_are_read_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_KEPT_ELEMENTS", 0)
    rng = np.random.default_rng(5)
    arrays = [rng.standard_normal((30, 8)).astype(np.float32) for _ in range(2)]
    mapped = []
    for name, array in zip("vf", arrays, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
        mapped.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    voice, face = rng.integers(0, 30, (2, 50))
    assert (EmbeddingScorer(*mapped).pairs(voice, face) == EmbeddingScorer(*arrays).pairs(voice, face)).all()


@pytest.mark.parametrize("kept", [0, 10**6])
def test_embeddings_of_some_rows_are_found_by_row_number(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_KEPT_ELEMENTS", kept)
    rng = np.random.default_rng(6)
    voice, face = rng.standard_normal((9, 4)), rng.standard_normal((7, 4))
    whole = EmbeddingScorer(voice, face)
    some = EmbeddingScorer(voice[[2, 5, 8]], face[[0, 6]], np.array([2, 5, 8]), np.array([0, 6]))
    rows, columns = np.array([8, 2, 2, 5]), np.array([6, 0, 6, 0])
    assert (some.pairs(rows, columns) == whole.pairs(rows, columns)).all()
    assert (some.matrix(rows, columns) == whole.matrix(rows, columns)).all()
    with pytest.raises(RunError, match="2 voice rows that trials name have no embedding"):
        some.pairs(np.array([8, 3, 9, 3]), columns)


def test_a_zero_embedding_scores_zero_and_an_extreme_one_its_cosine() -> None:
    scorer = EmbeddingScorer(np.array([[0.0, 0.0], [1e-300, 0.0], [1e300, 1e300]]), np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(scorer.matrix(np.arange(3), np.arange(1))[:, 0], [0, 1, np.sqrt(0.5)], rtol=1e-6)


def test_rows_that_were_not_embedded_are_refused_only_when_asked_for() -> None:
    voice = np.eye(3)
    voice[2] = np.nan
    scorer = EmbeddingScorer(voice, np.eye(3))
    assert (checked_scores(scorer.pairs(np.array([0, 1]), np.array([0, 0]))) == [1, 0]).all()
    with pytest.raises(RunError, match="1 of 2 scores"):
        checked_scores(scorer.pairs(np.array([0, 2]), np.array([0, 0])))


@pytest.mark.parametrize(
    ("voice", "face", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), "3 dimensions"),
        (np.ones(3), np.ones((2, 3)), "voice embeddings must be"),
        (np.ones((2, 3)), np.full((2, 3), "a"), "face embeddings must be"),
        (np.ones((2, 0)), np.ones((2, 0)), "voice embeddings must be"),
    ],
)
def test_embeddings_that_cannot_be_scored_are_refused(voice: np.ndarray, face: np.ndarray, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        EmbeddingScorer(voice, face)


def test_embeddings_of_another_dataset_are_refused(dataset: Dataset) -> None:
    n_voices, n_faces = len(dataset.voices), len(dataset.faces)
    EmbeddingScorer(np.ones((n_voices, 2)), np.ones((n_faces, 2))).check_rows(dataset)
    with pytest.raises(RequestError, match="face embeddings"):
        EmbeddingScorer(np.ones((n_voices, 2)), np.ones((n_faces - 1, 2))).check_rows(dataset)


class NumberTruth:
    """A truth that scores identities by the distance of their numbers."""

    def llr(self, voice_identities: Sequence[str], face_identities: Sequence[str]) -> np.ndarray:
        return -np.abs(self._numbers(voice_identities) - self._numbers(face_identities))

    def matrix(self, voice_identities: Sequence[str], face_identities: Sequence[str]) -> np.ndarray:
        return -np.abs(self._numbers(voice_identities)[:, None] - self._numbers(face_identities))

    def _numbers(self, identities: Sequence[str]) -> np.ndarray:
        return np.array([float(identity[2:]) for identity in identities])


def test_the_oracle_scores_rows_by_their_identities(dataset: Dataset) -> None:
    scorer = OracleScorer(dataset, NumberTruth())
    voice, face = np.array([[0, 7], [30, 100]]), np.array([[1, 250], [3, 12]])
    number = {m: dataset.rows(m)["identity"].str[2:].astype(float).to_numpy() for m in ("voice", "face")}
    expected = -np.abs(number["voice"][voice] - number["face"][face])
    assert (scorer.pairs(voice, face) == expected).all()
    matrix = scorer.matrix(voice.ravel(), face.ravel())
    assert (matrix == -np.abs(number["voice"][voice.ravel(), None] - number["face"][face.ravel()])).all()


class Unsteady(NumberTruth):
    """A truth whose last bits hang on how much is asked for at once, as those of matrix products do."""

    def llr(self, voice_identities: Sequence[str], face_identities: Sequence[str]) -> np.ndarray:
        return super().llr(voice_identities, face_identities) * (1 + len(voice_identities) * 2.0**-50)

    def matrix(self, voice_identities: Sequence[str], face_identities: Sequence[str]) -> np.ndarray:
        return super().matrix(voice_identities, face_identities) * (1 - len(face_identities) * 2.0**-50)


def test_the_oracle_answers_twice_alike(dataset: Dataset) -> None:
    scorer = OracleScorer(dataset, Unsteady())
    voice, face = np.arange(0, 150, 3), np.arange(0, 300, 6)
    pairs = scorer.pairs(voice[:20], face[:20])
    matrix = scorer.matrix(voice, face)
    assert (matrix[np.arange(20), np.arange(20)] == pairs).all()
    assert (scorer.pairs(voice, face) == np.diag(matrix)).all()
    assert (scorer.matrix(voice[5:9], face) == matrix[5:9]).all()
