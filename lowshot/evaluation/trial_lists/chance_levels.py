"""What a model that knows nothing scores on a retrieval list, told from the list alone."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import gammaln

from lowshot.evaluation.protocols import retrieval_protocol
from lowshot.evaluation.trial_lists.media_metadata import MediaFacts

FloatArray = npt.NDArray[np.float64]


def retrieval_chance_levels(query: MediaFacts, gallery: MediaFacts) -> dict[str, float]:
    """mAP and recall at k of equal scores.

    Args:
        query: [Q] whose the queries are, and of which video.
        gallery: [G] the same of the items.

    Returns:
        `map_as_listed`: the mean share of relevant items among all; `map` and `recall@k`: by this project's protocol,
        which leaves items of the query's own video out. The latter are missing where no query has anything to find.
    """
    size = len(gallery.identity)
    every = _count(query.identity, gallery.identity)
    own = np.where(query.video == "", 0.0, _count(query.video, gallery.video))
    figures = {"map_as_listed": float((every / size).mean())}
    kept = every > own
    relevant, ranked = (every - own)[kept], (size - own)[kept]
    if kept.any():
        figures["map"] = float((relevant / ranked).mean())
        for k in retrieval_protocol().recall_at:
            figures[f"recall@{k}"] = float((1 - _none_drawn(relevant, ranked, k)).mean())
    return figures


def _count(wanted: npt.NDArray[np.object_], among: npt.NDArray[np.object_]) -> FloatArray:
    """[Q] how often each wanted name stands among others."""
    counts = pd.Series(among).value_counts()
    return np.asarray(pd.Series(wanted).map(counts).fillna(0), dtype=np.float64)


def _none_drawn(relevant: FloatArray, ranked: FloatArray, k: int) -> FloatArray:
    """The chance that k of `ranked` items, drawn without replacement, are none of the relevant ones."""
    others = ranked - relevant
    enough = others >= k
    # C(others, k) / C(ranked, k); where fewer than k are irrelevant, any k hold a relevant one.
    safe = np.where(enough, others, k)
    logs = gammaln(safe + 1) - gammaln(safe - k + 1) - gammaln(ranked + 1) + gammaln(np.maximum(ranked - k, 0) + 1)
    return np.where(enough, np.exp(logs), 0.0)
