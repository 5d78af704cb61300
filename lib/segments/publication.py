"""Rows of customer_segments and segment_profiles, from members and clusterings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.segments.density_segments import NAME, NOISE
from lib.segments.profiles import name_segments, profile_segments
from lib.segments.segmentation import Segmentation
from lib.tables import contract

PROFILED = ("recency_days", "frequency", "monetary", "tenure_days", "items", "average_order_value", "return_rate")
"""Measures that every profile shows, beside the features that made the segments."""


def publish_profiles(
    members: DataFrame,
    features: DataFrame,
    clustered_on: Sequence[str],
    clusterings: Sequence[Segmentation],
    named: Mapping[str, str],
) -> DataFrame:
    """Rows of segment_profiles. `named` are the RFM segments and their conditions."""
    measures = list(dict.fromkeys([*clustered_on, *PROFILED]))
    profiles = profile_segments(members, features, measures)
    profiles = name_segments(profiles, {"rfm": {name: name for name in named}, NAME: {NOISE: NOISE}})
    parents = {(c.name, segment_id): node.parent_id for c in clusterings for node, segment_id in c.tree if segment_id}
    known: list[tuple[str, str, str | None, str | None]] = [
        ("rfm", name, None, condition) for name, condition in named.items()
    ]
    known += [(name, segment_id, parent, None) for (name, segment_id), parent in parents.items()]
    schema = "segmentation string, segment_id string, parent_id string, rule string"
    extra = profiles.sparkSession.createDataFrame(known, schema)
    joined = profiles.join(F.broadcast(extra), on=["segmentation", "segment_id"], how="left")
    return joined.select(contract("segment_profiles").column_names)


def explain_members(members: DataFrame, profiles: DataFrame) -> DataFrame:
    """Rows of customer_segments: each member with its segment's name and why it is there."""
    names = profiles.select("segmentation", "segment_id", "segment_name", "rule")
    joined = members.join(F.broadcast(names), on=["segmentation", "segment_id"], how="inner")  # one row per segment
    own = F.col("reason") if "reason" in members.columns else F.lit(None).cast("string")
    nearest = F.concat(F.lit("nearest to the centre of: "), "segment_name")
    under = F.concat(F.lit("the splits of the tree lead to: "), "segment_name")
    reason = (
        F.when(own.isNotNull(), own)
        .when(F.col("rule").isNotNull(), F.concat(F.lit("meets: "), "rule"))
        .when(F.col("segmentation") == "bisecting", under)
        .otherwise(nearest)
    )
    return joined.withColumn("reason", reason).select(contract("customer_segments").column_names)
