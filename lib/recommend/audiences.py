"""Who is most likely to want an item, a category or a brand: the models' offers, read from the item's side.

An item's score for a customer is that of their list, before anything is cut; a category's or brand's is the sum over its items. Customers
without history are in none: what is popular says nothing of them. Cost: one window per kind of audience over what the blend scored.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from lib.methods.frames import add_in_order
from lib.settings.recommend import Recommend
from lib.tables import contract


def find_audiences(scored: DataFrame, items: DataFrame, wanted: Recommend) -> DataFrame:
    """Rows of audiences: of each item, category and brand the `recommend.audience_size` customers with the highest score.

    scored: customer_id, item_id, score of those with a history.
    """
    described = scored.select("customer_id", "item_id", "score").join(
        items.select("item_id", "category", "brand"), on="item_id", how="left"
    )
    found = [_of_kind(described, kind, wanted.audience_size) for kind in wanted.audience_kinds]
    none = scored.sparkSession.createDataFrame([], contract("audiences").schema_ddl())
    return reduce(DataFrame.unionByName, found, none)


def _of_kind(described: DataFrame, kind: str, size: int) -> DataFrame:
    named = F.col("item_id" if kind == "item" else kind)
    of = described.where(named.isNotNull()).groupBy(named.alias("value"), "customer_id")
    summed = of.agg(add_in_order(F.sort_array(F.collect_list("score"), asc=False)).alias("score"))
    best = Window.partitionBy("value").orderBy(F.desc("score"), "customer_id")
    ranked = summed.withColumn("rank", F.row_number().over(best)).where(F.col("rank") <= size)
    audience = F.concat(F.lit(f"{kind}:"), "value")
    return ranked.select(audience.alias("audience"), F.lit(kind).alias("kind"), "value", "customer_id", "rank", "score")
