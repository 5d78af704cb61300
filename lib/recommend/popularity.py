"""What is popular: the answer for customers about whom nothing is known."""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def count_popularity(events: DataFrame, as_of: date, days: int) -> DataFrame:
    """One row per item: item_id, buyers bigint, recent_buyers bigint.

    Buyers are different customers, or orders where the customer is not known; recent ones within `days` before the as-of date. Events
    without a clock are always recent.
    """
    counted = events.where("item_id IS NOT NULL")
    since = F.lit(as_of - timedelta(days=days))
    recent = F.col("event_time").isNull() | (F.col("event_time") >= since)
    buyer = F.coalesce("customer_id", "order_id", "session_id", "event_id")
    return counted.groupBy("item_id").agg(
        F.count_distinct(buyer).alias("buyers"), F.count_distinct(F.when(recent, buyer)).alias("recent_buyers")
    )


def popularity_scores(popularity: DataFrame) -> DataFrame:
    """item_id, score double: recent buyers, and as a fraction below 1 all buyers, which so decide only between equals."""
    fraction = F.col("buyers") / (F.col("buyers") + 1.0)
    return popularity.select("item_id", (F.col("recent_buyers") + fraction).cast("double").alias("score"))
