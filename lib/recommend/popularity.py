"""What is popular: the answer for customers about whom nothing is known."""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def count_popularity(events: DataFrame, as_of: date, days: int) -> DataFrame:
    """One row per item: item_id, buyers bigint, recent_buyers bigint.

    Buyers are different customers, or orders where the customer is not known; recent ones within `days` before the as-of date. Events
    without a clock are always recent.
    """
    counted = events.where("item_id IS NOT NULL")
    recent = is_recent(as_of, days)
    buyer = F.coalesce("customer_id", "order_id", "session_id", "event_id")
    return counted.groupBy("item_id").agg(
        F.count_distinct(buyer).alias("buyers"), F.count_distinct(F.when(recent, buyer)).alias("recent_buyers")
    )


def is_recent(as_of: date, days: int) -> Column:
    """Of an event: within `days` before the as-of date, or without a clock."""
    return F.col("event_time").isNull() | (F.col("event_time") >= F.lit(as_of - timedelta(days=days)))


def popularity_scores(popularity: DataFrame, *groups: str) -> DataFrame:
    """The columns `groups`, item_id, score double: recent buyers, and below 1 a fraction of all buyers, which decides between equals."""
    fraction = F.col("buyers") / (F.col("buyers") + 1.0)
    return popularity.select(*groups, "item_id", (F.col("recent_buyers") + fraction).cast("double").alias("score"))
