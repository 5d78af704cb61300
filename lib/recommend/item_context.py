"""When, where and on what items are chosen more or less than others.

lift = (n + prior · p) / ((N + prior) · p) with n of an item's N choices in a context that p of all choices were made in: towards 1 where
there is little to go by. Published where the count is unlikely by chance, |n - N·p| ≥ z · √(N·p·(1 - p)). Cost at 10⁸ events: one
aggregation by item and context of a row per event and dimension, most of which is done before the shuffle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.methods.clocks import local_time
from lib.settings.recommend import Recommend

PLACES = ("country", "region", "city", "device", "channel")


def lift_contexts(
    liked: DataFrame, zones: Mapping[str, str], properties: Sequence[str], settings: Recommend
) -> DataFrame:
    """Rows of item_context from the events that show a taste. `zones`: source → the clock its hours and weekdays are told by."""
    local = local_time(zones)
    values = {"hour": F.hour(local), "weekday": F.weekday(local) + 1} | {name: F.col(name) for name in PLACES}
    values |= {name: F.try_element_at("properties", F.lit(name)) for name in properties}
    pairs = [
        F.struct(F.lit(name).alias("dimension"), value.cast("string").alias("value")) for name, value in values.items()
    ]
    chosen = liked.where("item_id IS NOT NULL").select("item_id", F.inline(F.array(*pairs))).where("value IS NOT NULL")
    counted = chosen.groupBy("item_id", "dimension", "value").agg(F.count("*").alias("events"))
    shared = counted.groupBy("dimension", "value").agg(F.sum("events").alias("here"))
    alls = shared.groupBy("dimension").agg(F.sum("here").alias("everywhere"))
    shares = shared.join(alls, on="dimension", how="inner").withColumn("p", F.col("here") / F.col("everywhere"))
    of_item = counted.groupBy("item_id", "dimension").agg(F.sum("events").alias("total"))
    known = counted.join(of_item, on=["item_id", "dimension"], how="inner")
    # as many as contexts
    joined = known.join(F.broadcast(shares.select("dimension", "value", "p")), on=["dimension", "value"], how="inner")
    expected = F.col("total") * F.col("p")
    unlikely = F.abs(F.col("events") - expected) >= settings.context_z * F.sqrt(expected * (1 - F.col("p")))
    prior = F.lit(settings.context_prior)
    lift = (F.col("events") + prior * F.col("p")) / ((F.col("total") + prior) * F.col("p"))
    told = joined.where(unlikely & (F.col("p") < 1))
    return told.select(
        "item_id", "dimension", "value", "events", (F.col("events") / F.col("total")).alias("share"), lift.alias("lift")
    )
