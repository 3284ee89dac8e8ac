"""The oracle: its closed form against numerical integration and sampling, and its use on a rendered world."""

import numpy as np
import pytest

from lowshot.errors import RequestError
from lowshot.metrics.verification import auc
from lowshot.schema import LATENTS
from lowshot.synthetic.oracle import Oracle, log_likelihood_ratio
from lowshot.synthetic.render import render_world
from lowshot.synthetic.world import LatentModel, WorldConfig, build_world, latent_model

SMALL = WorldConfig(
    train_identities=4, val_identities=2, test_identities=2, train_videos=(1, 1, 1), val_videos=1, test_videos=1
)


def toy_model() -> LatentModel:
    """One shared cause, one voice and two face latents, two classes."""
    return LatentModel(
        class_prior=np.array([0.3, 0.7]),
        voice_means=np.array([[-1.0], [0.8]]),
        face_means=np.array([[0.5, -0.2], [-0.4, 0.3]]),
        voice_loadings=np.array([[0.7]]),
        face_loadings=np.array([[0.6], [-0.3]]),
        voice_noise=np.array([0.5]),
        face_noise=np.array([0.6, 0.9]),
    )


def brute_force(model: LatentModel, v: np.ndarray, f: np.ndarray) -> float:
    """The ratio by integrating the shared cause out on a grid: p(v, f) / (p(v) p(f))."""
    s = np.linspace(-12, 12, 20001)
    weight = np.exp(-0.5 * s**2) / np.sqrt(2 * np.pi) * (s[1] - s[0])

    def likelihood(x: np.ndarray, means: np.ndarray, loadings: np.ndarray, noise: np.ndarray) -> np.ndarray:
        residual = x - means - s[:, None] * loadings[:, 0]
        return np.prod(np.exp(-0.5 * residual**2 / noise) / np.sqrt(2 * np.pi * noise), axis=1)

    joint = voice = face = 0.0
    for p, voice_means, face_means in zip(model.class_prior, model.voice_means, model.face_means, strict=True):
        of_voice = likelihood(v, voice_means, model.voice_loadings, model.voice_noise)
        of_face = likelihood(f, face_means, model.face_loadings, model.face_noise)
        joint += p * np.sum(weight * of_voice * of_face)
        voice += p * np.sum(weight * of_voice)
        face += p * np.sum(weight * of_face)
    return float(np.log(joint / (voice * face)))


def test_closed_form_matches_numerical_integration():
    model, rng = toy_model(), np.random.default_rng(0)
    voice, face = rng.normal(0, 1.5, (20, 1)), rng.normal(0, 1.5, (20, 2))
    expected = [brute_force(model, v, f) for v, f in zip(voice, face, strict=True)]
    assert np.allclose(log_likelihood_ratio(model, voice, face), expected, atol=1e-9)


def test_the_ratio_of_the_real_model_averages_to_one_over_different_identities():
    # E over the product of the marginals of p(v, f) / (p(v) p(f)) is exactly 1, whatever the model.
    world = build_world(WorldConfig(train_identities=3000, train_videos=(1, 1, 1), seen_heard_videos=0))
    ratios = [
        np.exp(log_likelihood_ratio(latent_model(), world.voice, np.roll(world.face, shift, axis=0)))
        for shift in range(1, 60)
    ]
    assert abs(np.mean(ratios) - 1) < 0.1


def test_modalities_without_a_common_cause_or_class_say_nothing():
    model = toy_model()
    apart = LatentModel(
        **{
            **vars(model),
            "face_loadings": np.zeros((2, 1)),
            "voice_means": np.zeros((2, 1)),
        }
    )
    rng = np.random.default_rng(1)
    ratio = log_likelihood_ratio(apart, rng.normal(size=(9, 1)), rng.normal(size=(9, 2)))
    assert np.allclose(ratio, 0, atol=1e-12)


def test_same_identity_scores_higher_and_the_ceiling_lies_where_it_was_planned():
    world = build_world(WorldConfig(train_identities=2000, train_videos=(1, 1, 1), seen_heard_videos=0))
    model = latent_model()
    same = log_likelihood_ratio(model, world.voice, world.face)
    different = log_likelihood_ratio(model, world.voice, np.roll(world.face, 1, axis=0))
    assert same.mean() > 0 > different.mean()
    labels = np.repeat([1, 0], len(same))
    assert 0.88 < auc(np.concatenate([same, different]), labels) < 0.95
    genders = np.array(world.genders)
    order = np.argsort(genders, kind="stable")
    partner = np.empty(len(order), dtype=int)
    for gender in ("m", "f"):
        members = order[genders[order] == gender]
        partner[members] = np.roll(members, 1)
    matched = log_likelihood_ratio(model, world.voice, world.face[partner])
    assert 0.76 < auc(np.concatenate([same, matched]), labels) < 0.87


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("oracle") / "world"
    render_world(SMALL, out, workers=1)
    return out


def test_pairs_and_matrix_agree_with_the_latents(rendered):
    oracle, world = Oracle.open(rendered), build_world(SMALL)
    assert oracle is not None
    rows = np.array([0, 5, 3, 0])
    columns = np.array([1, 5, 2, 1])
    expected = log_likelihood_ratio(latent_model(), world.voice[rows], world.face[columns])
    voices, faces = [world.ids[i] for i in rows], [world.ids[i] for i in columns]
    assert np.allclose(oracle.llr(voices, faces), expected)
    assert np.allclose(oracle.llr(voices[:1], faces), oracle.llr([voices[0]] * 4, faces))
    matrix = oracle.matrix(voices, faces)
    assert matrix.shape == (4, 4) and np.allclose(np.diag(matrix), expected)
    assert np.allclose(matrix[1], oracle.llr([voices[1]] * 4, faces))


def test_no_truth_no_oracle(tmp_path):
    assert Oracle.open(tmp_path) is None


def test_a_damaged_truth_and_a_stranger_are_refused_in_one_line(rendered, tmp_path):
    (tmp_path / LATENTS).write_bytes(b"not safetensors")
    with pytest.raises(RequestError, match="render it again"):
        Oracle.open(tmp_path)
    oracle = Oracle.open(rendered)
    assert oracle is not None
    with pytest.raises(RequestError, match="id99999"):
        oracle.llr(["id99999"], ["id10001"])
