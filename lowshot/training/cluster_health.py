"""Cluster sizes, purity and pair weights at the end of pretraining."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from lowshot.methods.base import Partition
from lowshot.schema import CLUSTER_COLUMNS

IntArray = npt.NDArray[np.int64]
SHUFFLES = 20
_PURPOSE = 0x7075


def cluster_table(
    partitions: Sequence[Partition], weights: npt.NDArray[np.floating] | None, identities: Sequence[str]
) -> pd.DataFrame:
    """One row per clustering, in the columns of `CLUSTER_COLUMNS`.

    Args:
        partitions: the clusterings; the granularities of one modality in their order.
        weights: [N] weight of each training video's pair, in [0, 1]; None if pairs have no weights.
        identities: of the N training videos, "" if unknown. They are used only here; training does not see them.

    Returns:
        `granularity` counts from 0 within a modality. `single` is the share of clusters of one video. `purity` is the
        share of videos of known identity that have the most common identity of their cluster. `purity_chance` is the
        same for clusters of these sizes with identities shuffled at random, the mean of `SHUFFLES` shuffles. Both are
        NaN if no identity is known. `weights_below_half` is the share of all videos.
    """
    names = np.unique(np.asarray(identities, dtype=object).astype(str), return_inverse=True)[1]
    known = np.asarray([name != "" for name in identities], dtype=bool)
    below = float("nan") if weights is None else float((weights < 0.5).mean())
    rows, counted = [], dict[str, int]()
    for part in partitions:
        inside = part.assignments >= 0
        sizes = np.bincount(part.assignments[inside])
        sizes = sizes[sizes > 0]
        granularity = counted.get(part.modality, 0)
        counted[part.modality] = granularity + 1
        chosen = inside & known
        quartiles = np.quantile(sizes, [0, 0.25, 0.5, 0.75, 1]) if len(sizes) else np.full(5, np.nan)
        rows.append(
            (
                part.modality,
                granularity,
                len(sizes),
                int(inside.sum()),
                *quartiles.tolist(),
                float((sizes == 1).mean()) if len(sizes) else float("nan"),
                _purity(part.assignments[chosen], names[chosen]),
                _purity_by_chance(part.assignments[chosen], names[chosen]),
                below,
            )
        )
    return pd.DataFrame(rows, columns=list(CLUSTER_COLUMNS))


def _purity(assignments: IntArray, names: IntArray) -> float:
    if not len(names):
        return float("nan")
    table = pd.DataFrame({"cluster": assignments, "name": names}).value_counts(["cluster", "name"])
    return float(table.groupby("cluster").max().sum() / len(names))


def _purity_by_chance(assignments: IntArray, names: IntArray) -> float:
    deals = [np.random.default_rng([_PURPOSE, deal]).permutation(names) for deal in range(SHUFFLES)]
    return float(np.mean([_purity(assignments, deal) for deal in deals]))
