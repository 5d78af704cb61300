"""From coded itemsets to those that are published: the trivial ones dropped, closed and maximal ones marked, the items' own ids.

support = orders that hold all items / orders of the scope. Closed: no larger itemset is in as many orders; maximal: no larger one is
frequent. Both follow from the itemsets with one item more alone: every larger one holds such a one, which is in as many orders at
least. Cost: one shuffle of the itemsets up to max_length + 1 items, once per item. Source: Pasquier et al. (1999); Bayardo (1998).
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.rules.coding import Coded, name_codes


def mark_closed(itemsets: DataFrame, max_length: int) -> DataFrame:
    """scope, codes, orders, closed, maximal of the itemsets up to `max_length`.

    itemsets: scope, codes, orders, with every part of each. Each gives those with one item less its orders: the most of any larger one.
    """
    shown = itemsets.where(F.size("codes") <= max_length)
    larger = itemsets.where(F.size("codes").between(2, max_length + 1))
    without = F.transform("codes", lambda left: F.filter("codes", lambda code: code != left))
    parts = larger.select("scope", F.explode(without).alias("codes"), F.col("orders").alias("above"))
    both = shown.withColumn("above", F.lit(None).cast("bigint")).unionByName(
        parts.withColumn("orders", F.lit(None).cast("bigint"))
    )
    met = both.groupBy("scope", "codes").agg(F.max("orders").alias("orders"), F.max("above").alias("above"))
    return met.select(
        "scope", "codes", "orders",
        (F.col("above").isNull() | (F.col("above") < F.col("orders"))).alias("closed"),
        F.col("above").isNull().alias("maximal"),
    )  # fmt: skip


def without_trivial(itemsets: DataFrame, coded: Coded, ancestors: DataFrame) -> DataFrame:
    """Without those that hold an item and what it belongs to; of what is left, every part is left too.

    FPGrowth can't leave them out while it mines: they count towards rules.max_itemsets.
    """
    codes = coded.items.where("code IS NOT NULL").select("scope", "item", "code")
    above = codes.select("scope", F.col("item").alias("ancestor"), F.col("code").alias("above"))
    pairs = codes.join(ancestors, on="item", how="inner").join(above, on=["scope", "ancestor"], how="inner")
    known = codes.join(
        pairs.groupBy("scope", "code").agg(F.collect_set("above").alias("above")), on=["scope", "code"], how="left"
    )
    held = F.coalesce("above", F.array().cast("array<int>")).alias("above")
    # as many entries as frequent items: at most the mean basket's size / min_support
    by_code = known.groupBy("scope").agg(
        F.sort_array(F.collect_list(F.struct("code", held)))["above"].alias("ancestors")
    )
    trivial = F.exists("codes", lambda code: F.arrays_overlap(F.col("ancestors")[code], F.col("codes")))
    return itemsets.join(F.broadcast(by_code), on="scope", how="inner").where(~trivial).drop("ancestors")


def decode(coded_itemsets: DataFrame, coded: Coded, scope_orders: DataFrame) -> DataFrame:
    """scope, items, codes, size, orders, support, and what else there is."""
    # both one row per scope
    named = coded_itemsets.join(F.broadcast(coded.names()), on="scope", how="inner")
    named = named.join(F.broadcast(scope_orders), on="scope", how="inner")
    told = {
        "items": F.array_sort(name_codes("codes")),
        "size": F.size("codes"),
        "support": F.col("orders") / F.col("all_orders"),
    }
    return named.withColumns(told).drop("names", "all_orders")
