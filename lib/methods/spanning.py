"""Groups of points that are within reach of each other, merged without looking at all pairs.

Given points that are in groups already, any two groups with a pair of points at most `eps` apart (Euclidean) become one: single linkage
cut at `eps`. A hierarchy of boxes over the points is descended in pairs of boxes, as in dual-tree algorithms (March, Ram and Gray 2010,
"Fast Euclidean Minimum Spanning Tree"). A pair of boxes is done as soon as it is further apart than eps, both hold the same one group, or
they lie so close that all their points are within eps. So a million points in one ball of radius eps cost a few boxes, not 10¹² pairs;
what is looked at are the edges of groups. Memory: the points, twice, and some MAX_PAIRS pairs of boxes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csgraph
from scipy.spatial import cKDTree

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEAF = 8
"""Points in a smallest box, about."""

MAX_PAIRS = 4_096
"""Pairs of boxes that are looked at together: the groups that they join shorten what follows."""

SLACK = 1e-9
"""Relative: boxes are told apart from eps by this much, so that rounding never decides; pairs of points are compared exactly."""


def squared_distances(left: Floats, right: Floats) -> Floats:
    """Σ(l - r)² over the last axis, added in the order of the dimensions: one sum for one pair wherever it is computed."""
    total = np.square(left[..., 0] - right[..., 0])
    for dimension in range(1, left.shape[-1]):
        total += np.square(left[..., dimension] - right[..., dimension])
    return np.asarray(total)


def merge_groups(groups: Ints, left: Ints, right: Ints) -> Ints:
    """The groups, numbered from 0, after the groups `left[i]` and `right[i]` are one for each i."""
    number = int(groups.max()) + 1
    ties = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(number, number))
    _, merged = csgraph.connected_components(ties, directed=False)
    renamed: Ints = merged.astype(np.int64)[groups]
    return renamed


def merge_within(vectors: Floats, groups: Ints, eps: float) -> Ints:
    """Groups (n, from 0) of n×d points after all that have a pair of points within `eps` are merged."""
    if len(groups) == 0 or groups.min() == groups.max():
        return groups
    order = cKDTree(vectors, leafsize=LEAF).indices  # neighbours in space are neighbours in this order
    boxes = _Boxes(vectors[order], groups[order])
    waiting = [(0, np.zeros(1, np.int64), np.zeros(1, np.int64))]
    while waiting:
        level, left, right = waiting.pop()
        if len(left) > MAX_PAIRS:
            waiting.append((level, left[:-MAX_PAIRS], right[:-MAX_PAIRS]))
            left, right = left[-MAX_PAIRS:], right[-MAX_PAIRS:]
        left, right = boxes.open_pairs(level, left, right, eps)
        if level == boxes.depth:
            boxes.join_points(left, right, eps)
        elif len(left):
            waiting.append((level + 1, *_halves(left, right)))
    merged = np.empty_like(groups)
    merged[order] = boxes.groups
    return merged


def _halves(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """Pairs of the halves of each pair of boxes; of a box with itself, three."""
    first = np.concatenate([2 * left, 2 * left + 1, 2 * left, 2 * left + 1])
    second = np.concatenate([2 * right + 1, 2 * right, 2 * right, 2 * right + 1])
    twice = np.tile(left == right, 4) & (first > second)
    return first[~twice], second[~twice]


class _Boxes:
    """A hierarchy of boxes over points in spatial order: level l has 2^l boxes, each a run of the order, and its halves below it."""

    def __init__(self, points: Floats, groups: Ints) -> None:
        self.points, self.groups = points, groups
        size = len(points)
        self.depth = max(0, int(np.ceil(np.log2(size / LEAF))))
        self.bounds = (np.arange(2**self.depth + 1, dtype=np.int64) * size) >> self.depth
        starts = self.bounds[:-1]
        self.low, self.high = [np.minimum.reduceat(points, starts)], [np.maximum.reduceat(points, starts)]
        for _ in range(self.depth):
            self.low.insert(0, np.minimum(self.low[0][::2], self.low[0][1::2]))
            self.high.insert(0, np.maximum(self.high[0][::2], self.high[0][1::2]))
        self._look_again()

    def _look_again(self) -> None:
        """The one group of each box, or -1 where there are several."""
        starts = self.bounds[:-1]
        least, most = np.minimum.reduceat(self.groups, starts), np.maximum.reduceat(self.groups, starts)
        self.only = [np.where(least == most, least, -1)]
        for _ in range(self.depth):
            first, second = self.only[0][::2], self.only[0][1::2]
            self.only.insert(0, np.where(first == second, first, -1))

    def _merge(self, left: Ints, right: Ints) -> None:
        self.groups = merge_groups(self.groups, left, right)
        self._look_again()

    def open_pairs(self, level: int, left: Ints, right: Ints, eps: float) -> tuple[Ints, Ints]:
        """The pairs that must be looked into; those whose points are all within eps of each other are merged here."""
        only = self.only[level]
        mixed = (only[left] != only[right]) | (only[left] < 0)
        left, right = left[mixed], right[mixed]
        low, high = self.low[level], self.high[level]
        apart = np.maximum(0.0, np.maximum(low[left] - high[right], low[right] - high[left]))
        near = np.square(apart).sum(axis=1) <= eps * eps * (1 + SLACK)
        left, right = left[near], right[near]
        across = np.maximum(high[left], high[right]) - np.minimum(low[left], low[right])
        whole = np.square(across).sum(axis=1) <= eps * eps * (1 - SLACK)
        if whole.any():
            self._merge_whole(level, left[whole], right[whole])
        return left[~whole], right[~whole]

    def _merge_whole(self, level: int, left: Ints, right: Ints) -> None:
        step = 2 ** (self.depth - level)
        inside = np.zeros(len(self.groups), np.int64)  # above 0 where a point and the next are in one of the boxes
        for box in (left, right):
            np.add.at(inside, self.bounds[box * step], 1)
            np.add.at(inside, self.bounds[(box + 1) * step] - 1, -1)
        tied = np.flatnonzero(np.cumsum(inside) > 0)
        ends = self.groups[self.bounds[left * step]], self.groups[self.bounds[right * step]]
        self._merge(
            np.concatenate([self.groups[tied], ends[0]]), np.concatenate([self.groups[tied + 1], ends[1]])
        )  # fmt: skip

    def join_points(self, left: Ints, right: Ints, eps: float) -> None:
        """Compare the points of each pair of smallest boxes."""
        if not len(left):
            return
        a, b = self._members(left), self._members(right)
        within = squared_distances(self.points[a][:, :, None, :], self.points[b][:, None, :, :]) <= eps * eps
        within &= self.groups[a][:, :, None] != self.groups[b][:, None, :]
        pair, one, other = np.nonzero(within)
        if len(pair):
            self._merge(self.groups[a[pair, one]], self.groups[b[pair, other]])

    def _members(self, box: Ints) -> Ints:
        """Places of the points of each box, the last one repeated where a box has fewer than others."""
        start, end = self.bounds[box], self.bounds[box + 1]
        width = int(np.diff(self.bounds).max())
        places: Ints = np.minimum(start[:, None] + np.arange(width), end[:, None] - 1)
        return places
