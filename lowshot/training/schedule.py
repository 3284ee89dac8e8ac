"""Learning rate as a function of the step."""

import math


def learning_rate(step: int, total: int, peak: float, final: float, warmup_share: float) -> float:
    """Linear warm-up to `peak`, then a half cosine down to `final`.

    Args:
        step: 0..total-1.
        total: steps of the whole run, >= 1.
        peak, final: learning rates.
        warmup_share: share of the steps that rise, 0..1.

    Returns:
        The rate of this step; the last step has `final`, the first never 0.

    Source:
        CMPC, section 4: 10 % linear warm-up, then cosine 5e-3 -> 1e-4.
    """
    warmup = round(total * warmup_share)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - 1 - warmup)
    return final + (peak - final) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
