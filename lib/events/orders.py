"""Which order an event belongs to."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def with_baskets(events: DataFrame) -> DataFrame:
    """Add `basket_id`: the order_id, else the session, else the customer's day, else (no clock) the customer; null: none of these.

    The kind of id and the source go in front, so that order 7 of two shops, and session 7, stay different baskets.
    """
    return events.withColumn(
        "basket_id", F.coalesce(_named("order", "order_id"), _named("session", "session_id"), _day())
    )


def _named(kind: str, column: str) -> Column:
    return F.when(F.col(column).isNotNull(), F.concat_ws("/", F.lit(kind), "source", column))


def _day() -> Column:
    day = F.to_date("event_time").cast("string")  # concat_ws passes over nulls
    return F.when(F.col("customer_id").isNotNull(), F.concat_ws("/", F.lit("customer"), "customer_id", day))
