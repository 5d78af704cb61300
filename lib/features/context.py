"""When, where and on what customers act: their shares against everybody's, and the best time and channel to reach them.

share = a customer's events with the value ÷ their events with any value of the dimension; lift = that share ÷ the same of all events.
`counted` is customer_id, dimension, value, events, total of every person, as `persons.known_contexts` makes it.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.settings.customers import Context

KEY = ("dimension", "value")


def find_crowd(counted: DataFrame) -> DataFrame:
    """dimension, value, crowd_share: of all events with any value of the dimension."""
    return _shares(counted.groupBy(*KEY).agg(F.sum("events").alias("events")), "dimension").select(
        *KEY, F.col("share").alias("crowd_share")
    )


def describe_context(counted: DataFrame, crowd: DataFrame) -> DataFrame:
    """Rows of customer_context."""
    share = F.col("events") / F.col("total")
    joined = counted.withColumn("share", share).join(crowd, on=list(KEY), how="inner")
    return joined.select("customer_id", *KEY, "events", "share", (F.col("share") / F.col("crowd_share")).alias("lift"))


def find_best_contact(everyone: DataFrame, counted: DataFrame, crowd: DataFrame, settings: Context) -> DataFrame:
    """Rows of best_contact: the own most frequent value of everyone (customer_id) with enough evidence, else the crowd's.

    Ties go to the smallest value. A dimension that no event knows has no rows.
    """
    asked = F.col("dimension").isin(settings.contact_dimensions)
    answers = crowd.where(asked).groupBy("dimension").agg(_most("value", "crowd_share").alias("everybodys"))
    often = F.min(F.struct((-F.col("events")).alias("less"), "value")).alias("often")
    own = counted.where(asked).groupBy("customer_id", "dimension").agg(F.max("total").alias("evidence"), often)
    joined = everyone.crossJoin(F.broadcast(answers)).join(own, on=["customer_id", "dimension"], how="left")
    evidence = F.coalesce("evidence", F.lit(0)).cast("bigint")
    enough = evidence >= settings.contact_evidence
    return joined.select(
        "customer_id",
        "dimension",
        F.when(enough, F.col("often.value")).otherwise(F.col("everybodys.value")).alias("value"),
        F.when(enough, -F.col("often.less") / evidence).otherwise(F.col("everybodys.share")).alias("share"),
        evidence.alias("evidence"),
        F.when(enough, F.lit("own")).otherwise(F.lit("crowd")).alias("basis"),
    )


def describe_groups(context: DataFrame, members: DataFrame) -> DataFrame:
    """Rows of segment_context from customer_context and customer_segments: the events of a segment's customers against all."""
    crowd = find_crowd(context)
    group = ["segmentation", "segment_id"]
    counted = (
        members.select("customer_id", *group)
        .join(context, on="customer_id", how="inner")
        .groupBy(*group, *KEY)
        .agg(F.count("*").alias("customers"), F.sum("events").alias("events"))
    )
    shared = _shares(counted, *group, "dimension").join(crowd, on=list(KEY), how="inner")
    return shared.select(
        *group, *KEY, "customers", "events", "share", (F.col("share") / F.col("crowd_share")).alias("lift")
    )


def _shares(counted: DataFrame, *group: str) -> DataFrame:
    """Add `share` of the events of the group. There are few rows: values, not customers."""
    totals = counted.groupBy(*group).agg(F.sum("events").alias("total"))
    joined = counted.join(totals, on=list(group), how="inner")
    return joined.withColumn("share", F.col("events") / F.col("total")).drop("total")


def _most(value: str, share: str) -> Column:
    """The value of the greatest share, ties by the smallest: a struct of value and share."""
    found = F.min(F.struct((-F.col(share)).alias("less"), F.col(value).alias("value")))
    return F.struct(found["value"].alias("value"), (-found["less"]).alias("share"))
