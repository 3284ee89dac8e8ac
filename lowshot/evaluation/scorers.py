"""Scorers: similarity of voices and faces, from embeddings or true latents."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lowshot.data.dataset import Dataset
from lowshot.errors import RequestError, RunError
from lowshot.evaluation.sampling import IntArray
from lowshot.metrics.cosine import parts, unit_rows

ScoreArray = npt.NDArray[Any]

# Up to this many numbers, unit vectors are computed once; beyond it, at each request.
_KEPT_ELEMENTS = 2**24


class Scorer(Protocol):
    """Scores by row number; finite, and higher means more alike.

    Row numbers are those of `Dataset.voices` and `Dataset.faces`. Equal inputs give equal scores in both methods and
    beside any other rows, so that ties stay ties.
    """

    def pairs(self, voice: IntArray, face: IntArray) -> ScoreArray:
        """Score voices and faces elementwise: an array of their shape."""
        ...

    def matrix(self, voice: IntArray, face: IntArray) -> ScoreArray:
        """Score [n] voices against [m] faces: a new array [n, m]."""
        ...


def checked_scores(scores: ScoreArray) -> ScoreArray:
    """Return scores that are all finite.

    Raises:
        RunError: some are not finite and cannot be ranked.
    """
    finite = np.isfinite(scores)
    if not finite.all():
        raise RunError(
            f"{int((~finite).sum())} of {scores.size} scores are not finite: "
            "embeddings of these trials are missing or not numbers"
        )
    return scores


class EmbeddingScorer:
    """Cosine of voice and face embeddings, in float32.

    The order, blocks and threads of the sum do not change a cosine (`metrics.cosine`). Equal embeddings score the same
    in any row.

    Embeddings may be memory-mapped: rows are read when a trial asks for them.

    Args:
        voice: [n_voices, d] embeddings of all voices of a dataset, of any length; a zero vector scores 0 everywhere.
            Rows that no trial asks for may be NaN.
        face: [n_faces, d] embeddings of all faces.
        voice_rows, face_rows: rising row numbers of the dataset, where the embeddings are those of some rows only.

    Raises:
        RequestError: the number of axes is wrong, or the widths differ.
    """

    def __init__(
        self,
        voice: npt.ArrayLike,
        face: npt.ArrayLike,
        voice_rows: IntArray | None = None,
        face_rows: IntArray | None = None,
    ) -> None:
        self._voice = _UnitRows(voice, "voice", voice_rows)
        self._face = _UnitRows(face, "face", face_rows)
        if self._voice.width != self._face.width:
            raise RequestError(
                f"voice embeddings have {self._voice.width} dimensions, but face embeddings {self._face.width}; "
                "both must come from one model; for vectors of several encoders, name the `model` trained on them and "
                "give the vectors as `data`"
            )

    def pairs(self, voice: IntArray, face: IntArray) -> ScoreArray:
        """Compute cosines of pairs, in the shape of the arrays."""
        left, right = np.ravel(voice), np.ravel(face)
        cosines = np.empty(len(left), dtype=np.float32)
        for part in parts(len(left), self._voice.width):
            cosines[part] = np.einsum("td,td->t", self._voice.repeated(left[part]), self._face.repeated(right[part]))
        return cosines.reshape(np.shape(voice))

    def matrix(self, voice: IntArray, face: IntArray) -> ScoreArray:
        """Compute cosines of all voices against all faces: [n, m]."""
        cosines = np.empty((len(voice), len(face)), dtype=np.float32)
        for columns in parts(len(face), self._face.width):
            faces = self._face[face[columns]].T
            exact = np.empty((0, 0))
            for rows in parts(len(voice), faces.shape[1]):
                voices = self._voice[voice[rows]]
                # One buffer for the products of all parts: new memory costs a sixth of the products.
                exact = exact if len(exact) >= len(voices) else np.empty((len(voices), faces.shape[1]))
                cosines[rows, columns] = np.matmul(voices, faces, out=exact[: len(voices)])
        return cosines

    def vectors(self, modality: str, rows: IntArray) -> npt.NDArray[np.float64]:
        """Return unit vectors of [n] rows of `voice` or `face`: [n, d]."""
        return {"voice": self._voice, "face": self._face}[modality][rows]

    def check_rows(self, dataset: Dataset) -> None:
        """Refuse embeddings that are not those of the dataset's rows.

        Raises:
            RequestError: the numbers of voices or faces differ.
        """
        for modality, embeddings in (("voice", self._voice), ("face", self._face)):
            if len(embeddings) != len(dataset.rows(modality)):
                raise RequestError(
                    f"{len(embeddings)} {modality} embeddings for the {len(dataset.rows(modality))} {modality} rows of "
                    f"{dataset.name}; embed that dataset again"
                )


class TruthModel(Protocol):
    """The true latents of synthetic identities."""

    def llr(self, voice_identities: Sequence[str], face_identities: Sequence[str]) -> npt.NDArray[np.float64]:
        """Log-likelihood ratio of same against different identity, elementwise."""
        ...

    def matrix(self, voice_identities: Sequence[str], face_identities: Sequence[str]) -> npt.NDArray[np.float64]:
        """The same for each voice identity against each face identity."""
        ...


class OracleScorer:
    """The upper bound: log-likelihood ratios from the true latents.

    A ratio compares same against different identity.

    Args:
        dataset: voices and faces of an embedded world.
        oracle: its truth.
    """

    def __init__(self, dataset: Dataset, oracle: TruthModel) -> None:
        self._voice_names, self._voice = np.unique(dataset.voices["identity"].to_numpy(), return_inverse=True)
        self._face_names, self._face = np.unique(dataset.faces["identity"].to_numpy(), return_inverse=True)
        self._oracle = oracle
        # The last bits of a ratio depend on the batch, so the first answer is kept.
        self._known = np.full((len(self._voice_names), len(self._face_names)), np.nan)

    def pairs(self, voice: IntArray, face: IntArray) -> ScoreArray:
        """Log-likelihood ratios of pairs, of the shape of the arrays."""
        voices, faces = self._voice[voice], self._face[face]
        unknown = np.isnan(self._known[voices, faces])
        if unknown.any():
            new = np.unique(np.stack([voices[unknown], faces[unknown]]), axis=1)
            names = self._voice_names[new[0]].tolist(), self._face_names[new[1]].tolist()
            self._known[new[0], new[1]] = self._oracle.llr(*names)
        return self._known[voices, faces]

    def matrix(self, voice: IntArray, face: IntArray) -> ScoreArray:
        """Log-likelihood ratios of all voices against all faces: [n, m]."""
        voices, faces = self._voice[voice], self._face[face]
        block = np.ix_(np.unique(voices), np.unique(faces))
        known = self._known[block]
        if np.isnan(known).any():
            names = self._voice_names[block[0][:, 0]].tolist(), self._face_names[block[1][0]].tolist()
            self._known[block] = np.where(np.isnan(known), self._oracle.matrix(*names), known)
        return self._known[np.ix_(voices, faces)]


class _UnitRows:
    """Unit vectors by row number, rounded so that their products are exact."""

    def __init__(self, embeddings: npt.ArrayLike, modality: str, numbers: IntArray | None) -> None:
        rows = np.asarray(embeddings)
        if rows.ndim != 2 or rows.shape[1] == 0 or rows.dtype.kind not in "fiu":
            raise RequestError(f"{modality} embeddings must be numbers [n, d], got {rows.dtype} of shape {rows.shape}")
        self._rows, self._modality, self._numbers = rows, modality, numbers
        self._kept = unit_rows(rows) if rows.size <= _KEPT_ELEMENTS else None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def width(self) -> int:
        """Size of an embedding."""
        return int(self._rows.shape[1])

    def __getitem__(self, numbers: IntArray) -> npt.NDArray[np.float64]:
        """Return unit vectors of [n] rows: [n, d]; NaN for incomplete rows."""
        places = numbers if self._numbers is None else self._places(numbers, self._numbers)
        return self._kept[places] if self._kept is not None else unit_rows(self._rows[places])

    def repeated(self, numbers: IntArray) -> npt.NDArray[np.float64]:
        """Return the same for rows with many repetitions."""
        if self._kept is not None:
            return self[numbers]
        distinct, place = np.unique(numbers, return_inverse=True)
        return self[distinct][place]

    def _places(self, wanted: IntArray, numbers: IntArray) -> IntArray:
        places = np.searchsorted(numbers, wanted)
        missing = np.append(numbers, -1)[places] != wanted
        if missing.any():
            raise RunError(
                f"{len(np.unique(wanted[missing]))} {self._modality} rows that trials name have no embedding"
            )
        return places
