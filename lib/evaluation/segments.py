"""How good segmentations are: what their choice was made by, and how far apart their segments are in what they spend.

revenue_separation = η² = Σ_s n_s (m_s - m)² / Σ_c (x_c - m)², the share of the customers' differences in spend x that lies between segments
of mean m_s, about the overall mean m (Fisher 1925); 0: none. silhouette and stability are those of segmentation_quality.
Cost: one aggregation of the customers by segment.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

SEPARATION = "revenue_separation"


def measure_segments(segments: DataFrame, features: DataFrame, quality: DataFrame) -> DataFrame:
    """model (segments:NAME), metric, value, customers. Rows of customer_segments, customer_features and segmentation_quality."""
    spend = features.select("customer_id", F.col("monetary").cast("double").alias("spend")).where("spend IS NOT NULL")
    joined = segments.select("segmentation", "segment_id", "customer_id").join(spend, on="customer_id", how="inner")
    each = joined.groupBy("segmentation", "segment_id").agg(
        F.count("*").alias("n"), F.avg("spend").alias("mean"), (F.var_pop("spend") * F.count("*")).alias("within")
    )
    told = each.groupBy("segmentation").agg(
        F.sum("n").alias("customers"), F.sum("within").alias("within"),
        (F.sum(F.col("n") * F.col("mean") ** 2) - F.sum(F.col("n") * F.col("mean")) ** 2 / F.sum("n")).alias("between"),
    )  # fmt: skip
    value = F.try_divide(F.col("between"), F.col("between") + F.col("within"))
    separation = told.select("segmentation", F.lit(SEPARATION).alias("metric"), value.alias("value"), "customers")
    chosen = quality.where("chosen").where(F.col("metric").isin("silhouette", "stability"))
    kept = chosen.select("segmentation", "metric", "value").join(
        told.select("segmentation", "customers"), on="segmentation", how="inner"
    )
    rows = separation.unionByName(kept).where("value IS NOT NULL AND NOT isnan(value)")
    return rows.select(F.concat(F.lit("segments:"), "segmentation").alias("model"), "metric", "value", "customers")
