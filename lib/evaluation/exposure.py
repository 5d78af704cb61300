"""How the models spread their offers over items and customers.

item_coverage: the share of the items that may be offered that are in some list; customer_coverage: the share of the customers that are
offered anything; gini = Σ_i (2i - N - 1)·x_i / (N·Σ x) over the N items that may be offered, x_i ascending the number of lists that hold
them: 0 where all are shown alike, near 1 where few items have all the places (Gini 1912). No intervals: they are of lists.
Cost: one aggregation of the offers by item, and one window over the items of each model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

DEFINITIONS = {
    "item_coverage": "share of the items that may be offered that are in a list",
    "customer_coverage": "share of the customers who are offered anything",
    "gini": "Gini coefficient of the lists that hold an item, over all that may be offered",
}


def measure_exposure(offers: DataFrame, customers: int, items: int, ks: Sequence[int]) -> DataFrame:
    """model, metric, k, value. offers: model, customer_id, rank, item_id, of so many customers in all; items: that may be offered."""
    return reduce(
        DataFrame.unionByName, [_of_length(offers.where(F.col("rank") <= k), customers, items, k) for k in ks]
    )


def _of_length(offers: DataFrame, customers: int, items: int, k: int) -> DataFrame:
    shown = offers.groupBy("model", "item_id").agg(F.count("*").alias("lists"))
    rising = Window.partitionBy("model").orderBy("lists", "item_id")  # item-sized
    offered, number = F.count("*").over(Window.partitionBy("model")), F.lit(float(max(items, 1)))
    # items in no list come first, and add nothing
    place = number - offered + F.row_number().over(rising)
    ranked = shown.withColumn("part", (2 * place - number - 1) * F.col("lists"))
    of_items = ranked.groupBy("model").agg(
        (F.count("*") / number).alias("item_coverage"),
        F.try_divide(F.sum("part"), number * F.sum("lists")).alias("gini"),
    )
    reached = offers.groupBy("model").agg(
        (F.count_distinct("customer_id") / F.lit(max(customers, 1))).alias("customer_coverage")
    )
    joined = of_items.join(reached, on="model", how="inner")
    told = F.array(*(F.struct(F.lit(name).alias("metric"), F.col(name).alias("value")) for name in DEFINITIONS))
    return joined.select("model", F.lit(k).alias("k"), F.inline(told)).where("value IS NOT NULL")
