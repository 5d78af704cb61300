"""How good a segmentation is, from the vectors alone: inertia, silhouette, Davies-Bouldin, and the elbow of several of them.

All are computed in memory on the bounded sample that segmentations are fitted on, in one pass over n points of O(n·k·d) each, with no Spark
job. Distances are in prepared features.

- inertia: the sum of squared distances to the nearest centre.
- silhouette: the mean of (b - a) / max(a, b), a the mean squared distance to the others of the own segment and b to those of the nearest
  other; -1 to 1, higher is better, 0 for a segment of one (Rousseeuw 1987, squared Euclidean). From sums: the mean squared distance of x to
  the points of B is ‖x - mean(B)‖² + variance(B).
- Davies-Bouldin: the mean over segments of the worst (s_i + s_j) / ‖m_i - m_j‖, s the mean distance to the own mean m; lower is better
  (Davies and Bouldin 1979).
- elbow: with x = k and y = ln inertia, both scaled to 0…1, how far a candidate lies below the chord from one segment to the
  most segments; higher is better (Satopää et al. 2011, on the logarithm, to which halving the inertia is the same step anywhere).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import cdist

from lib.methods.lloyd import BLOCK, Floats, Ints, mean_by_label

LEAST_INERTIA = 1e-12
"""Inertias below this share of everyone's around their mean count as this share, for 0 has no logarithm."""


def separation(points: Floats, labels: Ints) -> tuple[float | None, float | None]:
    """(silhouette, Davies-Bouldin) of points labelled 0, 1, …, k - 1, none without a point. None where k is 1, or the figure infinite."""
    k = int(labels.max(initial=0)) + 1
    if k == 1:
        return None, None
    means, sizes = mean_by_label(points, labels, np.ones(len(points)), k)
    own = np.sqrt(((points - means[labels]) ** 2).sum(axis=1))
    spreads = np.bincount(labels, weights=own, minlength=k) / sizes
    variances = np.bincount(labels, weights=own**2, minlength=k) / sizes
    apart = cdist(means, means)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (spreads[:, None] + spreads[None, :]) / apart
    np.fill_diagonal(ratios, 0.0)
    index = float(np.nan_to_num(ratios, nan=0.0, posinf=np.inf).max(axis=1).mean())
    return _silhouette(points, labels, means, variances, sizes), index if np.isfinite(index) else None


def _silhouette(points: Floats, labels: Ints, means: Floats, variances: Floats, sizes: Floats) -> float:
    total = 0.0
    for start in range(0, len(points), BLOCK):
        own = labels[start : start + BLOCK]
        rows, size = np.arange(len(own)), sizes[own]
        distances = cdist(points[start : start + BLOCK], means, "sqeuclidean") + variances
        within = distances[rows, own] * size / np.maximum(size - 1, 1)
        distances[rows, own] = np.inf
        other = distances.min(axis=1)
        largest = np.maximum(within, other)
        counts = (size > 1) & (largest > 0)
        total += float(((other - within)[counts] / largest[counts]).sum())
    return total / len(points)


def elbow(sizes: Sequence[int], inertias: Sequence[float], everyone: float) -> list[float | None]:
    """For each candidate (segments, inertia) how far it is below the chord, None without a range. `everyone`: inertia of one segment."""
    most = max(sizes, default=1)
    if len(set(sizes)) < 2 or everyone <= 0:
        return [None] * len(sizes)
    depths = [-np.log(max(inertia / everyone, LEAST_INERTIA)) for inertia in inertias]
    deepest = max(depth for size, depth in zip(sizes, depths, strict=True) if size == most)
    if deepest <= 0:
        return [None] * len(sizes)
    return [float(d / deepest - (s - 1) / (most - 1)) for s, d in zip(sizes, depths, strict=True)]
