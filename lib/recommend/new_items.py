"""New items for customers without history: nothing of theirs says which would fit, so those that most others have come to already."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from lib.recommend.blends import NEW_ITEMS
from lib.recommend.popularity import popularity_scores
from lib.recommend.reasons import explained


def offer_new_items(
    newcomers: DataFrame, new: DataFrame, eligible: DataFrame, popularity: DataFrame, seen: DataFrame | None, most: int
) -> DataFrame:
    """Rows of candidates: for each of `newcomers` (customer_id) the `most` best of the eligible items in `new` (item_id).

    The score is that of `popular`, 0 for what nobody has yet; ties go by id.
    """
    counted = popularity.join(popularity_scores(popularity), on="item_id", how="inner")
    found = eligible.join(new, on="item_id", how="left_semi").join(counted, on="item_id", how="left")
    offered = found.select(
        "item_id", F.coalesce("score", F.lit(0.0)).alias("score"), F.coalesce("buyers", F.lit(0)).alias("buyers")
    )
    # as many as there are new items: one part is enough
    best = offered.withColumn("rank", F.row_number().over(Window.orderBy(F.desc("score"), "item_id")))
    rows = newcomers.select("customer_id").crossJoin(F.broadcast(best.where(F.col("rank") <= most)))
    unseen = rows if seen is None else rows.join(seen, on=["customer_id", "item_id"], how="left_anti")
    text = F.when(F.col("buyers") > 0, F.concat(F.lit("new: "), "buyers", F.lit(" buyers so far"))).otherwise(
        F.lit("new, and nobody has it yet")
    )
    return explained(unseen, NEW_ITEMS, "popularity", text)
