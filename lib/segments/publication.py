"""Rows of customer_segments and segment_profiles, from members, profiles and clusterings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from lib.segments.density_segments import NAME, NOISE
from lib.segments.naming import Facts, name_segments
from lib.segments.segmentation import OUTLIERS, Segmentation
from lib.segments.tree_inputs import SegmentRule
from lib.tables import contract

PROFILED = (
    "recency_days", "frequency", "monetary", "tenure_days", "items", "average_order_value", "return_rate",
    "p_alive", "expected_purchases", "lifetime_value",
)  # fmt: skip
"""Measures that every profile shows, beside the features that made the segments."""

EXTRA = (
    "segmentation string, segment_id string, segment_name string, parent_id string, rule string, rule_precision double, "
    "rule_recall double, target_rate double, target_low double, target_high double"
)

STAGES = ("prospect", "new", "active", "at_risk", "dormant", "churned", "won_back")
"""The segments by stage of the life cycle, which are their own names."""

Key = tuple[str, str]
"""Segmentation and segment id."""


def measures_of(clustered_on: Sequence[str]) -> list[str]:
    """What profiles show the means of."""
    return list(dict.fromkeys([*clustered_on, *PROFILED]))


def publish_profiles(
    profiles: DataFrame,
    clusterings: Sequence[Segmentation],
    defined: Mapping[Key, str | None],
    rules: Sequence[SegmentRule],
    kept: Mapping[Key, str],
) -> DataFrame:
    """Rows of segment_profiles.

    profiles: of `profile_segments`, with the highlights; staged. defined: segments that are their name, and their condition in SQL.
    rules: what trees tell of the others. kept: names of the last release. One row per segment comes to the driver, to be named.
    """
    given = (
        {key: key[1] for key in defined} | {(NAME, NOISE): NOISE} | {(c.name, OUTLIERS): OUTLIERS for c in clusterings}
    )
    given |= {(r.segmentation, r.segment_id): r.name for r in rules if r.name}
    rows = profiles.select("segmentation", "segment_id", "customers", "distinctive", "context", "means").collect()
    facts = [_facts(row) for row in rows]
    there = {(fact.segmentation, fact.segment_id) for fact in facts}
    names = name_segments(facts, {key: name for key, name in {**kept, **given}.items() if key in there})
    parents = {(c.name, s): node.parent_id for c in clusterings for node, s in reversed(c.tree) if s}
    # a segment that is a condition meets it by definition
    known = [SegmentRule(*key, condition, 1.0, 1.0) for key, condition in defined.items() if condition] + list(rules)
    told = {(rule.segmentation, rule.segment_id): rule for rule in known}
    extra = [_told(key, names[key], parents.get(key), told.get(key)) for key in sorted(there)]
    joined = profiles.join(
        F.broadcast(profiles.sparkSession.createDataFrame(extra, EXTRA)), on=["segmentation", "segment_id"], how="left"
    )
    return joined.select(contract("segment_profiles").column_names)


def _facts(row: Row) -> Facts:
    return Facts(
        row["segmentation"],
        row["segment_id"],
        row["customers"],
        [(d["feature"], d["z"]) for d in row["distinctive"]],
        [(c["dimension"], c["value"], c["share"], c["lift"]) for c in row["context"] or []],
        row["means"].get("frequency", 0.0) > 0,
    )


def _told(key: Key, name: str, parent: str | None, rule: SegmentRule | None) -> tuple[str | float | None, ...]:
    if rule is None:
        return (*key, name, parent, None, None, None, None, None, None)
    measured = (rule.precision, rule.recall, rule.target_rate, rule.target_low, rule.target_high)
    return (*key, name, parent, rule.rule, *measured)


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
        F.when(F.col("reason").isNotNull(), F.col("reason"))
        .when(F.col("rule") == "true", F.lit("all customers are in it"))
        .when(F.col("rule").isNotNull() & F.col("meets_rule"), F.concat(F.lit("meets: "), "rule"))
        .when(F.col("segment_id") == OUTLIERS, apart)
        .when(F.col("node_id").isNotNull(), F.concat(under, though))
        .otherwise(F.concat(nearest, though))
    )
    return joined.withColumn("reason", reason).select(contract("customer_segments").column_names)
