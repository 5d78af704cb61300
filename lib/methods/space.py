"""Space cut into parts of about equal numbers of points, each with the points around it.

A binary tree of cuts across the axes (Bentley 1975). Each part is halved at a median of a sample, along the axis with the fewest points
near the cut, for those will be in both halves. What a part owns are the points between its cuts: each point is owned once. Around it are
points at most `eps` away (reach 1) and at most 2·`eps` (reach 2), measured along the axes, so that some are there that need not be. Cost
per point: the cuts on its way, times the parts it is in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEAST_SAMPLE = 200
"""Fewest points of the sample in a part: fewer say little of where its middle is."""

MOST_SHARED = 0.5
"""Greatest share of a part's points that may be near a cut through it."""


@dataclass(frozen=True)
class Cut:
    """One cut: what has a value of `axis` up to `at` is in `below`, the rest in `above`: a further cut, or the number of a part."""

    axis: int
    at: float
    below: Cut | int
    above: Cut | int


@dataclass(frozen=True)
class Copies:
    """Which points are in which parts: places of points, the part, and 0 for the one that owns the point, 1 or 2 for those around."""

    place: Ints
    part: Ints
    reach: Ints


def cut_space(sample: Floats, eps: float, parts: int) -> tuple[Cut | int, int]:
    """Cuts into at most `parts` parts, and how many there are. Fewer where parts would share most of their points.

    Halves of halves until there are enough, so that the sizes differ by at most a factor of two, and by chance.
    """
    numbers = iter(range(parts))
    tree = _halve(sample, eps, parts, numbers)
    return tree, next(numbers, parts)


def _halve(sample: Floats, eps: float, parts: int, numbers: Iterator[int]) -> Cut | int:
    cut = _best_cut(sample, eps) if parts > 1 else None
    if cut is None:
        return next(numbers)
    axis, at = cut
    is_below = sample[:, axis] <= at
    below = _halve(sample[is_below], eps, parts - parts // 2, numbers)
    return Cut(axis, at, below, _halve(sample[~is_below], eps, parts // 2, numbers))


def _best_cut(sample: Floats, eps: float) -> tuple[int, float] | None:
    """Axis and place of the cut with the fewest points within 2·eps; None where every cut would have too many, or leave nothing."""
    size = len(sample)
    if size < 2 * LEAST_SAMPLE:
        return None
    at = np.median(sample, axis=0)
    shared = (np.abs(sample - at) <= 2 * eps).sum(axis=0)
    shared[(sample <= at).all(axis=0)] = size
    axis = int(np.argmin(shared))
    return None if shared[axis] > MOST_SHARED * size else (axis, float(at[axis]))


def copy_points(vectors: Floats, cuts: Cut | int, eps: float) -> Copies:
    """In which parts n×d points are."""
    every = np.arange(len(vectors), dtype=np.int64)
    waiting = [(cuts, every, np.zeros(len(vectors), np.int64))]
    places, parts, reaches = [], [], []
    while waiting:
        node, place, reach = waiting.pop()
        if isinstance(node, int):
            places.append(place)
            parts.append(np.full(len(place), node, np.int64))
            reaches.append(reach)
            continue
        beyond = vectors[place, node.axis] - node.at  # above 0: beyond the part below
        eps_wide = eps * (1 + 1e-9) + 4 * np.spacing(abs(node.at) + eps)  # rounding never loses a neighbour
        for half, outside in ((node.below, beyond), (node.above, np.where(beyond > 0, 0.0, -beyond + np.spacing(0.0)))):
            further = np.maximum(reach, np.where(outside <= 0, 0, np.where(outside <= eps_wide, 1, 2)))
            inside = outside <= 2 * eps_wide
            waiting.append((half, place[inside], further[inside]))
    return Copies(np.concatenate(places), np.concatenate(parts), np.concatenate(reaches))
