"""What a segment is: its size, its means, and the features in which it differs from everyone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

NOTABLE = 0.25
"""|z| from which a feature is worth a word in a segment's name."""


def profile_segments(members: DataFrame, features: DataFrame, measures: Sequence[str]) -> DataFrame:
    """One row per segment: segmentation, segment_id, customers, share, revenue_share, means, distinctive.

    `members` has segmentation, segment_id, customer_id. z = (the segment's mean - everyone's mean) / everyone's standard deviation; a
    measure that is null for a customer counts for neither, a constant one has z = 0.
    """
    rows = members.select("segmentation", "segment_id", "customer_id").join(
        features.select("customer_id", "monetary", *(F.col(m).cast("double").alias(f"_{m}") for m in measures)),
        on="customer_id",
        how="inner",
    )
    everyone = _everyone(rows, measures)
    sized = rows.groupBy("segmentation", "segment_id").agg(
        F.count("*").alias("customers"),
        F.sum("monetary").cast("double").alias("revenue"),
        *(F.mean(f"_{m}").alias(f"mean_{m}") for m in measures),
    )
    joined = sized.join(F.broadcast(everyone), on="segmentation", how="inner")  # one row per segmentation
    distinctive = F.array_sort(
        F.array(*(_distinctive(m) for m in measures)),
        lambda a, b: F.when(F.abs(a.z) > F.abs(b.z), -1).when(F.abs(a.z) < F.abs(b.z), 1)
        .when(a.feature < b.feature, -1).when(a.feature > b.feature, 1).otherwise(0),
    )  # fmt: skip
    means = F.map_filter(
        F.create_map(*(part for m in measures for part in (F.lit(m), F.col(f"mean_{m}")))), lambda _, v: v.isNotNull()
    )
    return joined.select(
        "segmentation", "segment_id", "customers",
        (F.col("customers") / F.col("all_customers")).alias("share"),
        (F.col("revenue") / F.when(F.col("all_revenue") != 0, F.col("all_revenue"))).alias("revenue_share"),
        means.alias("means"),
        F.filter(distinctive, lambda d: d.mean.isNotNull()).alias("distinctive"),
    )  # fmt: skip


def _everyone(rows: DataFrame, measures: Sequence[str]) -> DataFrame:
    return rows.groupBy("segmentation").agg(
        F.count("*").alias("all_customers"),
        F.sum("monetary").cast("double").alias("all_revenue"),
        *(F.mean(f"_{m}").alias(f"overall_{m}") for m in measures),
        *(F.stddev_pop(f"_{m}").alias(f"spread_{m}") for m in measures),
    )


def _distinctive(measure: str) -> Column:
    mean, overall, spread = (F.col(f"{part}_{measure}") for part in ("mean", "overall", "spread"))
    z = F.coalesce((mean - overall) / F.when(spread > 0, spread), F.lit(0.0))
    return F.struct(F.lit(measure).alias("feature"), mean.alias("mean"), overall.alias("overall"), z.alias("z"))


def name_segments(profiles: DataFrame, given: Mapping[str, Mapping[str, str]]) -> DataFrame:
    """Add `segment_name`: the given one, else the two features that stand out most in words; unique within a segmentation.

    `given` is segmentation → segment_id → name.
    """
    notable = F.slice(F.filter("distinctive", lambda d: F.abs(d.z) >= NOTABLE), 1, 2)
    words = F.transform(
        notable, lambda d: F.concat(F.when(d.z > 0, "high ").otherwise("low "), F.translate(d.feature, "_", " "))
    )
    described = F.when(F.size(words) > 0, F.array_join(words, ", ")).otherwise(F.lit("average"))
    pairs = [(s, i, n) for s, names in given.items() for i, n in names.items()]
    named = profiles.sparkSession.createDataFrame(pairs, "segmentation string, segment_id string, given string")
    joined = profiles.join(F.broadcast(named), on=["segmentation", "segment_id"], how="left")
    chosen = joined.withColumn("segment_name", F.coalesce("given", described)).drop("given")
    twins = F.count("*").over(Window.partitionBy("segmentation", "segment_name"))  # one row per segment: small
    return chosen.withColumn(
        "segment_name",
        F.when(twins > 1, F.concat("segment_name", F.lit(" ("), "segment_id", F.lit(")"))).otherwise(
            F.col("segment_name")
        ),
    )
