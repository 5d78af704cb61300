"""Each segmentation of the customers: who is in which segment, and the tables that explain it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lib.segments.centres import Centre, cluster_sizes, lookup, measure_distances, number_segments
from lib.segments.hierarchy import Node, assign_leaves, count_members, fit_bisecting, leaf_centres, read_tree
from lib.segments.kmeans import Candidate, choose, silhouette, try_candidates
from lib.settings.sections import Bisecting, KMeans

Note = Callable[[str], None]

MEMBER_COLUMNS = ("segmentation", "customer_id", "segment_id", "distance", "confidence")


@dataclass(frozen=True)
class Segmentation:
    """The result of one way to group customers."""

    name: str
    members: DataFrame
    """segmentation, customer_id, segment_id, distance, confidence, and `reason` where each customer has one of their own."""
    centres: list[tuple[str, Centre]]
    """Segment id and centre, in prepared features."""
    quality: list[tuple[str, str, float, bool]]
    """Candidate, metric, value, chosen."""
    tree: list[tuple[Node, str | None]]
    """Node and, for a leaf, its segment id."""


def segment_by_rfm(features: DataFrame) -> DataFrame:
    """Members of the named RFM segments, which a customer is in by definition."""
    nothing = F.lit(None).cast("double")
    return features.select(
        F.lit("rfm").alias("segmentation"), "customer_id", F.col("rfm_segment").alias("segment_id"),
        nothing.alias("distance"), nothing.alias("confidence"),
    )  # fmt: skip


def segment_by_kmeans(points: DataFrame, settings: KMeans, seed: int, note: Note) -> Segmentation:
    """k-means; `points` has customer_id, vector, features, arranged and cached."""
    candidates = try_candidates(points, settings, seed)
    best = choose(candidates)
    note(_explain(best, candidates, settings))
    ids = number_segments(cluster_sizes(best.assigned), best.centres)
    quality = [row for c in candidates for row in _quality(c, c is best)]
    return Segmentation("kmeans", _members("kmeans", best, ids), _named(best.centres, ids), quality, [])


def segment_by_bisecting(points: DataFrame, settings: Bisecting, seed: int, note: Note) -> Segmentation:
    """Bisecting k-means and its tree; `points` as for k-means."""
    model = fit_bisecting(points, settings, seed)
    nodes = read_tree(model)
    assigned = assign_leaves(points, model)
    centres = leaf_centres(nodes)
    sizes = cluster_sizes(assigned)
    ids = number_segments(sizes, centres)
    cost = float(model.summary.trainingCost)
    candidate = Candidate(len(centres), tuple(centres), cost, silhouette(assigned), assigned)
    note(f"bisecting: {len(centres)} leaves of at most {settings.leaves}")
    tree = [(node, ids.get(node.cluster) if node.cluster is not None else None) for node in count_members(nodes, sizes)]
    members = _members("bisecting", candidate, ids)
    return Segmentation("bisecting", members, _named(centres, ids), _quality(candidate, True), tree)


def _members(name: str, candidate: Candidate, ids: dict[int, str]) -> DataFrame:
    measured = measure_distances(candidate.assigned, candidate.centres)
    return measured.withColumns({"segmentation": F.lit(name), "segment_id": lookup(ids)}).select(*MEMBER_COLUMNS)


def _named(centres: Sequence[Centre], ids: dict[int, str]) -> list[tuple[str, Centre]]:
    return [(segment_id, centres[cluster]) for cluster, segment_id in ids.items()]


def _quality(candidate: Candidate, chosen: bool) -> list[tuple[str, str, float, bool]]:
    measures = {"inertia": candidate.inertia, "silhouette": candidate.silhouette}
    return [(f"k={candidate.k}", name, value, chosen) for name, value in measures.items() if value is not None]


def _explain(best: Candidate, candidates: Sequence[Candidate], settings: KMeans) -> str:
    if best.silhouette is None:
        return "kmeans: all customers are alike, so there is one segment"
    tried = f"{candidates[0].k} to {candidates[-1].k}"
    fewer = f" (no more than {candidates[-1].k} different customers)" if candidates[-1].k < settings.k_max else ""
    return f"kmeans: k={best.k} has the highest silhouette, {best.silhouette:.3f}, of k={tried}{fewer}"


def quality_rows(spark: SparkSession, segmentations: Sequence[Segmentation]) -> DataFrame:
    """Rows of segmentation_quality."""
    rows = [(s.name, *row) for s in segmentations for row in s.quality]
    return spark.createDataFrame(
        rows, "segmentation string, candidate string, metric string, value double, chosen boolean"
    )


def centre_rows(spark: SparkSession, segmentations: Sequence[Segmentation]) -> DataFrame:
    """Rows of segment_centres."""
    rows = [(s.name, segment_id, list(centre)) for s in segmentations for segment_id, centre in s.centres]
    return spark.createDataFrame(rows, "segmentation string, segment_id string, centre array<double>")


def tree_rows(spark: SparkSession, segmentations: Sequence[Segmentation]) -> DataFrame:
    """Rows of segment_tree."""
    rows = [
        (s.name, node.node_id, node.parent_id, node.depth, node.customers, node.split_gain, segment_id)
        for s in segmentations
        for node, segment_id in s.tree
    ]
    schema = "segmentation string, node_id string, parent_id string, depth int, customers bigint, split_gain double, segment_id string"
    return spark.createDataFrame(rows, schema)


def all_members(features: DataFrame, clusterings: Sequence[Segmentation]) -> DataFrame:
    """Members of every segmentation, RFM first; `reason` is null where the segment says it."""
    members = segment_by_rfm(features).withColumn("reason", F.lit(None).cast("string"))
    for clustering in clusterings:
        members = members.unionByName(clustering.members, allowMissingColumns=True)
    return members
