"""Validity rules: each is a name and a Column that is true for a row that breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.events.mapping import REASONS, is_id, lenient
from lib.settings import Source
from lib.settings.sections import Checks
from lib.tables import Table, contract

Rule = tuple[str, Column]


def broken_rules(rows: DataFrame, kind: str, source: Source, checks: Checks, ingested_at: datetime) -> DataFrame:
    """Add to `reasons` every rule that a mapped row breaks."""
    table = contract(kind)
    rules = [*_missing(table, source), *_too_long(table, checks)]
    if kind == "events":
        rules += [*_times(checks, ingested_at), *_numbers(), *_identity()]
    with lenient(rows.sparkSession):
        if kind == "events":
            rules += [(name, F.expr(rule.reject)) for name, rule in checks.rules.items()]
        found = F.array_compact(F.array(*(F.when(broken, F.lit(name)) for name, broken in rules)))
        return rows.withColumn(REASONS, F.array_union(F.col(REASONS), found))


def _missing(table: Table, source: Source) -> Iterator[Rule]:
    """What every row needs: the key, an event's type, and its time where the source knows times."""
    mapped = source.mappings[table.name]
    needed = [column for column in table.key if column in mapped]
    needed += [column for column in ("event_type", "event_time", "granted") if column in mapped]
    for column in needed:
        unreadable = F.array_contains(REASONS, f"unreadable:{column}")
        yield f"missing:{column}", F.col(column).isNull() & ~unreadable


def _too_long(table: Table, checks: Checks) -> Iterator[Rule]:
    for column in table.columns:
        if is_id(column.name) and column.name != "batch_id":
            yield f"too_long:{column.name}", F.length(column.name) > checks.max_id_length


def _times(checks: Checks, ingested_at: datetime) -> Iterator[Rule]:
    latest = F.lit(ingested_at) + F.expr(f"INTERVAL {checks.future_tolerance}")
    yield "future:event_time", F.col("event_time") > latest
    yield "too_early:event_time", F.col("event_time") < F.lit(checks.earliest_time).cast("timestamp")


def _numbers() -> Iterator[Rule]:
    for column in ("quantity", "rating"):
        # NaN passes every comparison with >= in Spark, so it is asked for by name
        yield f"not_a_number:{column}", F.isnan(column)
        yield f"infinite:{column}", F.abs(column) == float("inf")
    yield "negative:quantity", F.col("quantity") < 0
    yield "negative:unit_price", F.col("unit_price") < 0
    yield "negative:amount", F.col("amount") < 0


def _identity() -> Iterator[Rule]:
    known = F.coalesce("customer_id", "order_id", "session_id", "item_id")
    yield "about_nothing", known.isNull()
