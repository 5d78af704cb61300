"""Rows of customer_segments and segment_profiles, from members and clusterings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.segments.profiles import name_segments, profile_segments
from lib.segments.segmentation import OUTLIERS, Segmentation
from lib.segments.tree_inputs import SegmentRule
from lib.tables import contract

PROFILED = ("recency_days", "frequency", "monetary", "tenure_days", "items", "average_order_value", "return_rate")
"""Measures that every profile shows, beside the features that made the segments."""

EXTRA = (
    "segmentation string, segment_id string, parent_id string, rule string, rule_precision double, rule_recall double, "
    "target_rate double, target_low double, target_high double"
)


def publish_profiles(
    members: DataFrame,
    features: DataFrame,
    clustered_on: Sequence[str],
    clusterings: Sequence[Segmentation],
    named: Mapping[str, str],
    rules: Sequence[SegmentRule] = (),
) -> DataFrame:
    """Rows of segment_profiles. `named` are the RFM segments and their conditions, `rules` what trees tell of the others."""
    measures = list(dict.fromkeys([*clustered_on, *PROFILED]))
    profiles = profile_segments(members, features, measures)
    given = {"rfm": {name: name for name in named}, **{c.name: {OUTLIERS: OUTLIERS} for c in clusterings}}
    for rule in rules:
        if rule.name:
            given.setdefault(rule.segmentation, {})[rule.segment_id] = rule.name
    profiles = name_segments(profiles, given)
    parents = {(c.name, segment_id): node.parent_id for c in clusterings for node, segment_id in c.tree if segment_id}
    # an RFM segment is its condition
    known = [SegmentRule("rfm", name, condition, 1.0, 1.0) for name, condition in named.items()] + list(rules)
    told = {(rule.segmentation, rule.segment_id): rule for rule in known}
    rows = [_told(key, parents.get(key), told.get(key)) for key in sorted({*told, *parents})]
    extra = profiles.sparkSession.createDataFrame(rows, EXTRA)
    joined = profiles.join(F.broadcast(extra), on=["segmentation", "segment_id"], how="left")
    return joined.select(contract("segment_profiles").column_names)


def _told(key: tuple[str, str], parent: str | None, rule: SegmentRule | None) -> tuple[str | float | None, ...]:
    if rule is None:
        return (*key, parent, None, None, None, None, None, None)
    measured = (rule.precision, rule.recall, rule.target_rate, rule.target_low, rule.target_high)
    return (*key, parent, rule.rule, *measured)


def explain_members(members: DataFrame, profiles: DataFrame) -> DataFrame:
    """Rows of customer_segments: each member with its segment's name and why it is there.

    `members` have `meets_rule` (lib.segments.description.mark_rules_met).
    """
    names = profiles.select("segmentation", "segment_id", "segment_name", "rule")
    joined = members.join(F.broadcast(names), on=["segmentation", "segment_id"], how="inner")  # one row per segment
    apart = F.lit("set aside: a value beyond the limits in vector_parameters")
    nearest = F.concat(F.lit("nearest to the centre of: "), "segment_name")
    under = F.concat(F.lit("the splits of the tree lead to: "), "segment_name")
    though = F.when(F.col("rule").isNotNull(), F.lit(", though the segment's rule says otherwise")).otherwise("")
    reason = (
        F.when(F.col("rule") == "true", F.lit("all customers are in it"))
        .when(F.col("rule").isNotNull() & F.col("meets_rule"), F.concat(F.lit("meets: "), "rule"))
        .when(F.col("segment_id") == OUTLIERS, apart)
        .when(F.col("segmentation") == "bisecting", F.concat(under, though))
        .otherwise(F.concat(nearest, though))
    )
    return joined.withColumn("reason", reason).select(contract("customer_segments").column_names)
