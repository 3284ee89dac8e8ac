"""Supervised contrast across modalities against a loop written from the formula."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lowshot.losses.instance import instance_contrast
from lowshot.losses.supervised import cross_modal_supervised_contrast

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}


def unit(n: int, d: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype), dim=1)


def loop(anchors: Tensor, others: Tensor, identity: list[int], temperature: float) -> Tensor:
    """-1/|P(i)| sum over p in P(i) of log softmax_j(a_i . f_j / temperature)[p]."""
    losses = []
    for i in range(len(anchors)):
        logits = [(anchors[i] * others[j]).sum() / temperature for j in range(len(others))]
        top = max(logit.item() for logit in logits)
        log_total = torch.log(sum(torch.exp(logit - top) for logit in logits)) + top
        positives = [j for j in range(len(others)) if identity[j] == identity[i]]
        losses.append(-sum(logits[p] - log_total for p in positives) / len(positives))
    return torch.stack(losses)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("identity", [[3, 3, 9, 3, -1, 9], [0, 0, 0, 0, 0, 0]])
def test_forward_and_gradient_match_the_loop(dtype: torch.dtype, identity: list[int]) -> None:
    a, f = unit(6, 4, 0, dtype).requires_grad_(), unit(6, 4, 1, dtype).requires_grad_()
    cotangent = torch.arange(1.0, 7.0, dtype=dtype)
    v2f, f2v = cross_modal_supervised_contrast(a, f, torch.tensor(identity), 0.1)
    expected_v2f, expected_f2v = loop(a, f, identity, 0.1), loop(f, a, identity, 0.1)
    assert v2f.dtype == f2v.dtype == dtype
    torch.testing.assert_close(v2f, expected_v2f, rtol=0, atol=10 * TOLERANCE[dtype])
    torch.testing.assert_close(f2v, expected_f2v, rtol=0, atol=10 * TOLERANCE[dtype])
    got = torch.autograd.grad((cotangent * (v2f + 2 * f2v)).sum(), (a, f))
    want = torch.autograd.grad((cotangent * (expected_v2f + 2 * expected_f2v)).sum(), (a, f))
    for ours, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=100 * TOLERANCE[dtype])


def test_gradcheck() -> None:
    a, f = unit(4, 3, 2).requires_grad_(), unit(4, 3, 3).requires_grad_()
    identity = torch.tensor([1, 2, 1, 1])
    assert torch.autograd.gradcheck(lambda a, f: cross_modal_supervised_contrast(a, f, identity, 0.2), (a, f))


def test_identities_that_all_differ_give_the_instance_contrast() -> None:
    a, f = unit(5, 8, 4), unit(5, 8, 5)
    ours = cross_modal_supervised_contrast(a, f, torch.arange(5), 0.07)
    for got, want in zip(ours, instance_contrast(a, f, 0.07), strict=True):
        torch.testing.assert_close(got, want)


def test_autocast_does_not_lower_the_precision() -> None:
    a, f, identity = unit(6, 32, 6, torch.float32), unit(6, 32, 7, torch.float32), torch.arange(6) // 2
    reference = cross_modal_supervised_contrast(a, f, identity, 0.03)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = cross_modal_supervised_contrast(a, f, identity, 0.03)
    for got, want in zip(inside, reference, strict=True):
        assert torch.equal(got, want)


def test_one_identity_per_video_is_required() -> None:
    with pytest.raises(ValueError, match="one code per video"):
        cross_modal_supervised_contrast(unit(4, 3, 8), unit(4, 3, 9), torch.arange(3), 0.1)
