"""Connected components of a graph whose nodes are strings: each named by its smallest node.

Alternating large-star and small-star (Kiveris et al. 2014, "Connected Components in MapReduce and Beyond"). Edges are kept as
(high, low) with high >= low. With m(u) the smallest node that u is tied to, or u itself where that is smaller:
large-star ties every high of u to m(u), small-star ties u and its lows to m(u). Both keep the components, and end when each is a
star around its smallest node. Rounds: O(log n) seen in practice, O(log² n) proven for a variant; each shuffles the edges three times.
Nothing is gathered per node, so a node of any degree costs a stream of rows, not memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.sparse import coo_array, csgraph

Stage = Callable[[DataFrame, str], DataFrame]

ONE_TASK_EDGES = 1_000_000
"""So many edges fit into one task, some 200 MB with long ids, and are done there sooner than rounds of shuffles are."""

MAX_ROUNDS = 100


class NotConverged(RuntimeError):
    """Edges that still move after so many rounds that something is wrong with them."""


def connected_components(edges: DataFrame, stage: Stage, one_task_edges: int = ONE_TASK_EDGES) -> DataFrame:
    """node, component: every node of `edges` and the smallest node, by bytes, that can be reached from it.

    The first two columns of `edges`, strings, are the ends, in any order; a loop, or an end that is null, is a node alone where
    nothing else ties it. `stage` cuts the lineage after each round. Up to `one_task_edges` edges are done in one task.
    Raises NotConverged after MAX_ROUNDS rounds.
    """
    first, second = edges.columns[:2]
    ends = edges.select(F.greatest(first, second).alias("high"), F.least(first, second).alias("low"))
    links = stage(ends.where("high IS NOT NULL").distinct(), "components_0")
    return _in_one_task(links) if links.count() <= one_task_edges else _in_rounds(links, stage)


def _in_rounds(links: DataFrame, stage: Stage) -> DataFrame:
    before = _fingerprint(links)
    for number in range(1, MAX_ROUNDS + 1):
        links = stage(_small_star(_large_star(links)), f"components_{number}")
        after = _fingerprint(links)
        if after == before:
            roots = links.select(F.col("low").alias("node"), F.col("low").alias("component"))
            return links.toDF("node", "component").unionByName(roots).distinct()
        before = after
    raise NotConverged(f"{before[0]:,} edges still move after {MAX_ROUNDS} rounds")


def _smallest_neighbours(links: DataFrame) -> DataFrame:
    """high, smallest. A node that is absent is never the higher end, so it is smaller than all its neighbours."""
    return links.groupBy("high").agg(F.min("low").alias("smallest"))


def _large_star(links: DataFrame) -> DataFrame:
    nearest = _smallest_neighbours(links).withColumnRenamed("high", "low")
    return (
        links.join(nearest, on="low", how="left").select("high", F.coalesce("smallest", "low").alias("low")).distinct()
    )


def _small_star(links: DataFrame) -> DataFrame:
    nearest = _smallest_neighbours(links)
    between = links.join(nearest, on="high", how="inner").where("low > smallest")
    return (
        nearest.toDF("high", "low")
        .unionByName(between.select(F.col("low").alias("high"), F.col("smallest").alias("low")))
        .distinct()
    )


def _fingerprint(links: DataFrame) -> tuple[int, int]:
    """Number of edges and the sum of their hashes: equal for equal edges in any order."""
    hashed = F.sum(F.xxhash64("high", "low").cast("decimal(38,0)"))
    found = links.agg(F.count("*").alias("edges"), hashed.alias("hashes")).head()
    assert found is not None
    return int(found["edges"]), int(found["hashes"] or 0)


def _in_one_task(links: DataFrame) -> DataFrame:
    def label(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        table = pa.Table.from_batches(batches, schema)
        ends = pa.chunked_array([*table.column("high").chunks, *table.column("low").chunks], pa.string())
        nodes = pc.unique(ends)
        nodes = nodes.take(pc.sort_indices(nodes))
        places = pc.index_in(ends, nodes).to_numpy()
        ties = coo_array((np.ones(len(table), bool), np.split(places, 2)), shape=(len(nodes), len(nodes)))
        _, labels = csgraph.connected_components(ties, directed=False)
        # nodes ascend, so the first of each label is its smallest
        _, smallest = np.unique(labels, return_index=True)
        yield pa.RecordBatch.from_arrays([nodes, nodes.take(pa.array(smallest[labels]))], names=["node", "component"])

    schema = pa.schema({"high": pa.string(), "low": pa.string()})
    return links.repartition(1).mapInArrow(label, "node string, component string")
