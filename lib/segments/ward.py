"""A hierarchy from the bottom up: fine k-means centres of the sample, weighted by their customers, merged by Ward's criterion.

The tree of some hundred centres is exact (lib/methods/ward.py) and stands for all customers: each is under the centre nearest to them.
The whole dendrogram is published, so that it can be cut at any level; segments are its nodes where the next merge would be dearest in
proportion to the one before it, or as many as the settings want.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from lib.methods.lloyd import Floats, Ints, find_nearest, mean_by_label
from lib.methods.ward import Merge, merge_points
from lib.segments.centres import Centre, assign_nearest, cluster_sizes, lookup, number_segments, own_and_confidence
from lib.segments.hierarchy import Node
from lib.segments.kmeans import fit_kmeans
from lib.segments.sample import Sample, count_distinct
from lib.segments.segmentation import Note, Segmentation, members_of, named_centres
from lib.settings.segments import Ward

NAME = "ward"


def segment_by_ward(points: DataFrame, sample: Sample, settings: Ward, seed: int, note: Note) -> Segmentation:
    """Ward's tree; `points` has customer_id, vector, cached, and is not empty."""
    leaves = _fine_centres(sample, settings, seed)
    labels, _ = find_nearest(sample.vectors, leaves)
    leaves = leaves[np.unique(labels)]
    labels, _ = find_nearest(sample.vectors, leaves)
    merges = merge_points(leaves, np.bincount(labels, minlength=len(leaves)).astype(np.float64))
    number = _choose(merges, len(leaves), settings)
    nodes = dendrogram(leaves, merges, number)
    note(f"ward: {number} segments of {len(leaves)} fine centres, {_why(settings, number, len(leaves))}")
    return place_members(points, nodes)


