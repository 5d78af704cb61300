"""Which items may be offered at all."""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def eligible_items(items: DataFrame, is_goods: str, as_of: date) -> DataFrame:
    """item_id and title of goods that are in stock and available on the as-of date; what is not known counts as yes."""
    today = F.lit(as_of).cast("timestamp")
    goods = items.where(is_goods).where(F.coalesce("in_stock", F.lit(True)))
    begun = F.col("available_from").isNull() | (F.col("available_from") <= today)
    not_over = F.col("available_until").isNull() | (F.col("available_until") > today)
    return goods.where(begun & not_over).select("item_id", "title")


def new_items(items: DataFrame, events: DataFrame, as_of: date, days: int) -> DataFrame:
    """item_id of items that are first available, or else first met in an event, within `days` before the as-of date, or never met."""
    first = events.groupBy("item_id").agg(F.min("event_time").alias("first"))
    since = F.coalesce("available_from", "first", F.lit(as_of).cast("timestamp"))
    met = items.join(first, on="item_id", how="left")
    return met.where(since >= F.lit(as_of - timedelta(days=days)).cast("timestamp")).select("item_id")
