"""Baskets: what was bought together, by order, session, day or customer; and what became of them.

Goods that an order holds are in its basket once, however many lines or units they have. An order with none is no basket: it is counted, and
not mined. Cost: one shuffle of the lines by basket.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.rules.levels import things_of
from lib.settings.rules import Rules

REASON_COLUMNS = "scope string, reason string, orders bigint, items array<string>, detail string"


def select_lines(events: DataFrame, types: Sequence[str]) -> DataFrame:
    """The events of these types that belong to a basket."""
    return events.where(F.col("basket_id").isNotNull() & F.col("event_type").isin(list(types)))


def make_baskets(lines: DataFrame, items: DataFrame, level: str, is_goods: str) -> DataFrame:
    """One row per order: basket_id, customer_id, ordered_at, items array<string>, each once; empty where it holds no goods.

    `lines` have a basket_id. Anonymous orders count like any other; one of several customers is the first's.
    """
    held = lines.join(things_of(items, level, is_goods), on="item_id", how="left")
    grouped = held.groupBy("basket_id").agg(
        F.min("customer_id").alias("customer_id"),
        F.min("event_time").alias("ordered_at"),
        F.array_distinct(F.flatten(F.collect_set("things"))).alias("items"),
    )
    return grouped.select("basket_id", "customer_id", "ordered_at", "items")


def count_reasons(counted: DataFrame, chosen: DataFrame, cut: DataFrame, settings: Rules) -> DataFrame:
    """Rows of rule_baskets.

    counted: scope, orders, one_item, no_goods, place of every scope; chosen: scope; cut: scope, giant, lost, best_sellers of the chosen.
    """
    mined = counted.join(chosen, on="scope", how="left_semi").join(cut, on="scope", how="left")
    whole = F.array(
        _reason("mined", F.col("orders"), "orders that hold goods: all figures are shares of them"),
        _reason("one_item", F.col("one_item"), "orders of one item: mined, and in no rule"),
        _reason("no_goods", F.col("no_goods"), "orders without goods of items.exclude: not mined"),
        _reason(
            "giant", F.col("giant"),
            f"orders of more than rules.max_basket_items = {settings.max_basket_items:,} frequent items keep those in most orders",
        ),
        _reason(
            "best_seller", F.col("lost"),
            f"items in more than rules.max_item_share = {settings.max_item_share:g} of the orders are left out", F.col("best_sellers"),
        ),
    )  # fmt: skip
    few = F.col("orders") < settings.min_scope_orders
    left = F.array(
        F.when(few, _reason(
            "few_orders", F.col("orders"), f"fewer orders than rules.min_scope_orders = {settings.min_scope_orders:,}: not mined"
        )).otherwise(_reason(
            "many_scopes", F.col("orders"), f"not among the rules.max_scopes = {settings.max_scopes:,} of most orders: not mined"
        ))
    )  # fmt: skip
    others = counted.join(chosen, on="scope", how="left_anti")
    rows = mined.select("scope", F.inline(whole)).unionByName(others.select("scope", F.inline(left)))
    return rows.where("orders > 0 OR reason IN ('mined', 'few_orders')")


def _reason(reason: str, orders: Column, detail: str, items: Column | None = None) -> Column:
    return F.struct(
        F.lit(reason).alias("reason"),
        F.coalesce(orders, F.lit(0)).cast("bigint").alias("orders"),
        (F.lit(None) if items is None else items).cast("array<string>").alias("items"),
        F.lit(detail).alias("detail"),
    )
