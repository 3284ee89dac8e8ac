"""Scorers: how alike a voice and a face are, from embeddings or from the truth of an embedded world."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError, RunError
from lowshot.evaluation.draws import IntArray

ScoreArray = npt.NDArray[Any]

# Numbers held at once while pairs are gathered.
_BLOCK_ELEMENTS = 2**22


class Scorer(Protocol):
    """Scores by row number of `Dataset.voices` and `Dataset.faces`; finite, and higher means more alike.

    Equal inputs give equal scores whichever method asks and in whichever company, so that ties stay ties.
    """

    def pairs(self, voice: IntArray, face: IntArray) -> ScoreArray:
        """Scores of voices and faces of one shape, taken together elementwise: an array of that shape."""
        ...

    def matrix(self, voice: IntArray, face: IntArray) -> ScoreArray:
        """Scores of each of [n] voices against each of [m] faces: [n, m]."""
        ...


def checked_scores(scores: ScoreArray) -> ScoreArray:
    """Return scores that are all finite.

    Raises:
        RunError: some are not; they cannot be ranked.
    """
    wrong = int((~np.isfinite(scores)).sum())
    if wrong:
        raise RunError(
            f"{wrong} of {scores.size} scores are not finite: embeddings of these trials are missing or not numbers"
        )
    return scores


class EmbeddingScorer:
    """Cosine of voice and face embeddings, in float32.

    Products are summed in float64 and then rounded, so that the order in which a matrix product adds up, which differs
    from one block of a matrix to the next, never tells equal embeddings apart.

    Args:
        voice: [n_voices, d] embeddings of all voices of a dataset, of any length; a zero vector scores 0 everywhere.
            Rows that no trial asks for may be NaN.
        face: [n_faces, d] embeddings of all faces.

    Raises:
        RequestError: another number of axes, or widths that differ.
    """

    def __init__(self, voice: npt.ArrayLike, face: npt.ArrayLike) -> None:
        self._voice = _unit_rows(voice, "voice")
        self._face = _unit_rows(face, "face")
        if self._voice.shape[1] != self._face.shape[1]:
            raise RequestError(
                f"voice embeddings have {self._voice.shape[1]} dimensions, but face embeddings {self._face.shape[1]}; "
                "both must come from one model"
            )

    def pairs(self, voice: IntArray, face: IntArray) -> ScoreArray:
        """Cosines of pairs, of the shape of the arrays."""
        left, right = np.ravel(voice), np.ravel(face)
        cosines = np.empty(len(left), dtype=np.float32)
        step = max(1, _BLOCK_ELEMENTS // self._voice.shape[1])
        for start in range(0, len(left), step):
            part = slice(start, start + step)
            cosines[part] = np.einsum("td,td->t", self._voice[left[part]], self._face[right[part]])
        return cosines.reshape(np.shape(voice))

    def matrix(self, voice: IntArray, face: IntArray) -> ScoreArray:
        """Cosines of all voices against all faces: [n, m]."""
        return (self._voice[voice] @ self._face[face].T).astype(np.float32)

    def check_rows(self, dataset: Dataset) -> None:
        """Refuse embeddings that are not those of the dataset's rows.

        Raises:
            RequestError: the numbers of voices or faces differ.
        """
        for modality, array in (("voice", self._voice), ("face", self._face)):
            if len(array) != len(dataset.rows(modality)):
                raise RequestError(
                    f"{len(array)} {modality} embeddings for the {len(dataset.rows(modality))} {modality} rows of "
                    f"{dataset.name}; embed that dataset again"
                )


class TruthModel(Protocol):
    """What an embedded world knows of its identities."""

    def llr(self, voice_identities: Sequence[str], face_identities: Sequence[str]) -> npt.NDArray[np.float64]:
        """Log-likelihood ratio of same against different identity, elementwise."""
        ...

    def matrix(self, voice_identities: Sequence[str], face_identities: Sequence[str]) -> npt.NDArray[np.float64]:
        """The same for each voice identity against each face identity."""
        ...


class OracleScorer:
    """The ceiling: the log-likelihood ratio of same against different identity, given the true latents.

    Args:
        dataset: voices and faces of an embedded world.
        oracle: its truth.
    """

    def __init__(self, dataset: Dataset, oracle: TruthModel) -> None:
        self._voice = dataset.voices["identity"].to_numpy()
        self._face = dataset.faces["identity"].to_numpy()
        self._oracle = oracle

    def pairs(self, voice: IntArray, face: IntArray) -> ScoreArray:
        """Log-likelihood ratios of pairs, of the shape of the arrays."""
        voices, faces = self._voice[np.ravel(voice)], self._face[np.ravel(face)]
        return np.asarray(self._oracle.llr(voices.tolist(), faces.tolist())).reshape(np.shape(voice))

    def matrix(self, voice: IntArray, face: IntArray) -> ScoreArray:
        """Log-likelihood ratios of all voices against all faces: [n, m]."""
        voices, voice_code = np.unique(self._voice[voice], return_inverse=True)
        faces, face_code = np.unique(self._face[face], return_inverse=True)
        ratios = np.asarray(self._oracle.matrix(voices.tolist(), faces.tolist()))
        return ratios[np.ix_(voice_code, face_code)]


def _unit_rows(embeddings: npt.ArrayLike, modality: str) -> npt.NDArray[np.float64]:
    rows = np.asarray(embeddings)
    if rows.ndim != 2 or rows.shape[1] == 0 or rows.dtype.kind not in "fiu":
        raise RequestError(f"{modality} embeddings must be numbers [n, d], got {rows.dtype} of shape {rows.shape}")
    rows = rows.astype(np.float64)
    # Rows that were never embedded are NaN; they are refused only when a trial asks for them.
    rows[~np.isfinite(rows).all(axis=1)] = np.nan
    # Scaled by the largest entry first: the square of a tiny or huge number would leave float64's range.
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    rows /= np.where(largest == 0, 1.0, largest)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norm == 0, 1.0, norm)
