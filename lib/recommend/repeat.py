"""A customer's own items that are due again by their rhythm: for shops where people rebuy.

With n gaps between the days on which a customer bought an item, m their median, and c the median gap of all who rebuy the item, the usual
gap is g = (n·m + k·c) / (n + k), k = repeat.prior_gaps: a short rhythm of one's own leans on the crowd's. With r = days since the last
purchase / g, an item is due from repeat.due_from to repeat.due_until, and scores min(r, 1/r): 1 on the day, less before and after.
Items bought on one day only have no rhythm. Returned units count for nothing. Cost at 10⁸ events: one aggregation to customer, item and
day, one window over it and one aggregation per item.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from lib.recommend.reasons import explained
from lib.settings.recommend import Repeat

REPEAT = "repeat"


def offer_again(
    events: DataFrame, types: Sequence[str], eligible: DataFrame, as_of: date, settings: Repeat, top_n: int
) -> DataFrame:
    """Rows of candidates: at most `top_n` of each customer's own items. `events` have `kept`."""
    bought = events.where(F.col("event_type").isin(list(types))).where("kept > 0 AND event_time IS NOT NULL")
    known = bought.where("customer_id IS NOT NULL AND item_id IS NOT NULL")
    days = known.select("customer_id", "item_id", F.to_date("event_time").alias("day")).distinct()
    earlier = F.lag("day").over(Window.partitionBy("customer_id", "item_id").orderBy("day"))
    gaps = days.withColumn("gap", F.date_diff("day", earlier))
    rhythms = gaps.groupBy("customer_id", "item_id").agg(
        F.count("gap").alias("gaps"), F.median("gap").alias("own"), F.max("day").alias("last")
    )
    crowd = gaps.where("gap IS NOT NULL").groupBy("item_id").agg(F.median("gap").alias("crowd"))
    met = rhythms.where("gaps > 0").join(crowd, on="item_id", how="inner")
    prior = F.lit(settings.prior_gaps)
    usual = (F.col("gaps") * F.col("own") + prior * F.col("crowd")) / (F.col("gaps") + prior)
    due = met.withColumn("usual", usual).withColumn("since", F.date_diff(F.lit(as_of), "last"))
    ratio = F.col("since") / F.col("usual")
    now = due.where((ratio >= settings.due_from) & (ratio <= settings.due_until))
    scored = now.withColumn("score", F.least(ratio, 1 / ratio)).join(
        eligible.select("item_id"), on="item_id", how="left_semi"
    )
    order = Window.partitionBy("customer_id").orderBy(F.desc("score"), F.desc("gaps"), "item_id")
    best = scored.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= top_n)
    text = F.format_string(
        "due again: usually bought every %d days, last %d days ago",
        F.round("usual").cast("int"), "since",
    )  # fmt: skip
    return explained(best, REPEAT, "rhythm", text)
