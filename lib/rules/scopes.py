"""Scopes: parts of the orders that have rules of their own, such as a segment's, a country's or the winter's.

all; segment:<segmentation> and lifecycle by the order's customer; season, a column, a property or a SQL expression by its lines, of which
the most frequent value that is not null counts, ties by the smallest. An order is in one scope of each kind at most.
Cost: one shuffle of the lines by basket, and one of the baskets by customer, where such scopes are wanted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from lib.methods.clocks import local_time, name_season
from lib.settings.rules import Rules

ALL, SEGMENT, LIFECYCLE, SEASON = "all", "segment:", "lifecycle", "season"
LABELS = "array<struct<name:string,value:string>>"


class UnknownScope(ValueError):
    """A scope of the settings that the tables don't know."""


@dataclass(frozen=True)
class Customers:
    """What is known of customers; read only where a scope asks for it."""

    segments: DataFrame
    """customer_segments."""
    lifecycle: DataFrame
    """customer_lifecycle."""


def add_scopes(
    baskets: DataFrame, lines: DataFrame, wanted: Sequence[str], customers: Customers, zones: Mapping[str, str]
) -> DataFrame:
    """The baskets with `scopes array<string>`, those that each is in. Raises UnknownScope with what there is."""
    names = list(dict.fromkeys(wanted))
    grouped = [name for name in names if name == LIFECYCLE or name.startswith(SEGMENT)]
    of_lines = [name for name in names if name not in (ALL, *grouped)]
    labelled = baskets
    if of_lines:
        labels = _label_orders(lines, {name: _value_of(name, lines, zones) for name in of_lines})
        labelled = labelled.join(labels, on="basket_id", how="left")
    if grouped:
        labelled = labelled.join(_label_customers(grouped, customers), on="customer_id", how="left")
    nothing = F.array().cast("array<string>")
    parts = [F.coalesce(name, nothing) for name in ("line_scopes", "customer_scopes") if name in labelled.columns]
    everyone = F.array(F.lit(ALL)) if ALL in names else nothing
    return labelled.select(*baskets.columns, F.concat(everyone, *parts).alias("scopes"))


def _value_of(name: str, lines: DataFrame, zones: Mapping[str, str]) -> Column:
    """A scope's value of a line: the season, a column, a property, else SQL."""
    if name == SEASON:
        return name_season(local_time(zones))
    columns = [column for column in lines.columns if column != "basket_id"]
    if name in columns:
        return F.col(name).cast("string")
    if re.fullmatch(r"[\w.-]+", name):
        known = F.map_contains_key("properties", F.lit(name))
        if not lines.where(known).limit(1).isEmpty():
            return F.try_element_at("properties", F.lit(name))
    try:
        expression = F.expr(name).cast("string")
        lines.select(expression).schema  # noqa: B018 - analysing the expression is what finds a wrong one
    except PySparkException as error:
        keys = lines.select(F.explode(F.map_keys("properties")).alias("key")).distinct().sort("key").limit(20)
        held = ", ".join(row["key"] for row in keys.collect()) or "none"  # at most 20
        raise UnknownScope(
            f"rules.scopes: {name!r} is no column of events, no property and no SQL over events ({_first_line(error)}); "
            f"columns: {', '.join(columns)}; properties: {held}; others: all, segment:<segmentation>, lifecycle, season"
        ) from None
    return expression


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]


def _label_orders(lines: DataFrame, values: Mapping[str, Column]) -> DataFrame:
    """basket_id, line_scopes: an order's most frequent value of each, ties by the smallest."""
    labels = F.array(*(F.struct(F.lit(n).alias("name"), v.alias("value")) for n, v in values.items())).cast(LABELS)
    known = lines.select("basket_id", F.inline(labels)).where("value IS NOT NULL")
    counted = known.groupBy("basket_id", "name", "value").agg(F.count("*").alias("lines"))
    most = counted.groupBy("basket_id", "name").agg(F.min(F.struct(-F.col("lines"), "value"))["value"].alias("value"))
    scope = F.concat("name", F.lit(":"), "value")
    return most.groupBy("basket_id").agg(F.collect_set(scope).alias("line_scopes"))


def _label_customers(names: Sequence[str], customers: Customers) -> DataFrame:
    """customer_id, customer_scopes."""
    asked = [name.removeprefix(SEGMENT) for name in names if name != LIFECYCLE]
    segments = customers.segments.where(F.col("segmentation").isin(asked))
    if asked:
        found = customers.segments.select("segmentation").distinct().sort("segmentation").limit(100)
        held = [row["segmentation"] for row in found.collect()]  # few ways of grouping
        # a shop without customers has no segments at all, and no orders of theirs
        if held and (unknown := [name for name in asked if name not in held]):
            raise UnknownScope(
                f"rules.scopes: there is no segmentation {', '.join(unknown)}; customer_segments has {', '.join(held)}"
            )
    scope = F.concat(F.lit(SEGMENT), "segmentation", F.lit(":"), "segment_id").alias("scope")
    rows = segments.select("customer_id", scope)
    if LIFECYCLE in names:
        stages = customers.lifecycle.select("customer_id", F.concat(F.lit("lifecycle:"), "stage").alias("scope"))
        rows = rows.unionByName(stages)
    return rows.groupBy("customer_id").agg(F.collect_set("scope").alias("customer_scopes"))


def count_scopes(baskets: DataFrame) -> DataFrame:
    """scope, orders (with goods), one_item, no_goods, place: 0 for all, then 1 for the scope of most orders, ties by name."""
    held = baskets.select(F.explode("scopes").alias("scope"), F.size("items").alias("held"))
    counted = held.groupBy("scope").agg(
        F.count_if(F.col("held") > 0).alias("orders"),
        F.count_if(F.col("held") == 1).alias("one_item"),
        F.count_if(F.col("held") == 0).alias("no_goods"),
    )
    # scopes are few, next to orders: one task ranks them
    by_orders = Window.partitionBy(F.col("scope") == ALL).orderBy(F.desc("orders"), "scope")
    return counted.withColumn("place", F.when(F.col("scope") == ALL, 0).otherwise(F.row_number().over(by_orders)))


def choose_scopes(counted: DataFrame, settings: Rules) -> dict[str, int]:
    """Scope → orders of what is mined: `all`, however few, and those of most orders. At most max_scopes + 1 come to the driver."""
    large = (F.col("orders") >= settings.min_scope_orders) & (F.col("place") <= settings.max_scopes)
    chosen = counted.where((F.col("place") == 0) | large).sort("place").collect()
    return {row["scope"]: row["orders"] for row in chosen}


def spread_over_scopes(baskets: DataFrame, chosen: Sequence[str]) -> DataFrame:
    """One row per chosen scope that a basket with goods belongs to: scope, basket_id, customer_id, ordered_at, items."""
    held = baskets.where(F.size("items") > 0).withColumn("scope", F.explode("scopes"))
    return held.where(F.col("scope").isin(list(chosen))).select(
        "scope", "basket_id", "customer_id", "ordered_at", "items"
    )
