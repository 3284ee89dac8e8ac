"""Recalibration against loops and scipy, and against the released code (docs/fidelity.md, rows 5, 6)."""

import math

import pytest
import torch
from scipy.stats import norm
from torch import Tensor
from torch.nn import functional as F

from lowshot.losses.recalibration import deviation, recalibration_weights, weighted_mean

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-13}

Granularities = tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit(n: int, d: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return F.normalize(torch.randn(n, d, generator=generator(seed), dtype=dtype), dim=1)


def granularities(ks: list[int], b: int, d: int, dtype: torch.dtype = torch.float64) -> Granularities:
    return (
        [unit(k, d, 100 + k, dtype) for k in ks],
        [unit(k, d, 200 + k, dtype) for k in ks],
        [torch.randint(k, (b,), generator=generator(300 + k)) for k in ks],
        [torch.randint(k, (b,), generator=generator(400 + k)) for k in ks],
    )


def loop(a: Tensor, f: Tensor, clusters: Granularities) -> Tensor:
    """rho_i = a_i . f_i - (1/R) sum over r of c^V_{r, s^V_{r,i}} . c^F_{r, s^F_{r,i}}."""
    voices, faces, voice_of, face_of = clusters
    rho = []
    for i in range(len(a)):
        expected = torch.zeros((), dtype=a.dtype)
        for r in range(len(voices)):
            expected = expected + (voices[r][voice_of[r][i]] * faces[r][face_of[r][i]]).sum()
        rho.append((a[i] * f[i]).sum() - expected / len(voices))
    return torch.stack(rho)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_deviation_matches_the_loop_forward_and_gradient(dtype: torch.dtype) -> None:
    a, f = unit(6, 5, 0, dtype).requires_grad_(), unit(6, 5, 1, dtype).requires_grad_()
    clusters = granularities([3, 4, 7], 6, 5, dtype)
    ours, theirs = deviation(a, f, *clusters), loop(a, f, clusters)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE[dtype])
    cotangent = torch.arange(1.0, 7.0, dtype=dtype)
    got = torch.autograd.grad((cotangent * ours).sum(), (a, f))
    want = torch.autograd.grad((cotangent * theirs).sum(), (a, f))
    for mine, loops in zip(got, want, strict=True):
        torch.testing.assert_close(mine, loops, rtol=0, atol=10 * TOLERANCE[dtype])


def test_deviation_is_not_known_for_a_video_without_a_cluster() -> None:
    a, f = unit(4, 5, 2), unit(4, 5, 3)
    clusters = granularities([3, 6], 4, 5)
    reference = deviation(a, f, *clusters)
    clusters[2][1][0] = -1
    clusters[3][0][2] = -1
    rho = deviation(a, f, *clusters)
    assert rho.isnan().tolist() == [True, False, True, False]
    assert torch.equal(rho[[1, 3]], reference[[1, 3]])


def test_deviation_refuses_lists_of_different_length() -> None:
    voices, faces, voice_of, face_of = granularities([3, 6], 4, 5)
    with pytest.raises(ValueError, match="one entry per granularity"):
        deviation(unit(4, 5, 2), unit(4, 5, 3), voices, faces[:1], voice_of, face_of)


def test_row_5_rho_depends_neither_on_the_number_of_granularities_nor_on_centroid_norms() -> None:
    a, f = unit(8, 5, 4), unit(8, 5, 5)
    clusters = granularities([4], 8, 5)

    # Released: a sum over the granularities of dot products of centroids that were never normalised.
    def released(voices: list[Tensor], faces: list[Tensor], voice_of: list[Tensor], face_of: list[Tensor]) -> Tensor:
        total = torch.zeros(len(a), dtype=a.dtype)
        for voice, face, s_voice, s_face in zip(voices, faces, voice_of, face_of, strict=True):
            total = total + (voice[s_voice] * face[s_face]).sum(dim=1)
        return (a * f).sum(dim=1) - total

    tripled = tuple([part[0]] * 3 for part in clusters)
    norms = 0.2 + torch.rand(4, 1, generator=generator(6), dtype=torch.float64)
    shrunk = ([clusters[0][0] * norms], [clusters[1][0] * norms], clusters[2], clusters[3])
    for changed in (tripled, shrunk):
        assert (released(*changed) - released(*clusters)).abs().max() > 0.1
        torch.testing.assert_close(deviation(a, f, *changed), deviation(a, f, *clusters))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("delta", "kappa"), [(-1.0, 0.1), (0.5, 2.0)])
