"""What each list is chosen from, out of what the models offer: a blend where there is history, else what is popular and what is new."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from lib.recommend.blends import NEW_ITEMS, Blend
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
    listed = blended.select(*columns).unionByName(popular.select(*columns))
    return listed.join(everyone, on="customer_id", how="inner")


def _for_newcomers(candidates: DataFrame, wanted: Recommend) -> DataFrame:
    """What is popular in a newcomer's group, from there on among everybody, and last, as far as places are kept for them, new items.

    The score of a customer with a group is that of the place alone, for the models' own can't be compared.
    """
    order = {IN_GROUP: 0, POPULAR: 1, NEW_ITEMS: 2}
    offered = candidates.where(F.col("model").isin(*order))
    turn = F.create_map(*(F.lit(part) for pair in order.items() for part in pair))[F.col("model")]
    item = Window.partitionBy("customer_id", "item_id")
    told = offered.withColumns(
        {
            "turn": turn,
            "nth": F.row_number().over(item.orderBy(turn)),
            "new": F.max(F.col("model") == NEW_ITEMS).over(item),
        }
    )
    best = Window.partitionBy("customer_id").orderBy("turn", "rank")
    so_far = best.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    ranked = told.where("nth = 1").withColumns(
        {
            "grouped": F.min("turn").over(Window.partitionBy("customer_id")) == 0,
            "place": F.row_number().over(best),
            "nth_new": F.count_if("new").over(so_far),
        }
    )
    popular = (F.col("model") != NEW_ITEMS) & (F.col("place") <= wanted.depth)
    kept = ranked.where(popular | (F.col("new") & (F.col("nth_new") <= wanted.new_item_places)))
    score = F.when(F.col("grouped"), 1 / (F.lit(wanted.fusion_constant) + F.col("place"))).otherwise(F.col("score"))
    return kept.withColumns({"rank": F.col("place"), "score": score})


def take_best(scored: DataFrame, wanted: Recommend) -> DataFrame:
    """`scored` with its rank: the best `depth` items of each customer, and of those that are new as many as have places, however low."""
    best = Window.partitionBy("customer_id").orderBy(F.desc("score"), "item_id")
    rank = F.row_number().over(best)
    nth_new = F.count_if("new").over(best.rowsBetween(Window.unboundedPreceding, Window.currentRow))
    ranked = scored.withColumns({"rank": rank, "nth_new": nth_new})
    kept = (F.col("rank") <= wanted.depth) | (F.col("new") & (F.col("nth_new") <= wanted.new_item_places))
    return ranked.where(kept)
