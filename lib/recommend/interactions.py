"""How much each customer's events say about their taste for each item."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.settings.recommend import Recommend


def weigh_interactions(events: DataFrame, goods: DataFrame, settings: Recommend, as_of: date) -> DataFrame:
    """One row per customer and item of goods: customer_id, item_id, strength double > 0.

    Implicit feedback: strength = the sum over events of the type's weight · the share of the units that was kept · units^quantity_power ·
    the rating where there is one · 2^(-age / half_life_days), age in days before the as-of date (0 without a clock). Explicit feedback:
    the rating, the newest (ties by event id) or the mean, of the events whose type has a weight above 0.
    What comes to 0 or less, or is no number, is left out: MLlib's implicit ALS takes no dislike and can end in a singular matrix for it.
    `events` have `kept`, from 0 to 1.
    """
    known = events.where("customer_id IS NOT NULL AND item_id IS NOT NULL").join(goods, on="item_id", how="left_semi")
    if settings.feedback == "explicit":
        known, strength = known.where("rating IS NOT NULL").where(taste_weight(settings) > 0), _rating(settings)
    else:
        strength = F.sum(_said(settings, as_of))
    told = known.groupBy("customer_id", "item_id").agg(strength.alias("strength"))
    # Spark holds NaN for larger than any number
    return told.where("strength > 0 AND strength < double('Infinity')")


def _rating(settings: Recommend) -> Column:
    return F.avg("rating") if settings.rating_of == "mean" else F.max_by("rating", F.struct("event_time", "event_id"))


def _said(settings: Recommend, as_of: date) -> Column:
    """What one event says of the taste for its item."""
    said = taste_weight(settings) * F.coalesce("rating", F.lit(1.0))
    if settings.quantity_power:
        said *= F.pow(F.coalesce("quantity", F.lit(1.0)), F.lit(settings.quantity_power))
    if settings.half_life_days:
        seconds = F.lit(as_of).cast("timestamp").cast("double") - F.col("event_time").cast("double")
        said *= F.pow(F.lit(0.5), F.coalesce(seconds, F.lit(0.0)) / F.lit(86400.0 * settings.half_life_days))
    return said


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
