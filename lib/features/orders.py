"""Measures of each customer's orders: recency, frequency, monetary and their kin."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

MONEY = "decimal(18,4)"


def measure_customers(
    customers: DataFrame,
    events: DataFrame,
    items: DataFrame,
    as_of: date,
    order_types: Sequence[str],
    return_types: Sequence[str],
) -> DataFrame:
    """One row per customer known before the as-of date, with every measure of customer_features but the RFM scores.

    `events` are those before the as-of date, with a basket_id. Recency and the gaps are in days, money in the events' own currency.
    """
    own = events.where("customer_id IS NOT NULL")
    is_order, is_return = F.col("event_type").isin(list(order_types)), F.col("event_type").isin(list(return_types))
    categories = items.where("category IS NOT NULL").select("item_id", "category")
    rows = own.join(categories, on="item_id", how="left")
    units = F.coalesce("quantity", F.lit(1.0))
    measured = rows.groupBy("customer_id").agg(
        F.count("*").alias("events"),
        F.min("event_time").alias("first_event"),
        F.max(F.when(is_order, F.col("event_time"))).alias("last_order"),
        F.count_distinct(F.when(is_order, F.col("basket_id"))).alias("orders"),
        F.count_distinct(F.when(is_order, F.to_date("event_time"))).alias("order_days"),
        F.min(F.when(is_order, F.to_date("event_time"))).alias("first_day"),
        F.max(F.when(is_order, F.to_date("event_time"))).alias("last_day"),
        F.count_distinct(F.when(is_order, F.col("item_id"))).alias("items"),
        F.count_distinct(F.when(is_order, F.col("category"))).alias("categories"),
        F.sum(F.when(is_order, F.col("amount"))).alias("gross"),
        F.sum(F.when(is_return, F.col("amount"))).alias("returned"),
        F.sum(F.when(is_order, units)).alias("units"),
        F.sum(F.when(is_return, units)).alias("units_returned"),
    )
    known = customers.where(F.col("signup_time").isNull() | (F.col("signup_time") < F.lit(as_of)))
    everyone = known.select("customer_id", "signup_time").join(measured, on="customer_id", how="full")
    return everyone.select("customer_id", *_measures(as_of))


def _measures(as_of: date) -> list[Column]:
    today = F.lit(as_of)
    first = F.least("first_event", "signup_time")  # least passes over nulls
    gap = F.date_diff("last_day", "first_day") / F.when(F.col("order_days") > 1, F.col("order_days") - 1)
    rate = F.coalesce("units_returned", F.lit(0.0)) / F.when(F.col("units") > 0, F.col("units"))
    gross = F.col("gross").cast("double")
    return [
        F.date_diff(today, F.to_date("last_order")).alias("recency_days"),
        _count("orders").alias("frequency"),
        (_money("gross") - _money("returned")).cast(MONEY).alias("monetary"),
        F.date_diff(today, F.to_date(first)).alias("tenure_days"),
        _count("orders").alias("orders"),
        _count("items").alias("items"),
        _count("categories").alias("categories"),
        (gross / F.when(F.col("orders") > 0, F.col("orders"))).alias("average_order_value"),
        gap.cast("double").alias("days_between_orders"),
        F.when(rate.isNotNull(), F.least(rate, F.lit(1.0))).alias("return_rate"),
        _count("events").alias("events"),
    ]


def _count(column: str) -> Column:
    return F.coalesce(F.col(column), F.lit(0)).cast("bigint")


def _money(column: str) -> Column:
    return F.coalesce(F.col(column), F.lit(0)).cast(MONEY)
