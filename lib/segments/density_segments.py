"""Customers in the segments that DBSCAN finds: dense regions, numbered by size, and the noise around them as a segment of its own.

Distance is to the centroid of the own region; null for noise. Confidence is 1 for a core point, and for a border point 1 - distance to
the nearest core point of the region / eps; null for noise. Regions beyond `max_segments`, the smallest, are put to the noise, and this is
said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.methods.frames import add_in_order
from lib.segments.centres import Centre
from lib.segments.density import Stage, count_vectors, density_clusters
from lib.segments.k_distance import default_min_points, propose_eps
from lib.segments.sample import with_features
from lib.segments.segmentation import Note, Segmentation
from lib.settings.segments import Dbscan

NAME, NOISE = "dbscan", "noise"


@dataclass(frozen=True)
class Region:
    """One cluster that is a segment."""

    cluster: str
    segment_id: str
    customers: int
    centroid: Centre


def segment_by_density(points: DataFrame, settings: Dbscan, stage: Stage, note: Note) -> Segmentation:
    """DBSCAN; `points` has customer_id, vector, features, arranged and cached, and is not empty. Nothing in it is random."""
    customers = count_vectors(points)
    first = points.select("vector").head()
    assert first is not None
    dimensions = len(first["vector"])
    min_points = settings.min_points or default_min_points(dimensions)
    eps = settings.eps or propose_eps(points, min_points, settings.sample_customers)
    parts = math.ceil(customers / settings.part_customers)
    found = density_clusters(points, eps, min_points, parts, stage, settings.max_part_customers)
    clustered = stage(found, "density")
    sizes = clustered.groupBy("cluster").agg(F.count("*").alias("customers")).where("cluster IS NOT NULL")
    clusters, largest = sizes.count(), _largest(clustered, sizes, settings.max_segments, dimensions)
    members = _members(clustered, largest, eps, min_points)
    noise = customers - sum(region.customers for region in largest)
    quality = _quality(points, members, eps, min_points, len(largest), noise / customers)
    note(_explain(settings, eps, min_points, clusters, len(largest), noise / customers))
    centres = [(region.segment_id, region.centroid) for region in largest]
    return Segmentation(NAME, members, centres, quality, [])


def _largest(clustered: DataFrame, sizes: DataFrame, most: int, dimensions: int) -> list[Region]:
    """The at most `most` largest clusters, on the driver; equal sizes by name. Segment 1 is the largest."""
    chosen = sizes.orderBy(F.desc("customers"), "cluster").limit(most)
    means = F.array(*(F.avg(F.col("vector")[place]) for place in range(dimensions)))
    centroids = clustered.join(F.broadcast(chosen.select("cluster")), on="cluster", how="left_semi")
    rows = centroids.groupBy("cluster").agg(F.count("*").alias("customers"), means.alias("centroid")).collect()
    ordered = sorted(rows, key=lambda row: (-row["customers"], row["cluster"].encode()))
    return [
        Region(row["cluster"], str(number), row["customers"], tuple(row["centroid"]))
        for number, row in enumerate(ordered, start=1)
    ]


def _members(clustered: DataFrame, regions: list[Region], eps: float, min_points: int) -> DataFrame:
    rows = [(region.cluster, region.segment_id, list(region.centroid)) for region in regions]
    known = clustered.sparkSession.createDataFrame(rows, "cluster string, segment_id string, centroid array<double>")
    joined = clustered.join(F.broadcast(known), on="cluster", how="left")  # at most max_segments rows
    squares = F.zip_with("vector", "centroid", lambda a, b: (a - b) * (a - b))
    placed = F.col("segment_id").isNotNull()
    return joined.select(
        F.lit(NAME).alias("segmentation"),
        "customer_id",
        F.coalesce("segment_id", F.lit(NOISE)).alias("segment_id"),
        F.when(placed, F.sqrt(add_in_order(squares))).alias("distance"),
        F.when(placed, F.greatest(F.lit(0.0), 1 - F.col("core_distance") / eps)).alias("confidence"),
        _reason(placed, eps, min_points).alias("reason"),
    )


def _reason(placed: Column, eps: float, min_points: int) -> Column:
    within = f"at least {min_points} customers, the own one counted, within eps = {eps:.3g}"
    apart = F.format_string(
        f"border of a dense region: %.3g from the nearest core point, eps = {eps:.3g}", "core_distance"
    )
    return (
        F.when(placed & F.col("is_core"), F.lit(f"core point of a dense region: {within}"))
        .when(placed, apart)
        .when(F.col("cluster").isNotNull(), F.lit("noise: in a dense region too small to be a segment"))
        .otherwise(F.lit(f"noise: fewer than {min_points} customers within eps = {eps:.3g}, and no core point"))
    )


def _quality(
    points: DataFrame, members: DataFrame, eps: float, min_points: int, segments: int, noise: float
) -> list[tuple[str, str, float, bool]]:
    """The silhouette is of the customers in dense regions; there is none where these are fewer than two."""
    measures: dict[str, float | None] = {"min_points": min_points, "segments": segments, "noise_share": noise}
    if segments > 1:
        dense = members.where(F.col("segment_id") != NOISE)
        assigned = points.join(dense, on="customer_id", how="inner")
        labelled = with_features(assigned).withColumn("cluster", F.col("segment_id").cast("double"))
        measures["silhouette"] = ClusteringEvaluator(predictionCol="cluster", featuresCol="features").evaluate(labelled)
    rows = [(name, float(value)) for name, value in measures.items() if value is not None]
    return [(f"eps={eps:.6g}", name, value, True) for name, value in rows]


def _explain(settings: Dbscan, eps: float, min_points: int, clusters: int, segments: int, noise: float) -> str:
    origin = "set" if settings.eps else f"the knee of the {min_points}-distance curve"
    counted = f"{clusters} dense regions" if clusters != 1 else "1 dense region"
    fewer = f", the largest {segments} of them segments" if segments < clusters else ""
    advice = "; raise segments.dbscan.eps or lower min_points for more" if not clusters else ""
    return f"dbscan: eps={eps:.3g} ({origin}), min_points={min_points}: {counted}{fewer}, {noise:.1%} noise{advice}"
