"""DBSCAN of the points of one part of space: core points, groups of core points, and the borders around them.

A point is core where the customers within `eps` of it (closed ball, Euclidean, itself counted) are at least `min_points`; core points
within eps of each other are in one cluster; a point that is not core but within eps of a core point is a border of its cluster; the
others are noise. Ester, Kriegel, Sander and Xu 1996; Schubert, Sander, Ester, Kriegel and Xu 2017, "DBSCAN Revisited, Revisited".

Points are different from each other and have weights: how many customers are at the place. No more than the max(min_points, LINKS)
nearest points of each are ever listed. That is enough for the count, since each weighs at least 1; a point that is not core has fewer
neighbours than that, so its list is whole; and core points whose list may lack neighbours are joined by `merge_within`, which looks at no
pairs inside a group. Cost: n queries of a k-d tree, O(min_points · log n) each; memory some 20 · max(min_points, LINKS) bytes per point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from lib.methods.spanning import SLACK, merge_groups, merge_within, squared_distances

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

LINKS = 8
"""Fewest nearest points that are listed: they tie most core points of a cluster together."""

LISTED = 500_000
"""Neighbours listed at once: some 10 MB."""


@dataclass(frozen=True)
class Same:
    """Rows of equal vectors as one point each; points are in the order of their first rows."""

    first: Ints
    """The first row of each point."""
    number: Ints
    """How many rows it has."""
    rows: Ints
    """All rows, those of the first point first."""

    def members(self, point: Ints) -> tuple[Ints, Ints]:
        """For all rows of these points: which of the points, by its place among them, and the row."""
        number = self.number[point]
        place = np.repeat(np.arange(len(point), dtype=np.int64), number)
        within = np.arange(len(place), dtype=np.int64) - np.repeat(np.cumsum(number) - number, number)
        return place, self.rows[np.repeat(np.cumsum(self.number)[point] - number, number) + within]


def collapse(vectors: Floats) -> Same:
    """Which rows of n×d values are the same."""
    order = np.lexsort(vectors.T)
    new = np.ones(len(order), bool)
    new[1:] = (vectors[order[1:]] != vectors[order[:-1]]).any(axis=1)
    first = order[new]  # equal rows keep their order
    point = np.empty(len(order), np.int64)
    point[order] = np.argsort(np.argsort(first))[np.cumsum(new) - 1]
    return Same(np.sort(first), np.bincount(point), np.argsort(point, kind="stable"))


@dataclass(frozen=True)
class Dense:
    """What is dense among n points."""

    core: Flags
    """Of each point, whether it is core; false where it was not asked."""
    group: Ints
    """Of each core point, the place of the group's first core point; -1 elsewhere."""
    border: Ints
    """Places of points that are not core, once per core point within eps."""
    beside: Ints
    """The core point of each of them."""
    distance: Floats
    """The distance between both."""


@dataclass(frozen=True)
class _Near:
    """Pairs of points within eps: each asked point and some or all of its neighbours, itself left out."""

    source: Ints
    target: Ints
    core: Flags
    crowded: Flags
    """Core points that may have more neighbours than are listed."""


def find_dense(vectors: Floats, weights: Ints, asked: Flags, eps: float, min_points: int) -> Dense:
    """Core points among the `asked` of n×d different points, their groups, and the borders between asked points.

    Neighbours of an asked point are counted among all n. Groups are named by their member that comes first, so order the points by id.
    """
    near = _list_near(vectors, weights, np.flatnonzero(asked), eps, min_points)
    core = near.core
    both = core[near.source] & core[near.target]
    groups = np.arange(len(vectors), dtype=np.int64)
    if both.any():
        groups = merge_groups(groups, near.source[both], near.target[both])
    crowded = np.flatnonzero(near.crowded)
    if len(crowded):
        _, compact = np.unique(groups[crowded], return_inverse=True)
        joined = merge_within(vectors[crowded], compact.astype(np.int64), eps)
        groups = merge_groups(groups, groups[crowded], groups[crowded[_first_places(joined)]])
    edge = ~core[near.source] & core[near.target]
    border, beside = near.source[edge], near.target[edge]
    group = np.full(len(vectors), -1, np.int64)
    places = np.flatnonzero(core)
    group[places] = places[_first_places(groups[places])]
    return Dense(core, group, border, beside, np.sqrt(squared_distances(vectors[border], vectors[beside])))


def _first_places(groups: Ints) -> Ints:
    """For each element the place of the first element of its group."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return first.astype(np.int64)[inverse]


def _list_near(vectors: Floats, weights: Ints, asked: Ints, eps: float, min_points: int) -> _Near:
    size = len(vectors)
    most = min(size, max(min_points, LINKS + 1))  # a point is the nearest of itself
    core, crowded = np.zeros(size, bool), np.zeros(size, bool)
    sources, targets = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    tree = cKDTree(vectors)
    step = max(1, LISTED // most)
    for start in range(0, len(asked), step):
        rows = asked[start : start + step]
        distance, nearest = tree.query(vectors[rows], k=np.arange(1, most + 1), distance_upper_bound=eps * (1 + SLACK))
        within = _within(vectors, rows, distance, nearest, eps)
        targets_of = np.where(within, nearest, 0)
        enough = np.where(within, weights[targets_of], 0).sum(axis=1) >= min_points
        core[rows] = enough
        # of a core point LINKS neighbours do; the others' lists are whole, and say which core points they are beside
        kept = within & (~enough[:, None] | (np.arange(most) <= LINKS))
        crowded[rows] = enough & within[:, min(LINKS, most - 1)] & (most < size or most > LINKS + 1)
        kept &= targets_of != rows[:, None]
        source, column = np.nonzero(kept)
        sources.append(rows[source])
        targets.append(targets_of[source, column])
    return _Near(np.concatenate(sources), np.concatenate(targets), core, crowded)


def _within(vectors: Floats, rows: Ints, distance: Floats, neighbour: Ints, eps: float) -> Flags:
    """Whether Σ(difference)² <= eps²: computed again where the distance is as good as eps."""
    within: Flags = distance <= eps * (1 - SLACK)
    row, column = np.nonzero(~within & np.isfinite(distance))
    if len(row):
        left, right = vectors[rows[row]], vectors[neighbour[row, column]]
        within[row, column] = squared_distances(left, right) <= eps * eps
    return within
