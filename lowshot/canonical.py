"""Regularised canonical correlation: the closed-form rival of every trained pair of towers."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Below this share of the largest eigenvalue a direction of the data is rounding.
_ROUNDING = 1e-12


class Moments:
    """Counts, means and covariances of paired rows, gathered in one pass.

    Blocks are merged by Chan's update, so that large means cost no digits. Two instances that saw two parts of the
    data merge into one that saw both.

    Args:
        width_x, width_y: columns of the two sides.
        device: where the covariances are kept, in float64.

    Source:
        Chan, Golub and LeVeque, The American Statistician 37, 1983 (pairwise updates of means and covariances).
    """

    def __init__(self, width_x: int, width_y: int, device: torch.device | str = "cpu") -> None:
        self.count = 0
        self.widths = (width_x, width_y)
        width = width_x + width_y
        self.mean = torch.zeros(width, dtype=torch.float64, device=device)
        self.scatter = torch.zeros(width, width, dtype=torch.float64, device=device)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Add paired rows.

        Args:
            x: [n, width_x], any floating dtype.
            y: [n, width_y]; row i is paired with row i of `x`.

        Raises:
            ValueError: the shapes do not fit.
        """
        if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or (x.shape[1], y.shape[1]) != self.widths:
            raise ValueError(
                f"need rows [n, {self.widths[0]}] and [n, {self.widths[1]}], got {[*x.shape]}, {[*y.shape]}"
            )
        if len(x) == 0:
            return
        rows = torch.cat([x.to(self.mean), y.to(self.mean)], dim=1)
        mean = rows.mean(dim=0)
        rows = rows - mean
        self._merge(len(rows), mean, rows.T @ rows)

    def merge(self, other: "Moments") -> None:
        """Add what another instance has seen."""
        if other.count:
            self._merge(other.count, other.mean.to(self.mean), other.scatter.to(self.scatter))

    def _merge(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        total = self.count + count
        shift = mean - self.mean
        self.scatter += scatter + torch.outer(shift, shift) * (self.count * count / total)
        self.mean += shift * (count / total)
        self.count = total

    def covariances(self) -> tuple[Tensor, Tensor, Tensor]:
        """Covariances of x [p, p], of y [q, q], and of x with y [p, q]; they divide by the number of rows."""
        if self.count == 0:
            raise ValueError("no rows were added")
        full, p = self.scatter / self.count, self.widths[0]
        return full[:p, :p], full[p:, p:], full[:p, p:]


@dataclass(frozen=True)
class CanonicalMaps:
    """Two linear maps into one space, direction by direction from the most to the least correlated.

    Attributes:
        x: map of centred and scaled x, float64 [p, rank].
        y: map of centred and scaled y, float64 [q, rank].
        correlations: regularised canonical correlations, falling, in [0, 1), [rank].
        mean_x, mean_y, scale_x, scale_y: what a row is centred and divided by first, [p] and [q]; the scale of a
            constant column is infinite, so that it counts nothing.
    """

    x: Tensor
    y: Tensor
    correlations: Tensor
    mean_x: Tensor
    mean_y: Tensor
    scale_x: Tensor
    scale_y: Tensor

    def weighted(self, power: float, rank: int | None = None) -> tuple[Tensor, Tensor]:
        """The maps of the first `rank` directions, each scaled by its correlation to a power.

        Args:
            power: of the correlation, >= 0; 0 weighs all directions alike, as plain canonical correlation does.
            rank: directions to keep; all when None.

        Returns:
            Maps [p, rank] and [q, rank]. The cosine of mapped rows is the similarity.
        """
        weights = self.correlations[:rank] ** power
        return self.x[:, :rank] * weights, self.y[:, :rank] * weights


def canonical_maps(moments: Moments, ridge: float, rank: int) -> CanonicalMaps:
    """Find the directions in which paired rows agree most.

    Columns are scaled to unit variance; `ridge` is added to each variance, so that it counts in the same unit for
    every encoder. With C the correlation matrices, the maps solve

        max_{a, b} a' C_xy b   subject to   a' (C_xx + ridge I) a = b' (C_yy + ridge I) b = 1,

    by a singular value decomposition of (C_xx + ridge I)^(-1/2) C_xy (C_yy + ridge I)^(-1/2).

    Args:
        moments: of the paired rows.
        ridge: >= 0, in variances of a column.
        rank: directions to keep, >= 1; at most min(p, q) are there.

    Returns:
        The maps. The sign of each direction is that in which the largest entry of `x` is positive.

    Raises:
        ValueError: ridge or rank is out of range.

    Source:
        Hotelling, Biometrika 28, 1936; ridge: Vinod, Journal of Econometrics 4, 1976.
    """
    if ridge < 0 or rank < 1:
        raise ValueError(f"need ridge >= 0 and rank >= 1, got {ridge} and {rank}")
    xx, yy, xy = moments.covariances()
    p = xx.shape[0]
    scale_x, scale_y = _scale(xx), _scale(yy)
    root_x = _inverse_root(xx / scale_x[:, None] / scale_x, ridge)
    root_y = _inverse_root(yy / scale_y[:, None] / scale_y, ridge)
    left, correlations, right = torch.linalg.svd(
        root_x @ (xy / scale_x[:, None] / scale_y) @ root_y, full_matrices=False
    )
    rank = min(rank, len(correlations))
    x, y = root_x @ left[:, :rank], root_y @ right[:rank].T
    # A decomposition leaves the signs to the library: results would change with its version.
    sign = x.gather(0, x.abs().argmax(dim=0, keepdim=True)).sign()
    return CanonicalMaps(
        x * sign, y * sign, correlations[:rank].clamp(max=1), moments.mean[:p], moments.mean[p:], scale_x, scale_y
    )


def _scale(covariance: Tensor) -> Tensor:
    variance = covariance.diagonal()
    constant = variance <= _ROUNDING * variance.max().clamp(min=torch.finfo(variance.dtype).tiny)
    return torch.where(constant, torch.inf, variance.clamp(min=0).sqrt())


def _inverse_root(matrix: Tensor, ridge: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp(min=0) + ridge
    # Without a ridge, directions in which the data do not vary are left out.
    kept = values > _ROUNDING * values.max()
    inverse = torch.where(kept, values, torch.inf).rsqrt()
    return (vectors * inverse) @ vectors.T
