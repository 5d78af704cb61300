"""How far customers are from centres, and the ids of the segments around them.

Vectors are array<double> columns; centres are few (at most 100 times some tens of features) and live on the driver.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from scipy.spatial.distance import cdist

Centre = tuple[float, ...]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

MEASURED = "customer_id string, cluster int, distance double, confidence double"
BLOCK_ROWS = 10_000


def assign_nearest(points: DataFrame, centres: Sequence[Centre]) -> DataFrame:
    """customer_id, cluster, distance, confidence of rows with customer_id, vector: the nearest centre, the smaller index of equals."""
    return _in_blocks(points.select("customer_id", "vector"), np.array(centres, dtype=np.float64))


def measure_distances(assigned: DataFrame, centres: Sequence[Centre]) -> DataFrame:
    """customer_id, cluster, distance, confidence of rows with customer_id, vector, cluster.

    `distance` is Euclidean, to the own centre; confidence = 1 - distance / distance to the nearest other centre, at least 0 (a tree may put
    a customer in a leaf whose centre is not the nearest), and 1 where there is no other.
    """
    return _in_blocks(assigned.select("customer_id", "vector", "cluster"), np.array(centres, dtype=np.float64))


def _in_blocks(rows: DataFrame, matrix: Floats) -> DataFrame:
    def measure(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, BLOCK_ROWS):
                block = batch.slice(start, BLOCK_ROWS)
                vectors = np.asarray(block.column("vector").flatten()).reshape(block.num_rows, matrix.shape[1])
                given = np.asarray(block.column("cluster")) if "cluster" in block.schema.names else None
                cluster, distance, confidence = own_and_confidence(vectors, given, matrix)
                yield pa.RecordBatch.from_arrays(
                    [block.column("customer_id"), pa.array(cluster), pa.array(distance), pa.array(confidence)],
                    names=["customer_id", "cluster", "distance", "confidence"],
                )

    return rows.mapInArrow(measure, MEASURED)


def own_and_confidence(vectors: Floats, cluster: Ints | None, centres: Floats) -> tuple[Ints, Floats, Floats]:
    """Cluster (given, or the nearest), distance to its centre and confidence of n vectors (n×d) among k centres (k×d)."""
    distances = cdist(vectors, centres)
    cluster = distances.argmin(axis=1).astype(np.int32) if cluster is None else cluster
    rows = np.arange(len(vectors))
    own = distances[rows, cluster].copy()
    if len(centres) == 1:
        return cluster, own, np.ones(len(vectors))
    distances[rows, cluster] = np.inf
    other = distances.min(axis=1)
    ratio = np.divide(own, other, out=np.ones(len(vectors)), where=other > 0)
    return cluster, own, np.maximum(0.0, 1.0 - ratio)


def cluster_sizes(assigned: DataFrame) -> dict[int, int]:
    """Cluster index → customers; empty clusters are not in it."""
    return {row["cluster"]: row["count"] for row in assigned.groupBy("cluster").count().collect()}  # one row per centre


def number_segments(sizes: Mapping[int, int], centres: Sequence[Centre]) -> dict[int, str]:
    """Cluster index → segment id: "1" has most customers; equal sizes by the centre's values."""
    ordered = sorted(sizes, key=lambda cluster: (-sizes[cluster], centres[cluster]))
    return {cluster: str(number) for number, cluster in enumerate(ordered, start=1)}


def lookup(values: dict[int, str], column: str = "cluster") -> Column:
    """The value for `cluster`, or another column of ints."""
    return F.create_map(*(F.lit(part) for pair in values.items() for part in pair))[F.col(column)]
