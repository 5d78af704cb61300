"""eps of DBSCAN from the k-distance curve, and min_points from the dimension.

The k-distance of a customer is the distance to the k-th nearest, the customer being the first: with eps of that size and min_points = k
the customer is just core. Sorted, the k-distances of a sample rise slowly through the dense regions and steeply through the noise; eps is
taken at the knee between, the point furthest below the chord from the first to the last (Ester et al. 1996 by eye; the rule: Satopää et
al. 2011, "kneedle"). min_points is twice the number of dimensions, at least 4 (Sander et al. 1998; Ester et al. take 4 in the plane).

The sample is of the customers whose distances are measured; they are measured to all customers, so there is no share to correct for.
Cost: one pass, in which each task builds k-d trees of its customers and asks them for the k nearest of each sampled one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.spatial import cKDTree

from lib.segments.density import as_matrix, sample_vectors

Floats = npt.NDArray[np.float64]

TREE_ROWS = 200_000
"""Customers in one tree: bounds a task's memory."""

LEAST_EPS = 1e-6
"""eps where all sampled customers have k - 1 others of the same vector: as good as 0, next to features of standard deviation 1."""


def default_min_points(dimensions: int) -> int:
    """min_points where none is set."""
    return max(4, 2 * dimensions)


def propose_eps(points: DataFrame, min_points: int, sample_customers: int) -> float:
    """eps at the knee of the k-distance curve, k = min_points, of at most `sample_customers` customers on the driver.

    `points` has customer_id and vector; they have been checked. There is at least one.
    """
    return find_knee(k_distances(points, sample_vectors(points, sample_customers), min_points))


def k_distances(points: DataFrame, asked: Floats, k: int) -> Floats:
    """Of each row of `asked`, which are few, the distance to the k-th nearest of `points`, or to the furthest where there are fewer."""

    def measure(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        nearest = np.empty((len(asked), 0))
        for vectors in _in_blocks(batches):
            found, _ = cKDTree(vectors).query(asked, k=np.arange(1, min(k, len(vectors)) + 1))
            nearest = np.sort(np.concatenate([nearest, found], axis=1), axis=1)[:, :k]
        if nearest.shape[1]:
            ends = pa.array(np.arange(len(asked) + 1, dtype=np.int32) * nearest.shape[1])
            lists = pa.ListArray.from_arrays(ends, pa.array(nearest.ravel()))
            yield pa.RecordBatch.from_arrays([pa.array(np.arange(len(asked))), lists], names=["asked", "nearest"])

    parts = points.select("vector").mapInArrow(measure, "asked bigint, nearest array<double>")
    kept = F.slice(F.array_sort(F.flatten(F.collect_list("nearest"))), 1, k)  # k values per task
    rows = (
        parts.groupBy("asked").agg(F.element_at(kept, -1).alias("distance")).toArrow()
    )  # one row per sampled customer
    return np.asarray(rows.column("distance"), dtype=np.float64)


def _in_blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[Floats]:
    waiting: list[Floats] = []
    for batch in batches:
        if batch.num_rows:
            waiting.append(as_matrix(batch.column("vector"), batch.num_rows))
        if sum(map(len, waiting)) >= TREE_ROWS:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def find_knee(distances: Floats) -> float:
    """The value furthest below the chord of the sorted distances; the smallest above 0 where that is 0."""
    curve = np.sort(distances)
    above = curve[curve > 0]
    if not len(above):
        return LEAST_EPS
    span = curve[-1] - curve[0]
    if span == 0:
        return float(curve[-1])
    share = np.arange(len(curve)) / max(1, len(curve) - 1)
    knee = curve[np.argmax(share - (curve - curve[0]) / span)]
    return float(max(knee, above[0]))
