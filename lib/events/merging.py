"""Several rows about one id become one: the most frequent value that is not null, ties by the smallest."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.tables import Table, contract


def merge_rows(rows: DataFrame, table: Table) -> DataFrame:
    """One row per key of the table."""
    values = [column.name for column in table.columns if column.name not in table.key]
    if not values:
        return rows.select(table.column_names).distinct()
    merged = rows.groupBy(*table.key).agg(
        *(_most_frequent(name, table.column(name).type).alias(name) for name in values)
    )
    return merged.select(table.column_names)


def _most_frequent(column: str, kind: str) -> Column:
    if kind.startswith("map<"):  # maps can't be counted or ordered, their JSON can
        return F.from_json(F.mode(F.to_json(column), True), kind)
    return F.mode(column, True)


def known_items(mapped: DataFrame | None, events: DataFrame, without_items: Sequence[str]) -> DataFrame:
    """Every item: as mapped, and for sources without `.items` from their events. No id of an event is missing."""
    table = contract("items")
    priced = F.col("source").isin(list(without_items))
    derived = events.where("item_id IS NOT NULL").select(
        "item_id",
        F.when(priced, F.col("unit_price")).alias("price"),
        F.when(priced, F.col("currency")).alias("currency"),
    )
    return merge_rows(_with_derived(mapped, derived, table), table)


def known_customers(mapped: DataFrame | None, events: DataFrame, without_customers: Sequence[str]) -> DataFrame:
    """Every customer: as mapped, and for sources without `.customers` from their events. No id of an event is missing.

    A customer without a mapped sign-up time is known from the first event on.
    """
    table = contract("customers")
    placed = F.col("source").isin(list(without_customers))
    seen = events.where("customer_id IS NOT NULL")
    places = [F.when(placed, F.col(name)).alias(name) for name in ("country", "region", "city")]
    merged = merge_rows(_with_derived(mapped, seen.select("customer_id", *places), table), table)
    first = seen.groupBy("customer_id").agg(F.min("event_time").alias("first_seen"))
    known = merged.join(first, on="customer_id", how="left")
    return known.withColumn("signup_time", F.coalesce("signup_time", "first_seen")).select(table.column_names)


def _with_derived(mapped: DataFrame | None, derived: DataFrame, table: Table) -> DataFrame:
    none = derived.sparkSession.createDataFrame([], table.schema_ddl())
    return union_all([none if mapped is None else mapped, derived])


def union_all(frames: Sequence[DataFrame]) -> DataFrame:
    """The rows of all frames; a column that one lacks is null there."""
    return reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), frames)
