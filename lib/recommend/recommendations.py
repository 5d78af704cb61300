"""What each list is chosen from, out of what the models offer: fused where there is history, what is popular where there is none.

Reciprocal-rank fusion (Cormack, Clarke and Buettcher 2009): score = Σ over models of weight / (constant + rank). Only ranks count, so the
models' scores need no common scale. Cost: one aggregation of the candidates by customer and item.
"""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from lib.methods.frames import add_in_order
from lib.recommend.group_popularity import IN_GROUP
from lib.settings.recommend import Recommend

Note = Callable[[str], None]

POPULAR = "popular"

NEW_ITEMS = "new_items"
"""The model whose offers may take the places kept for new items."""


def recommend(candidates: DataFrame, everyone: DataFrame, wanted: Recommend, note: Note) -> DataFrame:
    """Rows of recommendations, `new` and `history`, for every customer of `everyone` (customer_id, history)."""
    cold, warm = everyone.where("history = 0"), everyone.where("history > 0")
    note(f"{cold.count():,} customers without history get what is popular")
    popular = _for_newcomers(candidates.join(cold, on="customer_id", how="left_semi"), wanted)
    fused = fuse(candidates.join(warm, on="customer_id", how="left_semi"), wanted)
    columns = ("customer_id", "rank", "item_id", "score", "model", "reason", "reasons", "new")
    listed = fused.select(*columns).unionByName(popular.withColumn("new", F.lit(False)).select(*columns))
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


def fuse(candidates: DataFrame, wanted: Recommend) -> DataFrame:
    """The best `depth` items of each customer, and of those that are new as many as have places, however low they come.

    The model that adds most to an item's score gives the reason; `reasons` are all models'.
    """
    told = candidates.withColumn("adds", fused_weight(wanted)).where(F.col("adds") > 0)
    part = F.struct((-F.col("adds")).alias("order"), "model", "adds", "reason", "reasons")
    items = told.groupBy("customer_id", "item_id").agg(F.array_sort(F.collect_list(part)).alias("parts"))
    scored = items.select(
        "customer_id", "item_id",
        add_in_order(F.col("parts.adds")).alias("score"),
        F.col("parts")[0]["reason"].alias("reason"), F.flatten("parts.reasons").alias("reasons"),
        F.array_contains("parts.model", NEW_ITEMS).alias("new"),
    )  # fmt: skip
    best = Window.partitionBy("customer_id").orderBy(F.desc("score"), "item_id")
    rank = F.row_number().over(best)
    nth_new = F.count_if("new").over(best.rowsBetween(Window.unboundedPreceding, Window.currentRow))
    ranked = scored.withColumns({"rank": rank, "nth_new": nth_new})
    kept = (F.col("rank") <= wanted.depth) | (F.col("new") & (F.col("nth_new") <= wanted.new_item_places))
    return ranked.where(kept).withColumn("model", F.lit("hybrid"))


def fused_weight(wanted: Recommend) -> Column:
    """What a candidate adds to its item's score."""
    weight = F.lit(0.0)
    for model, told in sorted(wanted.fusion_weights.items()):
        weight = F.when(F.col("model") == model, F.lit(told)).otherwise(weight)
    return weight / (F.lit(wanted.fusion_constant) + F.col("rank"))
