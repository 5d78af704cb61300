"""What each list is chosen from, out of what the models offer: a blend where there is history, what is popular where there is none."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from lib.recommend.blends import Blend
from lib.recommend.group_popularity import IN_GROUP
from lib.settings.recommend import Recommend

Note = Callable[[str], None]

POPULAR = "popular"


def recommend(
    candidates: DataFrame, scored: DataFrame, everyone: DataFrame, blend: Blend, wanted: Recommend, note: Note
) -> DataFrame:
    """Rows of recommendations, `new` and `history`, for every customer of `everyone` (customer_id, history).

    scored: what lib.recommend.blends.score_items makes of the candidates of those with a history.
    """
    cold = everyone.where("history = 0")
    note(f"{cold.count():,} customers without history get what is popular")
    popular = _for_newcomers(candidates.join(cold, on="customer_id", how="left_semi"), wanted)
    blended = take_best(scored, wanted).withColumn("model", F.lit(blend.name))
    columns = ("customer_id", "rank", "item_id", "score", "model", "reason", "reasons", "new")
    listed = blended.select(*columns).unionByName(popular.withColumn("new", F.lit(False)).select(*columns))
    return listed.join(everyone, on="customer_id", how="inner")


def _for_newcomers(candidates: DataFrame, wanted: Recommend) -> DataFrame:
    """What is popular in a newcomer's group, and from there on among everybody; the score is then that of the rank alone."""
    offered = candidates.where(F.col("model").isin(IN_GROUP, POPULAR))
    everybody = F.col("model") == POPULAR
    nearest = Window.partitionBy("customer_id", "item_id").orderBy(everybody)
    once = offered.withColumn("nth", F.row_number().over(nearest)).where("nth = 1")
    best = Window.partitionBy("customer_id").orderBy(everybody, "rank")
    in_group = F.max(~everybody).over(Window.partitionBy("customer_id"))
    place = F.row_number().over(best)
    ranked = once.withColumns({"grouped": in_group, "place": place}).where(F.col("place") <= wanted.depth)
    by_place = 1 / (F.lit(wanted.fusion_constant) + F.col("place"))
    score = F.when(F.col("grouped"), by_place).otherwise(F.col("score"))
    return ranked.withColumns({"rank": F.col("place"), "score": score})


def take_best(scored: DataFrame, wanted: Recommend) -> DataFrame:
    """`scored` with its rank: the best `depth` items of each customer, and of those that are new as many as have places, however low."""
    best = Window.partitionBy("customer_id").orderBy(F.desc("score"), "item_id")
    rank = F.row_number().over(best)
    nth_new = F.count_if("new").over(best.rowsBetween(Window.unboundedPreceding, Window.currentRow))
    ranked = scored.withColumns({"rank": rank, "nth_new": nth_new})
    kept = (F.col("rank") <= wanted.depth) | (F.col("new") & (F.col("nth_new") <= wanted.new_item_places))
    return ranked.where(kept)