def _fine_centres(sample: Sample, settings: Ward, seed: int) -> Floats:
    """At most so many as there are different vectors, and on average five customers each."""
    most = min(settings.leaves, max(2, len(sample.vectors) // 5))
    number = count_distinct(sample.vectors, most)
    if number == 1:
        return sample.vectors[:1]
    ((centres,),) = fit_kmeans(sample.frame, [number], [seed], settings.max_iterations)
    return centres


def _choose(merges: Sequence[Merge], leaves: int, settings: Ward) -> int:
    """How many segments: as the settings say, or before the steepest step of the costs; fewer where there are no more leaves."""
    if settings.segments:
        return min(settings.segments, leaves)
    costs = [0.0, *(merge.cost for merge in merges)]  # the merge after which k are left is the (leaves - k)-th
    lowest, highest = min(settings.segments_min, leaves), min(settings.segments_max, leaves)
    tried = range(max(lowest, 1), highest + 1)

    def step(k: int) -> float:
        dearer, cheaper = costs[leaves - k + 1] if k > 1 else 0.0, costs[leaves - k]
        return dearer / cheaper if cheaper > 0 else (float("inf") if dearer > 0 else 0.0)

    return max(tried, key=lambda k: (step(k), -k))


def _why(settings: Ward, number: int, leaves: int) -> str:
    if settings.segments:
        return "as set" if number == settings.segments else f"for there are no more than {leaves}"
    return f"the steepest step of Ward's costs from {settings.segments_min} to {settings.segments_max}"


def dendrogram(leaves: Floats, merges: Sequence[Merge], segments: int) -> list[tuple[Node, int | None]]:
    """The nodes from the root down, each with the number of the segment it is or is part of; None above. A leaf's cluster is its place."""
    count = len(leaves)
    children = {count + step: (merge.left, merge.right, merge.cost) for step, merge in enumerate(merges)}
    root = count + len(merges) - 1
    tops = _tops(children, root, count, segments)
    nodes: list[tuple[Node, int | None]] = []
    waiting: list[tuple[int, str, str | None, int, int | None]] = [(root, "0", None, 0, None)]
    while waiting:
        number, node_id, parent, depth, segment = waiting.pop()
        segment = tops.get(number, segment)
        inner = children.get(number)
        centre = tuple(float(v) for v in leaves[number]) if inner is None else ()
        nodes.append(
            (
                Node(node_id, parent, depth, 0, inner[2] if inner else None, number if inner is None else None, centre),
                segment,
            )
        )
        for place, child in enumerate(inner[:2] if inner else (), start=1):
            waiting.append((child, f"{node_id}.{place}", node_id, depth + 1, segment))
    return sorted(nodes, key=lambda pair: (pair[0].depth, pair[0].node_id))


def _tops(children: dict[int, tuple[int, int, float]], root: int, leaves: int, segments: int) -> dict[int, int]:
    """Node → number, of the nodes that are left when the last merges are undone until there are so many."""
    left = {root}
    while len(left) < segments:
        last = max(left)  # the latest merge has the highest number
        if last < leaves:
            break
        left = (left - {last}) | set(children[last][:2])
    return {node: place for place, node in enumerate(sorted(left))}


def place_members(
    points: DataFrame,
    nodes: Sequence[tuple[Node, int | None]],
    ids: dict[int, str] | None = None,
    quality: list[tuple[str, str, float, bool]] | None = None,
) -> Segmentation:
    """Everyone under the leaf whose centre is nearest; distance and confidence are to the centres of the segments.

    ids: segment's number → its id; None: numbered by size.
    """
    leaves = {node.cluster: (node, segment) for node, segment in nodes if node.cluster is not None}
    fine = np.array([leaves[place][0].centre for place in sorted(leaves)])
    owner = np.array([leaves[place][1] or 0 for place in sorted(leaves)], dtype=np.int32)
    nearest = assign_nearest(points, [tuple(row) for row in fine])
    sizes = cluster_sizes(nearest)
    centres = _segment_centres(fine, owner, sizes)
    measured = _measure(points, fine, owner, np.array(centres)).cache()  # profiled, and written
    totals = {s: sum(n for place, n in sizes.items() if owner[place] == s) for s in range(len(centres))}
    ids = ids or number_segments({s: n for s, n in totals.items() if n}, centres)
    placed = measured.withColumn(
        "node_id", lookup({place: node.node_id for place, (node, _) in leaves.items()}, "leaf")
    )
    tree = [(node, ids.get(segment) if segment is not None else None) for node, segment in _counted(nodes, sizes)]
    return Segmentation(
        NAME, members_of(NAME, placed, ids), named_centres(centres, ids), quality or _quality(len(ids)), tree
    )


def _measure(points: DataFrame, fine: Floats, owner: Ints, centres: Floats) -> DataFrame:
    """customer_id, leaf, cluster (the segment's number), distance, confidence."""

    def measure(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            vectors = np.asarray(batch.column("vector").flatten()).reshape(batch.num_rows, fine.shape[1])
            leaf, _ = find_nearest(vectors, fine)
            cluster, distance, confidence = own_and_confidence(vectors, owner[leaf], centres)
            arrays = [batch.column("customer_id"), *(pa.array(a) for a in (leaf, cluster, distance, confidence))]
            yield pa.RecordBatch.from_arrays(arrays, names=["customer_id", "leaf", "cluster", "distance", "confidence"])

    schema = "customer_id string, leaf int, cluster int, distance double, confidence double"
    return points.select("customer_id", "vector").mapInArrow(measure, schema)


def _segment_centres(fine: Floats, owner: Ints, sizes: dict[int, int]) -> list[Centre]:
    """The mean of each segment's leaves, weighted by their customers."""
    weights = np.array([max(sizes.get(place, 0), 1e-9) for place in range(len(fine))])
    means, _ = mean_by_label(fine, owner, weights, int(owner.max()) + 1)
    return [tuple(float(v) for v in mean) for mean in means]


def _counted(nodes: Sequence[tuple[Node, int | None]], sizes: dict[int, int]) -> list[tuple[Node, int | None]]:
    """The nodes with their customers and centres, summed from the leaves up."""
    below: dict[str, tuple[int, np.ndarray]] = {}
    counted = []
    for node, segment in sorted(nodes, key=lambda pair: -pair[0].depth):
        if node.cluster is not None:
            customers, total = sizes.get(node.cluster, 0), np.array(node.centre) * sizes.get(node.cluster, 0)
            centre = node.centre
        else:
            customers, total = below[node.node_id]
            centre = tuple(float(v) for v in total / max(customers, 1))
        counted.append(
            (Node(node.node_id, node.parent_id, node.depth, customers, node.split_gain, node.cluster, centre), segment)
        )
        if node.parent_id is not None:
            have = below.get(node.parent_id, (0, np.zeros(len(total))))
            below[node.parent_id] = (have[0] + customers, have[1] + total)
    return counted[::-1]


def _quality(segments: int) -> list[tuple[str, str, float, bool]]:
    return [(f"k={segments}", "segments", float(segments), True)]
