"""Baskets as short arrays of whole numbers: infrequent items dropped, the others numbered from the most frequent on.

An item in fewer orders than the wanted floor is in no frequent itemset, so it is dropped before anything is mined. Codes are places in
the scope's list of items, by orders, ties by id: sorted codes begin with the most frequent, so that a basket is cut to its most frequent
items, or to those of a higher floor, by cutting its end. Cost: two shuffles of the lines, by item and by basket, for all scopes at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from lib.settings.rules import Rules

Stage = Callable[[DataFrame, str], DataFrame]

KEY = ("scope", "basket_id", "customer_id", "ordered_at")


@dataclass(frozen=True)
class Scope:
    """One scope to mine."""

    name: str
    orders: int
    """Orders that hold goods: all shares are of these."""
    wanted: int
    """Orders that hold an itemset, at least, as the settings ask for."""
    most: int
    """Orders of the item in most of them; 0: no item is frequent."""


@dataclass(frozen=True)
class Coded:
    """The baskets of all scopes, ready to be mined."""

    rows: DataFrame
    """KEY, codes array<int> ascending, giant boolean, lost boolean (of a best-seller)."""
    items: DataFrame
    """scope, item, orders, code; code null: a best-seller, left out."""
    scopes: list[Scope]

    def names(self) -> DataFrame:
        """scope, names array<string>: the item of each code. Frequent items: at most the mean basket's size / min_support."""
        named = self.items.where("code IS NOT NULL").groupBy("scope")
        return named.agg(F.sort_array(F.collect_list(F.struct("code", "item")))["item"].alias("names"))

    def baskets(self) -> DataFrame:
        """What was mined, in the items' own ids: KEY, items array<string>, the frequent ones that were left after all cuts."""
        named = self.rows.join(F.broadcast(self.names()), on="scope", how="inner")
        return named.select(*KEY, F.transform("codes", lambda code: F.col("names")[code]).alias("items"))

    def cuts(self) -> DataFrame:
        """scope, giant, lost, best_sellers: the baskets that were cut, and the items that were left out."""
        counted = self.rows.groupBy("scope").agg(F.count_if("giant").alias("giant"), F.count_if("lost").alias("lost"))
        out = self.items.where("code IS NULL").groupBy("scope")
        best = out.agg(F.array_sort(F.collect_list("item")).alias("best_sellers"))
        return counted.join(best, on="scope", how="left")


def least_orders(min_support: float, orders: int) -> int:
    """The least count whose share of the orders is at least `min_support`; 0.07 · 100 rounds to a little more than 7."""
    least = math.ceil(min_support * orders)
    return least - 1 if least > 1 and (least - 1) / orders >= min_support else max(least, 1)


def code_baskets(baskets: DataFrame, orders: Mapping[str, int], settings: Rules, stage: Stage) -> Coded:
    """Drop what is infrequent or a best-seller, code the rest, cut giants. baskets: KEY, items; orders: scope → its baskets."""
    wanted = {name: max(least_orders(settings.min_support, n), settings.min_orders) for name, n in orders.items()}
    limits = baskets.sparkSession.createDataFrame(
        [(name, n, wanted[name]) for name, n in orders.items()], "scope string, all_orders bigint, wanted bigint"
    )
    lines = baskets.select(*KEY, F.explode("items").alias("item"))
    counted = lines.groupBy("scope", "item").agg(F.count("*").alias("orders"))
    limited = counted.join(F.broadcast(limits), on="scope", how="inner").where("orders >= wanted")
    best = F.col("orders") / F.col("all_orders") > settings.max_item_share
    # the frequent items of a scope are few, next to its lines
    place = F.row_number().over(Window.partitionBy("scope", best).orderBy(F.desc("orders"), "item")) - 1
    # joined, ranked and counted again: made once
    items = stage(limited.select("scope", "item", "orders", F.when(~best, place).alias("code")), "items")
    coded = lines.join(items.select("scope", "item", "code"), on=["scope", "item"], how="inner")
    most = settings.max_basket_items
    grouped = coded.groupBy(*KEY).agg(
        F.sort_array(F.collect_list("code")).alias("codes"), F.count_if(F.col("code").isNull()).alias("lost")
    )
    cut = grouped.select(
        *KEY,
        F.slice("codes", 1, most).alias("codes"),
        (F.size("codes") > most).alias("giant"),
        (F.col("lost") > 0).alias("lost"),
    )
    top = {
        row["scope"]: row["most"]
        for row in items.where("code = 0").select("scope", F.col("orders").alias("most")).collect()  # one per scope
    }
    scopes = [Scope(name, n, wanted[name], top.get(name, 0)) for name, n in orders.items()]
    # every floor of every scope reads them
    return Coded(stage(cut.sortWithinPartitions("scope"), "coded"), items, scopes)
