"""The oracle: scores from the true latents of the embedded world, the ceiling of models that see its media.

With voice latents v and face latents f, and the classes c = (gender, nationality) of probability p_c,

    LLR(v, f) = log sum_c p_c N([v, f]; mu_c, Sigma) - log sum_c p_c N(v; mu_c) - log sum_c p_c N(f; mu_c),

the log-likelihood ratio of "one identity" against "two identities drawn independently". By the Neyman-Pearson lemma
no score computed from the same latents has a better ROC, and the media of an identity depend on these latents, on
traits private to one modality and on each video's nuisance only.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open
from scipy.special import logsumexp

from lowshot.errors import RequestError
from lowshot.schema import LATENTS
from lowshot.synthetic.world import LatentModel


def _log_mixture(x: np.ndarray, prior: np.ndarray, means: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Log-density of a mixture of Gaussians with one covariance, [n] for points [n, d]."""
    factor = np.linalg.cholesky(covariance)
    white, white_means = np.linalg.solve(factor, x.T).T, np.linalg.solve(factor, means.T).T
    squared = ((white[:, None, :] - white_means[None, :, :]) ** 2).sum(axis=2)
    constant = -0.5 * x.shape[1] * np.log(2 * np.pi) - np.log(np.diag(factor)).sum()
    return logsumexp(np.log(prior) - 0.5 * squared, axis=1) + constant


def log_likelihood_ratio(model: LatentModel, voice: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Compute log-likelihood ratios of "same identity" against "different identities", pair by pair.

    Args:
        model: The joint distribution of the latents.
        voice: Voice latents, [n, d_voice].
        face: Face latents, [n, d_face].

    Returns:
        float64 [n]; positive if one identity is more likely.

    Source:
        Closed form for a Gaussian mixture with shared covariance (see the module's docstring).
    """
    loadings = np.concatenate([model.voice_loadings, model.face_loadings])
    noise = np.concatenate([model.voice_noise, model.face_noise])
    covariance = loadings @ loadings.T + np.diag(noise)
    means = np.concatenate([model.voice_means, model.face_means], axis=1)
    d = voice.shape[1]
    joint = _log_mixture(np.concatenate([voice, face], axis=1), model.class_prior, means, covariance)
    voice_alone = _log_mixture(voice, model.class_prior, model.voice_means, covariance[:d, :d])
    face_alone = _log_mixture(face, model.class_prior, model.face_means, covariance[d:, d:])
    return joint - voice_alone - face_alone


class Oracle:
    """Scores pairs of identities of one embedded world by their true latents."""

    def __init__(self, identities: Sequence[str], voice: np.ndarray, face: np.ndarray, model: LatentModel) -> None:
        """Take the latents of all identities.

        Args:
            identities: Identifiers, as in the manifest, [n].
            voice: Voice latents, [n, d_voice].
            face: Face latents, [n, d_face].
            model: Their distribution.
        """
        self._row = {name: row for row, name in enumerate(identities)}
        self._voice, self._face, self._model = voice, face, model

    @classmethod
    def open(cls, dataset_root: Path) -> "Oracle | None":
        """Open the oracle of a dataset directory.

        Args:
            dataset_root: Directory with a manifest.

        Returns:
            The oracle, or None if the directory holds no truth, like real footage.

        Raises:
            RequestError: The truth is there but cannot be read.
        """
        path = Path(dataset_root) / LATENTS
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
                identities = json.loads(file.metadata()["names"])["identities"]
            model = LatentModel(**{key: arrays[key] for key in LatentModel.__dataclass_fields__})
            return cls(identities, arrays["voice"], arrays["face"], model)
        except Exception as error:  # the reader may raise anything at damaged bytes
            raise RequestError(f"{path}: not a truth file of an embedded world ({error}); render it again") from error

    def _rows(self, identities: Sequence[str]) -> np.ndarray:
        try:
            return np.array([self._row[name] for name in identities], dtype=np.int64)
        except KeyError as error:
            raise RequestError(
                f"identity {error.args[0]!r} is not in this embedded world; score it without the oracle"
            ) from None

    def llr(self, voice_identities: Sequence[str], face_identities: Sequence[str]) -> np.ndarray:
        """Compute log-likelihood ratios, pair by pair.

        Args:
            voice_identities: Identities of the voices, [n] or [1].
            face_identities: Identities of the faces, [n] or [1].

        Returns:
            float64 [n].

        Raises:
            RequestError: An identity is not in this world.
        """
        voice, face = np.broadcast_arrays(self._rows(voice_identities), self._rows(face_identities))
        # Trials repeat few identities: each pair of them is computed once.
        pairs, inverse = np.unique(np.stack([voice, face], axis=1), axis=0, return_inverse=True)
        scores = log_likelihood_ratio(self._model, self._voice[pairs[:, 0]], self._face[pairs[:, 1]])
        return scores[inverse.ravel()]

    def matrix(self, voice_identities: Sequence[str], face_identities: Sequence[str]) -> np.ndarray:
        """Compute log-likelihood ratios of every voice against every face.

        Args:
            voice_identities: Identities of the voices, [n].
            face_identities: Identities of the faces, [m].

        Returns:
            float64 [n, m].

        Raises:
            RequestError: An identity is not in this world.
        """
        voices, voice_inverse = np.unique(self._rows(voice_identities), return_inverse=True)
        faces, face_inverse = np.unique(self._rows(face_identities), return_inverse=True)
        every_voice, every_face = np.repeat(voices, len(faces)), np.tile(faces, len(voices))
        scores = log_likelihood_ratio(self._model, self._voice[every_voice], self._face[every_face])
        return scores.reshape(len(voices), len(faces))[np.ix_(voice_inverse, face_inverse)]
