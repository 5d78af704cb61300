"""Orders as sets of items."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def make_baskets(events: DataFrame, items: DataFrame, event_types: Sequence[str], is_goods: str) -> DataFrame:
    """One row per order that holds goods: basket_id, items array<string>, each once. Anonymous orders count like any other.

    `events` have a basket_id; those without one belong to no order.
    """
    goods = items.where(is_goods).select("item_id")
    lines = events.where("item_id IS NOT NULL AND basket_id IS NOT NULL").where(
        F.col("event_type").isin(list(event_types))
    )
    sold = lines.select("basket_id", "item_id").distinct().join(goods, on="item_id", how="left_semi")
    return sold.groupBy("basket_id").agg(F.collect_set("item_id").alias("items"))