def test_weights_match_a_loop_over_the_error_function(dtype: torch.dtype, delta: float, kappa: float) -> None:
    rho = torch.randn(40, generator=generator(7), dtype=dtype) * 0.2 + 0.1
    values = rho.tolist()
    mean = sum(values) / len(values)
    std = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    expected = [0.5 * (1 + math.erf((value - mean - delta * std) / (math.sqrt(2 * kappa) * std))) for value in values]
    weights = recalibration_weights(rho, delta, kappa)
    assert weights.dtype == dtype
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=dtype), rtol=0, atol=100 * TOLERANCE[dtype])


def released_weights(rho: Tensor, delta: float = -1.0, kappa: float = 0.1) -> Tensor:
    """Released: a cumulative sum of the density over the sorted values, normalised by its total."""
    order = rho.argsort()
    mean, std = rho.mean(), rho.std(unbiased=False)
    density = torch.exp(-((rho[order] - mean - delta * std) ** 2) / (2 * kappa * std**2))
    weights = torch.empty_like(rho)
    weights[order] = density.cumsum(0) / density.sum()
    return weights


def test_row_6_weights_are_the_cumulative_distribution() -> None:
    rho = torch.randn(128, generator=generator(8), dtype=torch.float64) * 0.15 + 0.3
    mean, std = rho.mean().item(), rho.std(unbiased=False).item()
    truth = torch.from_numpy(norm.cdf(rho.numpy(), loc=mean - std, scale=math.sqrt(0.1) * std))
    assert (released_weights(rho) - truth).abs().mean() > 0.005
    torch.testing.assert_close(recalibration_weights(rho), truth, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_row_6_identical_pairs_weigh_one(dtype: torch.dtype) -> None:
    identical = torch.full((16,), 0.25, dtype=dtype)
    assert released_weights(identical).isnan().all()
    assert torch.equal(recalibration_weights(identical), torch.ones(16, dtype=dtype))
    # 0.1 is no binary fraction: the mean of equal numbers may differ from them by a rounding.
    assert torch.equal(recalibration_weights(torch.full((7,), 0.1, dtype=dtype)), torch.ones(7, dtype=dtype))
    rounding = torch.finfo(dtype).eps * torch.arange(5, dtype=dtype)
    assert torch.equal(recalibration_weights(0.5 + rounding), torch.ones(5, dtype=dtype))
    assert torch.equal(recalibration_weights(torch.tensor([-0.4], dtype=dtype)), torch.ones(1, dtype=dtype))
    small = 1e-4 * torch.arange(5, dtype=dtype)
    assert recalibration_weights(0.5 + small)[0] < 0.5


def test_weights_carry_no_gradient() -> None:
    rho = torch.randn(8, generator=generator(9)).requires_grad_()
    assert not recalibration_weights(rho).requires_grad


def test_unknown_pairs_weigh_one_and_leave_the_others_alone() -> None:
    known = torch.randn(9, generator=generator(10), dtype=torch.float64)
    rho = torch.cat([torch.tensor([math.nan], dtype=torch.float64), known])
    weights = recalibration_weights(rho)
    assert weights[0] == 1
    torch.testing.assert_close(weights[1:], recalibration_weights(known))
    assert torch.equal(recalibration_weights(torch.full((3,), math.nan)), torch.ones(3))


def test_kappa_must_be_positive() -> None:
    with pytest.raises(ValueError, match="kappa"):
        recalibration_weights(torch.zeros(3), kappa=0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weighted_mean_matches_the_loop_forward_and_gradient(dtype: torch.dtype) -> None:
    losses = torch.rand(7, generator=generator(11), dtype=dtype).requires_grad_()
    weights = torch.rand(7, generator=generator(12), dtype=dtype)
    expected = sum(w * x for w, x in zip(weights.tolist(), losses.tolist(), strict=True)) / sum(weights.tolist())
    result = weighted_mean(losses, weights)
    assert result.dtype == dtype
    assert result.item() == pytest.approx(expected, abs=TOLERANCE[dtype])
    (gradient,) = torch.autograd.grad(result, losses)
    torch.testing.assert_close(gradient, weights / weights.sum())
    torch.testing.assert_close(weighted_mean(losses, torch.ones(7, dtype=dtype)), losses.mean())
    with pytest.raises(ValueError, match="one weight per loss"):
        weighted_mean(losses, weights[:3])


def test_autocast_does_not_lower_the_precision() -> None:
    a, f = unit(6, 32, 13).float(), unit(6, 32, 14).float()
    clusters = granularities([4, 5], 6, 32, torch.float32)
    reference = recalibration_weights(deviation(a, f, *clusters))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rho = deviation(a, f, *clusters)
        weights = recalibration_weights(rho)
    assert rho.dtype == torch.float32
    assert torch.equal(weights, reference)
