"""The identity classifiers against a loop written from the formula."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lowshot.losses.classifier import identity_classifier, margin_classifier

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}


def unit(n: int, d: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype), dim=1)


def directions(k: int, d: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Vectors of several lengths."""
    return unit(k, d, seed, dtype) * torch.linspace(0.5, 3, k, dtype=dtype)[:, None]


def loop(z: Tensor, weights: Tensor, identity: list[int], scale: float, margin: float) -> Tensor:
    """-log(e^(s (cos_y - m)) / (e^(s (cos_y - m)) + sum over k != y of e^(s cos_k)))."""
    losses = []
    for i, own in enumerate(identity):
        logits = []
        for k in range(len(weights)):
            cosine = (z[i] * weights[k]).sum() / weights[k].square().sum().sqrt()
            logits.append(scale * (cosine - margin) if k == own else scale * cosine)
        top = max(logit.item() for logit in logits)
        total = sum(torch.exp(logit - top) for logit in logits)
        losses.append(torch.log(total) + top - logits[own])
    return torch.stack(losses)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("loss", "scale", "margin"),
    [
        (lambda z, w, y: identity_classifier(z, w, y, 0.1), 10.0, 0.0),
        (lambda z, w, y: margin_classifier(z, w, y, 30.0, 0.35), 30.0, 0.35),
    ],
)
@pytest.mark.parametrize("people", [2, 5])
def test_forward_and_gradient_match_the_loop(dtype: torch.dtype, loss, scale: float, margin: float, people: int):
    z, weights = unit(6, 4, 0, dtype).requires_grad_(), directions(people, 4, 1, dtype).requires_grad_()
    identity = [0, people - 1, 1, 0, 1, people - 1]
    cotangent = torch.arange(1.0, 7.0, dtype=dtype)
    ours, theirs = loss(z, weights, torch.tensor(identity)), loop(z, weights, identity, scale, margin)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, theirs, rtol=0, atol=scale * TOLERANCE[dtype])
    got = torch.autograd.grad((cotangent * ours).sum(), (z, weights))
    want = torch.autograd.grad((cotangent * theirs).sum(), (z, weights))
    for mine, loops in zip(got, want, strict=True):
        torch.testing.assert_close(mine, loops, rtol=0, atol=100 * scale * TOLERANCE[dtype])


def test_gradcheck() -> None:
    z, weights = unit(4, 3, 2).requires_grad_(), directions(3, 3, 3).requires_grad_()
    identity = torch.tensor([1, 2, 0, 1])
    assert torch.autograd.gradcheck(lambda z, w: margin_classifier(z, w, identity, 5.0, 0.2), (z, weights))


def test_without_a_margin_the_two_are_one() -> None:
    z, weights, identity = unit(5, 8, 4), directions(3, 8, 5), torch.tensor([0, 1, 2, 1, 0])
    torch.testing.assert_close(
        identity_classifier(z, weights, identity, 0.04), margin_classifier(z, weights, identity, 25.0, 0.0)
    )


def test_a_margin_costs_even_him_who_is_right() -> None:
    z, identity = torch.eye(2, dtype=torch.float64), torch.arange(2)
    plain, strict = (margin_classifier(z, z, identity, 10.0, margin) for margin in (0.0, 0.5))
    assert (strict > plain).all()


def test_autocast_does_not_lower_the_precision() -> None:
    z, weights, identity = unit(6, 32, 6, torch.float32), directions(4, 32, 7, torch.float32), torch.arange(6) % 4
    reference = margin_classifier(z, weights, identity, 30.0, 0.35)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(margin_classifier(z, weights, identity, 30.0, 0.35), reference)


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda z, w: margin_classifier(z, w[:, :2], torch.arange(3), 1.0, 0.1), "weights"),
        (lambda z, w: margin_classifier(z, w, torch.arange(2), 1.0, 0.1), "one per embedding"),
        (lambda z, w: margin_classifier(z, w, torch.arange(3), 0.0, 0.1), "scale must be positive"),
        (lambda z, w: margin_classifier(z, w, torch.arange(3), 1.0, -0.1), "margin not negative"),
        (lambda z, w: identity_classifier(z, w, torch.arange(3), 0.0), "temperature must be positive"),
    ],
)
def test_what_makes_no_sense_is_refused(call, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        call(unit(3, 4, 8), directions(3, 4, 9))
