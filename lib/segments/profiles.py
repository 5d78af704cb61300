"""What a segment is: its size, its means, and the features in which it differs from everyone."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def profile_segments(members: DataFrame, features: DataFrame, measures: Sequence[str]) -> DataFrame:
    """One row per segment: segmentation, segment_id, customers, share, revenue_share, means, distinctive.

    `members` has segmentation, segment_id, customer_id. z = (the segment's mean - everyone's mean) / everyone's standard deviation; a
    measure that is null for a customer counts for neither, a constant one has z = 0.
    """
    # measures may have any characters in their names, so columns are named by their place
    places = range(len(measures))
    numbers = [F.col(f"`{m.replace('`', '``')}`").cast("double").alias(f"m{i}") for i, m in enumerate(measures)]
    rows = members.select("segmentation", "segment_id", "customer_id").join(
        features.select("customer_id", "monetary", *numbers), on="customer_id", how="inner"
    )
    everyone = rows.groupBy("segmentation").agg(
        F.count("*").alias("all_customers"),
        F.sum("monetary").cast("double").alias("all_revenue"),
        *(F.mean(f"m{i}").alias(f"overall_{i}") for i in places),
        *(F.stddev_pop(f"m{i}").alias(f"spread_{i}") for i in places),
    )
    sized = rows.groupBy("segmentation", "segment_id").agg(
        F.count("*").alias("customers"),
        F.sum("monetary").cast("double").alias("revenue"),
        *(F.mean(f"m{i}").alias(f"mean_{i}") for i in places),
    )
    joined = sized.join(F.broadcast(everyone), on="segmentation", how="inner")  # one row per segmentation
    distinctive = F.array_sort(
        F.array(*(_distinctive(m, i) for i, m in enumerate(measures))),
        lambda a, b: F.when(F.abs(a.z) > F.abs(b.z), -1).when(F.abs(a.z) < F.abs(b.z), 1)
        .when(a.feature < b.feature, -1).when(a.feature > b.feature, 1).otherwise(0),
    )  # fmt: skip
    pairs = (part for i, m in enumerate(measures) for part in (F.lit(m), F.col(f"mean_{i}")))
    return joined.select(
        "segmentation", "segment_id", "customers",
        (F.col("customers") / F.col("all_customers")).alias("share"),
        (F.col("revenue") / F.when(F.col("all_revenue") != 0, F.col("all_revenue"))).alias("revenue_share"),
        F.map_filter(F.create_map(*pairs), lambda _, value: value.isNotNull()).alias("means"),
        F.filter(distinctive, lambda d: d.mean.isNotNull()).alias("distinctive"),
    )  # fmt: skip


def _distinctive(measure: str, place: int) -> Column:
    mean, overall, spread = (F.col(f"{part}_{place}") for part in ("mean", "overall", "spread"))
    z = F.coalesce((mean - overall) / F.when(spread > 0, spread), F.lit(0.0))
    return F.struct(F.lit(measure).alias("feature"), mean.alias("mean"), overall.alias("overall"), z.alias("z"))
