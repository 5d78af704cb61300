"""Which basket an event belongs to."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def with_baskets(events: DataFrame, basket: str = "order") -> DataFrame:
    """Add `basket_id`. order: the order_id, else the session, else the customer's day, else (no clock) the customer.

    session, day, customer: always that; null where it isn't known, as it is for an order where none of these is.
    The kind of id and the source go in front, so that order 7 of two shops, and session 7, stay different baskets.
    """
    session, customer = _named("session", "session_id"), _of_customer(F.lit(None))
    day = F.to_date("event_time").cast("string")
    ids = {
        "order": F.coalesce(_named("order", "order_id"), session, _of_customer(day)),
        "session": session,
        "day": F.when(day.isNotNull(), _of_customer(day)),
        "customer": customer,
    }
    return events.withColumn("basket_id", ids[basket])


def _named(kind: str, column: str) -> Column:
    return F.when(F.col(column).isNotNull(), F.concat_ws("/", F.lit(kind), "source", column))


def _of_customer(day: Column) -> Column:
    """concat_ws passes over nulls."""
    return F.when(F.col("customer_id").isNotNull(), F.concat_ws("/", F.lit("customer"), "customer_id", day))
