"""What has become of the rules since the release before."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.tables.rules import RULE_KEY


@dataclass(frozen=True)
class Told:
    """The rules of one release, and which scopes it mined."""

    rules: DataFrame
    """association_rules."""
    floors: DataFrame
    """mining_floors: has every scope that was mined, also one without a rule."""


def compare_rules(before: Told | None, now: Told, min_change: float) -> DataFrame:
    """Rows of rule_changes: rules that are new, gone, up or down, of the scopes that were mined both times.

    up and down: the lift has changed by `min_change` of what it was, or more. The first release has nothing to compare with.
    """
    lifts = now.rules.select(*RULE_KEY, F.col("lift").alias("lift_now"))
    if before is None:
        return _told(lifts.withColumn("lift_before", F.lit(None).cast("double")).limit(0), min_change)
    old = before.rules.select(*RULE_KEY, F.col("lift").alias("lift_before"))
    both = before.floors.select("scope").distinct().join(now.floors.select("scope").distinct(), on="scope", how="inner")
    joined = old.join(lifts, on=list(RULE_KEY), how="full_outer")
    return _told(joined.join(F.broadcast(both), on="scope", how="left_semi"), min_change)  # a row per scope


def _told(joined: DataFrame, min_change: float) -> DataFrame:
    # 2.4 / 2 - 1 is a little less than 0.2 in doubles
    relative = F.round(F.when(F.col("lift_before") > 0, F.col("lift_now") / F.col("lift_before") - 1), 12)
    change = (
        F.when(F.col("lift_before").isNull(), "new")
        .when(F.col("lift_now").isNull(), "gone")
        .when((relative >= min_change) & (relative > 0), "up")
        .when((relative <= -min_change) & (relative < 0), "down")
    )
    told = joined.select(
        *RULE_KEY, change.alias("change"), "lift_before", "lift_now", relative.alias("relative_change")
    )
    return told.where("change IS NOT NULL")
