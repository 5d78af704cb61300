"""An agglomerative tree over weighted points by Ward's criterion (Ward 1963).

Merging clusters A and B adds w_A·w_B / (w_A + w_B) · |c_A - c_B|² to the sum of squared distances to the centres, with w the weights and c
the weighted means; each step takes the merge that adds least. Points that stand for many customers weigh as many, which scipy's linkage
can't be told: a test holds the two together on repeated points. Cost: n² distances and n passes over them, so n is some hundreds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Merge:
    """Two nodes become one: points are nodes 0 … n-1, the merge at place i makes node n + i. `cost` is the sum of squares it adds."""

    left: int
    right: int
    cost: float


def merge_points(points: Floats, weights: Floats) -> list[Merge]:
    """The n - 1 merges of n points (n×d) of positive weights, in their order; costs do not fall. Equal costs: the earlier place."""
    count = len(points)
    centres, mass = np.array(points, dtype=np.float64), np.array(weights, dtype=np.float64)
    node = np.arange(count)
    costs = _costs(centres, mass, centres, mass)
    costs[np.tril_indices(count)] = np.inf
    merges = list[Merge]()
    for step in range(count - 1):
        i, j = np.unravel_index(int(np.argmin(costs)), costs.shape)
        left, right = sorted((int(node[i]), int(node[j])))
        merges.append(Merge(left, right, float(costs[i, j])))
        # the merged node takes the place of one, the other's is closed
        centres[i] = (mass[i] * centres[i] + mass[j] * centres[j]) / (mass[i] + mass[j])
        mass[i] += mass[j]
        node[i] = count + step
        costs[j, :] = costs[:, j] = np.inf
        mass[j] = 0.0
        _renew(costs, int(i), centres, mass)
    return merges


def _renew(costs: Floats, place: int, centres: Floats, mass: Floats) -> None:
    """Costs of merging the node at `place` with each that is left; the matrix is kept above its diagonal."""
    left = mass > 0
    left[place] = False
    others = np.flatnonzero(left)
    fresh = _costs(centres[place : place + 1], mass[place : place + 1], centres[others], mass[others])[0]
    below, above = others < place, others > place
    costs[others[below], place] = fresh[below]
    costs[place, others[above]] = fresh[above]


def _costs(centres: Floats, mass: Floats, others: Floats, other_mass: Floats) -> Floats:
    squares = ((centres[:, None, :] - others[None, :, :]) ** 2).sum(axis=2)
    product, total = np.multiply.outer(mass, other_mass), np.add.outer(mass, other_mass)
    costs: Floats = squares * product / total
    return costs


def cut(merges: list[Merge], points: int, clusters: int) -> npt.NDArray[np.int64]:
    """Node that each point is in when the last merges are undone until there are `clusters`: that node's number."""
    owner = np.arange(points)
    for step, merge in enumerate(merges[: points - clusters]):
        owner[(owner == merge.left) | (owner == merge.right)] = points + step
    return owner
