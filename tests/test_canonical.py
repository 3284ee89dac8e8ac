"""Canonical correlation against its generalised eigenproblem, and against worlds with a known answer."""

import numpy as np
import pytest
import scipy.linalg
import torch

from lowshot.canonical import CanonicalMaps, Moments, canonical_maps


def pairs(n=400, p=7, q=5, shared=3, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, shared))
    x = z @ rng.normal(size=(shared, p)) + rng.normal(size=(n, p))
    y = z @ rng.normal(size=(shared, q)) + rng.normal(size=(n, q))
    return torch.from_numpy(100 + 5 * x), torch.from_numpy(y - 3)


def gathered(x, y, blocks=1):
    moments = Moments(x.shape[1], y.shape[1])
    for part in zip(x.tensor_split(blocks), y.tensor_split(blocks), strict=True):
        moments.add(*part)
    return moments


def mapped(maps: CanonicalMaps, x, y):
    return (x - maps.mean_x) / maps.scale_x @ maps.x, (y - maps.mean_y) / maps.scale_y @ maps.y


@pytest.mark.parametrize("ridge", [0.0, 0.1, 1.0])
def test_correlations_are_those_of_the_generalised_eigenproblem(ridge):
    x, y = pairs()
    maps = canonical_maps(gathered(x, y), ridge, 5)
    c = np.corrcoef(torch.cat([x, y], dim=1).numpy().T)
    xx, yy, xy = c[:7, :7] + ridge * np.eye(7), c[7:, 7:] + ridge * np.eye(5), c[:7, 7:]
    squares = scipy.linalg.eigh(xy @ np.linalg.solve(yy, xy.T), xx, eigvals_only=True)[::-1][:5]
    np.testing.assert_allclose(maps.correlations, np.sqrt(squares), rtol=1e-9)


def test_mapped_rows_have_unit_variance_and_the_correlations_between_them():
    x, y = pairs()
    maps = canonical_maps(gathered(x, y), 0.0, 5)
    a, b = mapped(maps, x, y)
    np.testing.assert_allclose(a.T @ a / len(a), np.eye(5), atol=1e-9)
    np.testing.assert_allclose(b.T @ b / len(b), np.eye(5), atol=1e-9)
    np.testing.assert_allclose(a.T @ b / len(a), np.diag(maps.correlations), atol=1e-9)


@pytest.mark.parametrize("blocks", [2, 7, 400])
def test_blocks_and_merged_halves_give_what_all_rows_give(blocks):
    x, y = pairs()
    whole = gathered(x, y)
    parts = gathered(x[:150], y[:150], min(blocks, 150))
    parts.merge(gathered(x[150:], y[150:], min(blocks, 250)))
    assert parts.count == whole.count
    for one, other in zip(whole.covariances(), parts.covariances(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


def test_large_means_cost_no_digits():
    x, y = pairs()
    near, far = gathered(x, y), gathered(x + 1e7, y - 1e7, 9)
    for one, other in zip(near.covariances(), far.covariances(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_units_of_columns_change_nothing():
    x, y = pairs()
    one = canonical_maps(gathered(x, y), 1.0, 3)
    other = canonical_maps(gathered(x * torch.logspace(-3, 3, 7), y), 1.0, 3)
    np.testing.assert_allclose(mapped(one, x, y)[0], mapped(other, x * torch.logspace(-3, 3, 7), y)[0], atol=1e-6)


def test_constant_and_repeated_columns_are_harmless():
    x, y = pairs()
    odd = torch.cat([x, torch.full((len(x), 1), 4.0), x[:, :1]], dim=1)
    for ridge in (0.0, 0.5):
        maps = canonical_maps(gathered(odd, y), ridge, 5)
        assert torch.isfinite(maps.x).all() and torch.isfinite(maps.y).all()
        assert (maps.x[7] == 0).all() or ridge == 0 or torch.allclose(maps.x[7], torch.zeros(5, dtype=torch.float64))
    np.testing.assert_allclose(
        canonical_maps(gathered(odd, y), 0.0, 5).correlations, canonical_maps(gathered(x, y), 0.0, 5).correlations,
        rtol=1e-6,
    )  # fmt: skip


def test_weights_are_powers_of_the_correlations():
    maps = canonical_maps(gathered(*pairs()), 1.0, 5)
    a, b = maps.weighted(2.0, rank=3)
    assert a.shape == (7, 3) and b.shape == (5, 3)
    np.testing.assert_allclose(a, maps.x[:, :3] * maps.correlations[:3] ** 2)
    assert torch.equal(maps.weighted(0.0)[0], maps.x)


def test_the_sign_is_decided_by_the_data_alone():
    maps = canonical_maps(gathered(*pairs()), 0.1, 4)
    largest = maps.x.gather(0, maps.x.abs().argmax(dim=0, keepdim=True))
    assert (largest > 0).all()


@pytest.mark.parametrize(("ridge", "rank"), [(-1.0, 2), (0.1, 0)])
def test_what_is_out_of_range_is_refused(ridge, rank):
    with pytest.raises(ValueError, match="ridge >= 0 and rank >= 1"):
        canonical_maps(gathered(*pairs()), ridge, rank)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="need rows"):
        Moments(3, 2).add(torch.zeros(4, 3), torch.zeros(5, 2))
    with pytest.raises(ValueError, match="no rows"):
        Moments(3, 2).covariances()
