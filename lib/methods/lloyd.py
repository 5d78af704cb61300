"""k-means in memory, on weighted points: greedy k-means++ starts and Lloyd's iterations.

Objective: Σ w·‖x - nearest centre‖² (inertia) of n points in d dimensions and k centres. For many small fits, each of which would cost a
distributed algorithm some thirty jobs. Cost: O(n·k·d) an iteration, and O(n·k·d·log k) a start; distances are made in blocks that stay in
a core's cache. Lloyd (1982); Arthur and Vassilvitskii (2007), with the best of 2 + ln k draws as they propose.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.spatial.distance import cdist

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

BLOCK = 4096
TOLERANCE = 1e-4
"""The iterations end when the centres' squared moves sum to less than this share of a feature's mean variance."""


def blocks_of_distances(points: Floats, centres: Floats) -> Iterator[tuple[slice, Floats]]:
    """Squared Euclidean distances, block of points by block."""
    for start in range(0, len(points), BLOCK):
        rows = slice(start, start + BLOCK)
        yield rows, cdist(points[rows], centres, "sqeuclidean")


def find_nearest(points: Floats, centres: Floats) -> tuple[Ints, Floats]:
    """For each point the index of the nearest centre, the smaller one of equals, and the squared distance to it."""
    labels, squared = np.empty(len(points), dtype=np.int32), np.empty(len(points))
    for rows, distances in blocks_of_distances(points, centres):
        nearest = distances.argmin(axis=1)
        labels[rows] = nearest
        squared[rows] = distances[np.arange(len(nearest)), nearest]
    return labels, squared


def mean_by_label(points: Floats, labels: Ints, weights: Floats, k: int) -> tuple[Floats, Floats]:
    """The weighted mean of each label's points (k×d; 0 where it has none) and their weight."""
    members = csr_matrix((weights, labels, np.arange(len(points) + 1)), shape=(len(points), k))
    totals = np.bincount(labels, weights=weights, minlength=k)
    means: Floats = (members.T @ points) / np.where(totals > 0, totals, 1.0)[:, None]
    return means, totals.astype(np.float64)


def draw_centres(points: Floats, weights: Floats, k: int, rng: np.random.Generator) -> Floats:
    """k of the points by greedy k-means++: far ones are likelier, and of several draws the one that leaves the least inertia is kept."""
    trials = 2 + int(np.log(k))
    first = _draw(weights, rng.random(1))[0]
    chosen, squared = [first], find_nearest(points, points[[first]])[1]
    while len(chosen) < k:
        candidates = _draw(weights * squared, rng.random(trials))
        left = cdist(points[candidates], points, "sqeuclidean")
        np.minimum(left, squared, out=left)
        best = int(np.argmin(left @ weights))
        chosen.append(candidates[best])
        squared = left[best]
    return points[chosen]


def _draw(masses: Floats, uniforms: Floats) -> npt.NDArray[np.intp]:
    sums = np.cumsum(masses)
    places = np.searchsorted(sums, uniforms * sums[-1], side="right")
    return np.asarray(np.minimum(places, len(masses) - 1), dtype=np.intp)


def fit_lloyd(
    points: Floats, weights: Floats, k: int, starts: int, max_iterations: int, rng: np.random.Generator
) -> Floats:
    """The centres (k×d) of least inertia of several starts."""
    best, least = points[:0], np.inf
    for _ in range(starts):
        centres = refine_centres(points, weights, draw_centres(points, weights, k, rng), max_iterations)
        inertia = float(find_nearest(points, centres)[1] @ weights)
        if inertia < least:
            best, least = centres, inertia
    return best


def refine_centres(points: Floats, weights: Floats, centres: Floats, max_iterations: int) -> Floats:
    """The centres after Lloyd's iterations. One that loses its points stays where it was."""
    mean = np.average(points, axis=0, weights=weights)
    still = TOLERANCE * float(np.average((points - mean) ** 2, axis=0, weights=weights).mean())
    for _ in range(max_iterations):
        labels, _ = find_nearest(points, centres)
        means, totals = mean_by_label(points, labels, weights, len(centres))
        moved = np.where(totals[:, None] > 0, means, centres)
        shift = float(((moved - centres) ** 2).sum())
        centres = moved
        if shift <= still:
            break
    return centres
