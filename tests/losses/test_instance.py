"""Instance contrast against a loop written from the formula."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lowshot.losses.instance import instance_contrast

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}


def unit(n: int, d: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype), dim=1)


def loop(anchors: Tensor, others: Tensor, temperature: float, excluded_negatives: Tensor | None = None) -> Tensor:
    """-log softmax_j(a_i . f_j / temperature)[j = i], one scalar at a time; j over i and whom i does not spare."""
    losses = []
    for i in range(len(anchors)):
        logits = [
            sum(anchors[i, c] * others[j, c] for c in range(anchors.shape[1])) / temperature for j in range(len(others))
        ]
        top = max(logit.item() for logit in logits)
        total = sum(
            torch.exp(logit - top)
            for j, logit in enumerate(logits)
            if j == i or excluded_negatives is None or not excluded_negatives[i, j]
        )
        losses.append(torch.log(total) + top - logits[i])
    return torch.stack(losses)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.03, 0.5])
def test_forward_and_gradient_match_the_loop(dtype: torch.dtype, temperature: float) -> None:
    a, f = unit(5, 4, 0, dtype).requires_grad_(), unit(5, 4, 1, dtype).requires_grad_()
    cotangent = torch.arange(1.0, 6.0, dtype=dtype)
    v2f, f2v = instance_contrast(a, f, temperature)
    expected_v2f, expected_f2v = loop(a, f, temperature), loop(f, a, temperature)
    assert v2f.dtype == f2v.dtype == dtype
    scale = 1 / temperature
    torch.testing.assert_close(v2f, expected_v2f, rtol=0, atol=TOLERANCE[dtype] * scale)
    torch.testing.assert_close(f2v, expected_f2v, rtol=0, atol=TOLERANCE[dtype] * scale)
    got = torch.autograd.grad((cotangent * (v2f + 2 * f2v)).sum(), (a, f))
    want = torch.autograd.grad((cotangent * (expected_v2f + 2 * expected_f2v)).sum(), (a, f))
    for ours, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE[dtype] * scale**2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("groups", [[1, 0, 1, 2, 1], [1, 1, 1, 1, 1]])
def test_spared_videos_are_no_negatives_of_each_other(dtype: torch.dtype, groups: list[int]) -> None:
    codes = torch.tensor(groups)
    excluded_negatives = codes[:, None] == codes
    a, f = unit(5, 4, 0, dtype).requires_grad_(), unit(5, 4, 1, dtype).requires_grad_()
    ours = instance_contrast(a, f, 0.1, excluded_negatives)
    expected = loop(a, f, 0.1, excluded_negatives), loop(f, a, 0.1, excluded_negatives)
    cotangent = torch.arange(1.0, 6.0, dtype=dtype)
    for got, want in zip(ours, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=10 * TOLERANCE[dtype])
    got = torch.autograd.grad((cotangent * (ours[0] + 2 * ours[1])).sum(), (a, f))
    want = torch.autograd.grad((cotangent * (expected[0] + 2 * expected[1])).sum(), (a, f))
    for mine, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=100 * TOLERANCE[dtype])


def test_sparing_nobody_changes_nothing() -> None:
    a, f = unit(5, 4, 0), unit(5, 4, 1)
    for excluded_negatives in (torch.zeros(5, 5, dtype=torch.bool), torch.eye(5, dtype=torch.bool)):
        for got, want in zip(
            instance_contrast(a, f, 0.1, excluded_negatives), instance_contrast(a, f, 0.1), strict=True
        ):
            assert torch.equal(got, want)
    with pytest.raises(ValueError, match="excluded_negatives must be"):
        instance_contrast(a, f, 0.1, torch.zeros(4, 5, dtype=torch.bool))


def test_gradcheck() -> None:
    a, f = unit(4, 3, 2).requires_grad_(), unit(4, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, f: instance_contrast(a, f, 0.2), (a, f))


def test_equal_embeddings_cost_the_logarithm_of_the_batch() -> None:
    same = unit(1, 8, 4).expand(6, 8)
    v2f, f2v = instance_contrast(same, same, 0.03)
    torch.testing.assert_close(v2f, torch.full((6,), math.log(6), dtype=torch.float64))
    torch.testing.assert_close(f2v, v2f)


def test_autocast_and_half_inputs_do_not_lower_the_precision() -> None:
    a, f = unit(6, 32, 5, torch.float32), unit(6, 32, 6, torch.float32)
    reference = instance_contrast(a, f, 0.03)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = instance_contrast(a, f, 0.03)
    for got, want in zip(inside, reference, strict=True):
        assert torch.equal(got, want)
    from_half = instance_contrast(a.bfloat16(), f.bfloat16(), 0.03)
    upcast = instance_contrast(a.bfloat16().float(), f.bfloat16().float(), 0.03)
    for got, want in zip(from_half, upcast, strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize(
    ("faces", "temperature", "message"),
    [(5, 0.03, "voice and face"), (4, 0.0, "positive"), (4, float("nan"), "positive")],
)
def test_wrong_requests_are_refused(faces: int, temperature: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        instance_contrast(unit(4, 3, 7), unit(faces, 3, 8), temperature)
