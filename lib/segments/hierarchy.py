"""A hierarchy of segments by bisecting k-means (Steinbach, Karypis, Kumar 2000), from MLlib's BisectingKMeans.

All customers are the root; level by level the largest divisible leaves are split in two by k-means, until there are `leaves` leaves.
PySpark wraps no tree of the model, so its nodes are read from the JVM here, and a test holds them against `predict`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pyspark.ml.clustering import BisectingKMeans, BisectingKMeansModel
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.segments.centres import Centre
from lib.segments.quality import separation
from lib.segments.sample import Sample
from lib.settings.segments import Bisecting

AWAY = 8.0
"""Added to every coordinate for the fit. MLlib's first two centres of a split are the parent's ± 1e-4 of its length: at the origin, where
standardised vectors have their mean, they would be one and nothing be split. Distances are the same everywhere."""


@dataclass(frozen=True)
class Node:
    """One node: `node_id` is its path from the root; `cluster` is what `predict` says for a leaf, None above."""

    node_id: str
    parent_id: str | None
    depth: int
    customers: int
    split_gain: float | None
    cluster: int | None
    centre: Centre


def fit_bisecting(points: DataFrame, settings: Bisecting, seed: int) -> BisectingKMeansModel:
    """The fitted tree, of the points moved by AWAY. `points` has `vector`.

    MLlib draws a node's first centres in an order that spark.default.parallelism changes where it is set: with one, ties fall otherwise.
    """
    # MLlib takes a share only below 1, and a number from 1 on as that many rows
    smallest = min(max(settings.min_share, 1e-12), 1.0 - 1e-12)
    algorithm = BisectingKMeans(
        k=settings.leaves, maxIter=settings.max_iterations, seed=seed, minDivisibleClusterSize=smallest
    )
    return algorithm.fit(_away(points))


def assign_leaves(points: DataFrame, model: BisectingKMeansModel) -> DataFrame:
    """Add `cluster`, the leaf that each customer is in."""
    return model.setPredictionCol("cluster").transform(_away(points))


def measure_leaves(sample: Sample, model: BisectingKMeansModel) -> dict[str, float]:
    """Metric → value, on the sample. Only its vectors and leaves, bounded by segments.fit_rows, come to the driver."""
    table = assign_leaves(sample.frame, model).select("customer_id", "cluster").toArrow().sort_by("customer_id")
    found, labels = np.unique(table.column("cluster").to_numpy(), return_inverse=True)
    silhouette, davies_bouldin = separation(sample.vectors, labels.astype(np.int32))
    measures = {
        "inertia": float(model.summary.trainingCost), "silhouette": silhouette, "davies_bouldin": davies_bouldin,
        "segments": float(len(found)), "smallest_share": float(np.bincount(labels).min() / len(labels)),
    }  # fmt: skip
    return {name: value for name, value in measures.items() if value is not None}


def _away(points: DataFrame) -> DataFrame:
    return points.withColumn("features", array_to_vector(F.transform("vector", lambda value: value + AWAY)))


def read_tree(model: BisectingKMeansModel) -> list[Node]:
    """The nodes from the root down, children after their parent, their centres where the points were."""
    java: Any = model._java_obj
    # Scala's name of a private value, as the JVM knows it
    parent_model = getattr(java, f"{java.getClass().getName().replace('.', '$')}$$parentModel")
    nodes: list[Node] = []
    _walk(parent_model().root(), "0", None, 0, nodes)
    return nodes


def _walk(java: Any, node_id: str, parent_id: str | None, depth: int, nodes: list[Node]) -> None:
    children = list(java.children())
    gain = float(java.cost()) - sum(float(child.cost()) for child in children) if children else None
    nodes.append(
        Node(
            node_id,
            parent_id,
            depth,
            int(java.size()),
            gain,
            None if children else int(java.index()),
            tuple(float(v) - AWAY for v in java.center().toArray()),
        )
    )
    for number, child in enumerate(children, start=1):
        _walk(child, f"{node_id}.{number}", node_id, depth + 1, nodes)


def count_members(nodes: list[Node], sizes: Mapping[int, int]) -> list[Node]:
    """The nodes with the sizes that `predict` gives (cluster → customers), summed from the leaves up.

    MLlib's own are one iteration old where a split ran out of iterations; its costs, and so split_gain, stay as they are.
    """

    def below(node: Node) -> int:
        leaves = (n for n in nodes if n.cluster is not None and f"{n.node_id}.".startswith(f"{node.node_id}."))
        return sum(sizes.get(leaf.cluster, 0) for leaf in leaves if leaf.cluster is not None)

    return [replace(node, customers=below(node)) for node in nodes]


def leaf_centres(nodes: list[Node]) -> list[Centre]:
    """The leaves' centres, by the cluster index."""
    leaves = sorted((node.cluster, node.centre) for node in nodes if node.cluster is not None)
    return [centre for _, centre in leaves]
