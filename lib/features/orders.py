"""Measures of each customer's orders: recency, frequency, monetary and their kin."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.tables.days import MONEY as SUM

MONEY = "decimal(18,4)"


def sum_up(known: DataFrame, order_types: Sequence[str], return_types: Sequence[str]) -> DataFrame:
    """customer_id and what their orders and returns come to: counts, days, money, and the different items as `item_ids`.

    `known`: customer_id, events, first_event, types of those types, as `persons.known_types` makes them.
    """
    # step by step: what several figures are made of is made once
    told = known.select(
        "customer_id",
        "events",
        "first_event",
        of_types(order_types).alias("orders"),
        of_types(return_types).alias("returns"),
    )
    parted = told.withColumns({
        "days": order_days(F.flatten("orders.days")), "item_ids": F.array_distinct(F.flatten("orders.items")),
    })  # fmt: skip
    return parted.select(
        "customer_id",
        "events",
        "first_event",
        F.size(F.array_distinct(F.flatten("orders.baskets"))).alias("orders"),
        F.size("days").alias("order_days"),
        F.array_min("days").alias("first_day"),
        F.array_max("days").alias("last_day"),
        "item_ids",
        add_up(F.col("orders.amount"), SUM).alias("gross"),
        add_up(F.col("returns.amount"), SUM).alias("returned"),
        add_up(F.col("orders.units"), "double").alias("units"),
        add_up(F.col("returns.units"), "double").alias("units_returned"),
    )


def measure_customers(customers: DataFrame, sums: DataFrame, items: DataFrame, as_of: date) -> DataFrame:
    """One row per customer known before the as-of date, with every measure of customer_features but the RFM scores.

    `sums`: as `sum_up` makes them of the days before the as-of date. Recency and the gaps are in days, money in the events' own currency.
    """
    bought = sums.select("customer_id", F.explode("item_ids").alias("item_id"))
    sorts = bought.join(items.where("category IS NOT NULL").select("item_id", "category"), on="item_id", how="inner")
    categories = sorts.groupBy("customer_id").agg(F.count_distinct("category").alias("categories"))
    counted = sums.withColumn("items", F.size("item_ids")).drop("item_ids")
    measured = counted.join(categories, on="customer_id", how="left")
    everyone = signed_up(customers, as_of).join(measured, on="customer_id", how="full")
    return everyone.select("customer_id", *_measures(as_of))


def with_recent(
    measured: DataFrame, recent: DataFrame | None, order_types: Sequence[str], return_types: Sequence[str]
) -> DataFrame:
    """Add recent_orders and recent_spend: of what is `known` of a window, or, without one, of all time."""
    if recent is None:
        return measured.withColumns({"recent_orders": F.col("frequency"), "recent_spend": F.col("monetary")})
    sums = sum_up(recent, order_types, return_types)
    columns = sums.select("customer_id", F.col("orders").alias("recent_orders"), _net_spend().alias("recent_spend"))
    joined = measured.join(columns, on="customer_id", how="left")
    return joined.withColumns({
        "recent_orders": _count("recent_orders"), "recent_spend": F.coalesce("recent_spend", F.lit(0)).cast(MONEY),
    })  # fmt: skip


def ordered_items(known: DataFrame) -> DataFrame:
    """The different (customer_id, item_id) of the known types."""
    items = F.array_distinct(F.flatten("types.items"))
    return known.select("customer_id", F.explode(items).alias("item_id")).where("item_id IS NOT NULL")


def signed_up(customers: DataFrame, as_of: date) -> DataFrame:
    """customer_id, signup_day of the customers known before the as-of date."""
    there = customers.where(F.col("signup_time").isNull() | (F.col("signup_time") < F.lit(as_of)))
    return there.select("customer_id", F.to_date("signup_time").alias("signup_day"))


def order_days(sales: Column) -> Column:
    """The different days of `sales`, the days of some types in one array, in order; empty where none is known."""
    return F.sort_array(F.array_distinct(sales["day"]))


def of_types(wanted: Sequence[str]) -> Column:
    """The entries of `types` for some event types."""
    return F.filter("types", lambda entry: entry["event_type"].isin(list(wanted)))


def add_up(values: Column, kind: str) -> Column:
    """The sum of an array of numbers, nulls left out; 0 where there is none."""
    start = F.lit(0).cast(kind)
    return F.aggregate(values, start, lambda total, value: (total + F.coalesce(value, start)).cast(kind))


def _measures(as_of: date) -> list[Column]:
    today = F.lit(as_of)
    first = F.least("first_event", "signup_day")  # least passes over nulls
    gap = F.date_diff("last_day", "first_day") / F.when(F.col("order_days") > 1, F.col("order_days") - 1)
    rate = F.col("units_returned") / F.when(F.col("units") > 0, F.col("units"))
    return [
        F.date_diff(today, "last_day").alias("recency_days"),
        _count("orders").alias("frequency"),
        _net_spend().alias("monetary"),
        F.date_diff(today, first).alias("tenure_days"),
        _count("orders").alias("orders"),
        _count("items").alias("items"),
        _count("categories").alias("categories"),
        (F.col("gross").cast("double") / F.when(F.col("orders") > 0, F.col("orders"))).alias("average_order_value"),
        gap.cast("double").alias("days_between_orders"),
        F.when(rate.isNotNull(), F.least(rate, F.lit(1.0))).alias("return_rate"),
        _count("events").alias("events"),
    ]


def _net_spend() -> Column:
    return F.coalesce(F.col("gross") - F.col("returned"), F.lit(0)).cast(MONEY)


def _count(column: str) -> Column:
    return F.coalesce(F.col(column), F.lit(0)).cast("bigint")
