"""Customers down a stored tree of centres: at each node to the child whose centre is nearer, as BisectingKMeans itself predicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from lib.methods.lloyd import Floats, Ints, find_nearest
from lib.segments.hierarchy import Node

LEAVES = "customer_id string, vector array<double>, cluster int"


def descend(points: DataFrame, nodes: Sequence[Node]) -> DataFrame:
    """customer_id, vector, cluster: the place among the leaves, by node_id, that each customer comes to. Ties go to the first child."""
    tree = list(nodes)

    def down(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            vectors = np.asarray(batch.column("vector").flatten()).reshape(batch.num_rows, -1)
            arrays = [batch.column("customer_id"), batch.column("vector"), pa.array(leaves_of(vectors, tree))]
            yield pa.RecordBatch.from_arrays(arrays, names=["customer_id", "vector", "cluster"])

    return points.select("customer_id", "vector").mapInArrow(down, LEAVES)


def leaf_ids(nodes: Sequence[Node]) -> list[str]:
    """The node_id of each leaf, in order: its place is the leaf's cluster."""
    parents = {node.parent_id for node in nodes}
    return sorted(node.node_id for node in nodes if node.node_id not in parents)


def leaves_of(vectors: Floats, nodes: Sequence[Node]) -> Ints:
    """The place among `leaf_ids` of the leaf that each vector comes to."""
    children: dict[str | None, list[Node]] = {}
    for node in sorted(nodes, key=lambda node: node.node_id):
        children.setdefault(node.parent_id, []).append(node)
    places = {node_id: place for place, node_id in enumerate(leaf_ids(nodes))}
    found = np.zeros(len(vectors), dtype=np.int32)
    waiting = [(children[None][0], np.arange(len(vectors)))]
    while waiting:
        node, rows = waiting.pop()
        below = children.get(node.node_id)
        if below is None:
            found[rows] = places[node.node_id]
            continue
        nearest, _ = find_nearest(vectors[rows], np.array([child.centre for child in below]))
        waiting += [(child, rows[nearest == place]) for place, child in enumerate(below)]
    return found
