"""Each segmentation of the customers: who is in which segment, and the tables that explain it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lib.segments.centres import (
    Centre,
    assign_nearest,
    cluster_sizes,
    lookup,
    measure_distances,
    number_segments,
)
from lib.segments.choice import Ranked, explain, rank_candidates, refuse_small, too_small
from lib.segments.hierarchy import (
    Node,
    assign_leaves,
    count_members,
    fit_bisecting,
    leaf_centres,
    measure_leaves,
    read_tree,
)
from lib.segments.kmeans import Candidate, try_candidates
from lib.segments.sample import Sample
from lib.settings.kmeans import KMeans
from lib.settings.segments import Bisecting

Note = Callable[[str], None]

OUTLIERS = "outliers"
"""Segment of the customers that are in no fit, and its name."""

SPLIT_FEATURES = 2
"""Most features that a split of a tree is said to be about: the second where it differs at least half as much as the first."""

MEMBER_COLUMNS = ("segmentation", "customer_id", "segment_id", "distance", "confidence")

MEMBERS = "segmentation string, customer_id string, segment_id string, distance double, confidence double, node_id string, reason string"
"""All columns of members: node_id where there is a tree, reason where the segmentation itself knows it."""


@dataclass(frozen=True)
class Segmentation:
    """The result of one way to group customers."""

    name: str
    members: DataFrame
    """segmentation, customer_id, segment_id, distance, confidence, and node_id and reason where it has any."""
    centres: list[tuple[str, Centre]]
    """Segment id and centre, in prepared features."""
    quality: list[tuple[str, str, float, bool]]
    """Candidate, metric, value, chosen."""
    tree: list[tuple[Node, str | None]]
    """Node and the segment that it is or is part of; None above."""


def segment_by_rfm(features: DataFrame) -> DataFrame:
    """Members of the named RFM segments, which a customer is in by definition."""
    nothing = F.lit(None).cast("double")
    return features.select(
        F.lit("rfm").alias("segmentation"), "customer_id", F.col("rfm_segment").alias("segment_id"),
        nothing.alias("distance"), nothing.alias("confidence"),
    )  # fmt: skip


def segment_by_stage(lifecycle: DataFrame) -> DataFrame:
    """Members of the stages of the life cycle."""
    return lifecycle.select(
        F.lit("lifecycle").alias("segmentation"), "customer_id", F.col("stage").alias("segment_id"), "reason"
    )


def segment_by_kmeans(points: DataFrame, sample: Sample, settings: KMeans, seed: int, note: Note) -> Segmentation:
    """k-means of the sample, whose centres assign everyone; `points` has customer_id, vector, cached. Raises SmallSegments."""
    candidates = try_candidates(sample, settings, seed)
    taken, members, sizes = _take(points, candidates, settings)
    note(explain(taken, candidates, settings))
    best = taken.candidate
    ids = number_segments(sizes, best.centres)
    quality = [row for c in candidates for row in _quality(f"k={c.k}", c.measures, c.k == best.k)]
    return Segmentation("kmeans", members_of("kmeans", members, ids), named_centres(best.centres, ids), quality, [])


def _take(
    points: DataFrame, candidates: Sequence[Candidate], settings: KMeans
) -> tuple[Ranked, DataFrame, dict[int, int]]:
    """The candidate of the best rank, its measured members and their number, none too small among everyone where they may not be."""
    left = refuse_small(candidates, settings)
    known = {c.k: c for c in candidates}
    while left:
        taken = rank_candidates(left, settings.min_stability)[0]
        members = assign_nearest(points, taken.candidate.centres).cache()  # counted here, profiled, and written
        sizes = cluster_sizes(members)
        # the share on the sample is an estimate: close to the least, everyone's may be on its other side
        if settings.small_segments == "keep" or min(sizes.values()) >= settings.min_share * sum(sizes.values()):
            return taken, members, sizes
        members.unpersist()
        if settings.small_segments == "merge" and len(taken.candidate.centres) > 1:
            smallest = min(range(len(taken.candidate.centres)), key=lambda cluster: (sizes.get(cluster, 0), -cluster))
            centres = taken.candidate.centres
            fewer = replace(taken.candidate, centres=centres[:smallest] + centres[smallest + 1 :])
            left = [fewer if c is taken.candidate else c for c in left]
        else:
            left = [c for c in left if c is not taken.candidate]
            known[taken.candidate.k] = replace(
                taken.candidate, smallest_share=min(sizes.values()) / sum(sizes.values())
            )
    raise too_small(list(known.values()), settings)


def segment_by_bisecting(points: DataFrame, sample: Sample, settings: Bisecting, seed: int, note: Note) -> Segmentation:
    """Bisecting k-means of the sample and its tree, which assigns everyone; `points` as for k-means."""
    model = fit_bisecting(sample.frame, settings, seed)
    nodes = read_tree(model)
    centres = leaf_centres(nodes)
    members = measure_distances(assign_leaves(points, model), centres).cache()  # counted here, profiled, and written
    sizes = cluster_sizes(members)
    ids = number_segments(sizes, centres)
    paths = {node.cluster: node.node_id for node in nodes if node.cluster is not None}
    note(f"bisecting: {len(centres)} leaves of at most {settings.leaves}")
    tree = [(node, ids.get(node.cluster) if node.cluster is not None else None) for node in count_members(nodes, sizes)]
    quality = _quality(f"k={len(centres)}", measure_leaves(sample, model), True)
    placed = members_of("bisecting", members.withColumn("node_id", lookup(paths)), ids)
    return Segmentation("bisecting", placed, named_centres(centres, ids), quality, tree)


def members_of(name: str, measured: DataFrame, ids: dict[int, str]) -> DataFrame:
    """Members of the segments that clusters (measured: customer_id, cluster, distance, confidence, …) are."""
    also = [column for column in ("node_id",) if column in measured.columns]
    return measured.withColumns({"segmentation": F.lit(name), "segment_id": lookup(ids)}).select(*MEMBER_COLUMNS, *also)


def named_centres(centres: Sequence[Centre], ids: dict[int, str]) -> list[tuple[str, Centre]]:
    """Segment id and centre."""
    return [(segment_id, centres[cluster]) for cluster, segment_id in ids.items()]


def _quality(candidate: str, measures: Mapping[str, float], chosen: bool) -> list[tuple[str, str, float, bool]]:
    return [(candidate, name, value, chosen) for name, value in measures.items()]


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


def tree_rows(spark: SparkSession, segmentations: Sequence[Segmentation], features: Sequence[str]) -> DataFrame:
    """Rows of segment_tree; `features` in the order of the centres."""
    rows = [
        (s.name, node.node_id, node.parent_id, node.depth, node.customers, node.split_gain,
         split_features(node, s.tree, features), segment_id, list(node.centre))
        for s in segmentations
        for node, segment_id in s.tree
    ]  # fmt: skip
    schema = (
        "segmentation string, node_id string, parent_id string, depth int, customers bigint, split_gain double, "
        "split_on array<string>, segment_id string, centre array<double>"
    )
    return spark.createDataFrame(rows, schema)


def split_features(node: Node, tree: Sequence[tuple[Node, str | None]], features: Sequence[str]) -> list[str] | None:
    """The features, at most SPLIT_FEATURES, in which a node's children differ most; None for a leaf."""
    children = [child.centre for child, _ in tree if child.parent_id == node.node_id]
    if len(children) != 2:
        return None
    apart = {name: abs(a - b) for name, a, b in zip(features, *children, strict=True)}
    largest = sorted(apart, key=lambda name: (-apart[name], name))[:SPLIT_FEATURES]
    return [name for name in largest if apart[name] >= 0.5 * apart[largest[0]]]


def all_members(
    features: DataFrame,
    clusterings: Sequence[Segmentation],
    others: Sequence[DataFrame] = (),
    outliers: DataFrame | None = None,
) -> DataFrame:
    """MEMBERS of every segmentation, RFM first; `others` are members too.

    `outliers` (customer_id), who were set aside, are a group of their own in each clustering.
    """
    frames = [segment_by_rfm(features), *(clustering.members for clustering in clusterings), *others]
    if outliers is not None:
        frames += [
            outliers.select(F.lit(c.name).alias("segmentation"), "customer_id", F.lit(OUTLIERS).alias("segment_id"))
            for c in clusterings
        ]
    nobody = features.sparkSession.createDataFrame([], MEMBERS)
    return reduce(partial(DataFrame.unionByName, allowMissingColumns=True), frames, nobody)
