"""How much each customer's events say about their taste for each item."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.settings.recommend import Recommend


def weigh_interactions(events: DataFrame, goods: DataFrame, settings: Recommend) -> DataFrame:
    """One row per customer and item of goods: customer_id, item_id, strength double > 0.

    strength = the sum over events of the type's weight, times the share of the units that was kept, times the rating where there is one.
    What sums to 0 or less is left out: MLlib's implicit ALS takes no dislike and can end in a singular matrix for it. `events` have
    `kept`, from 0 to 1.
    """
    known = events.where("customer_id IS NOT NULL AND item_id IS NOT NULL").join(goods, on="item_id", how="left_semi")
    weight = taste_weight(settings) * F.coalesce("rating", F.lit(1.0))
    summed = known.groupBy("customer_id", "item_id").agg(F.sum(weight).alias("strength"))
    return summed.where("strength > 0")


def taste_weight(settings: Recommend) -> Column:
    """How much one event says about taste: the weight of its type, times the share of its units that was `kept`."""
    if not settings.weights:
        return F.lit(settings.other_weight) * F.col("kept")
    weights = F.create_map(*(F.lit(part) for pair in sorted(settings.weights.items()) for part in pair))
    return F.coalesce(F.try_element_at(weights, F.col("event_type")), F.lit(settings.other_weight)) * F.col("kept")


def bought_items(events: DataFrame, types: Sequence[str]) -> DataFrame:
    """The different (customer_id, item_id) after which a customer has the item."""
    had = events.where(F.col("event_type").isin(list(types)))
    return had.where("customer_id IS NOT NULL AND item_id IS NOT NULL").select("customer_id", "item_id").distinct()
