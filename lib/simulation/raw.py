"""Raw rows as a source would give them: text columns alone, so that any format holds them; and dirt among the events."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.methods.frames import pick
from lib.settings.simulation import Simulation
from lib.simulation.draws import Draws

_RAW = {
    "event_id": "event_id", "type": "event_type", "time": "event_time", "customer": "customer_id", "order": "order_id",
    "session": "session_id", "item": "item_id", "quantity": "quantity", "price": "unit_price", "currency": "currency",
    "rating": "rating", "channel": "channel", "device": "device", "country": "country", "region": "region",
    "city": "city", "query": "properties['query']", "campaign": "properties['campaign']",
}  # fmt: skip
"""Raw column of events → SQL over the contract's."""

DIRT: dict[str, dict[str, str | None]] = {
    "about_nobody": {"customer": None, "order": None, "session": None, "item": None},
    "missing_event_id": {"event_id": None},
    "missing_type": {"type": None},
    "missing_time": {"time": None},
    "nan_quantity": {"quantity": "NaN"},
    "nan_rating": {"rating": "NaN"},
    "infinite_quantity": {"quantity": "-Infinity"},
    "negative_quantity": {"type": "purchase", "quantity": "-3"},
    "negative_price": {"price": "-9.99"},
    "overflowing_price": {"price": "99999999999999999999"},
    "unreadable_quantity": {"quantity": "two"},
    "unreadable_price": {"price": "12,x0"},
    "unreadable_time": {"time": "2024-13-45 25:61:00"},
    "future": {"time": "2999-12-31 00:00:00"},
    "year_9999": {"time": "9999-12-31 23:59:59"},
    "too_early": {"time": "1066-10-14 09:00:00"},
    "long_id": {"item": "i" * 300},
    "nul_in_id": {"item": "i\x00000001"},
    "unknown_currency": {"currency": "ZZZ", "price": "5.00"},
    "duplicate": {},
    "conflicting": {},
}
"""Kind of dirt → the raw columns that it changes in a copy of a clean row."""

_KINDS = tuple(DIRT)
_DUPLICATE, _CONFLICTING = _KINDS.index("duplicate"), _KINDS.index("conflicting")


def raw_events(events: DataFrame, settings: Simulation) -> DataFrame:
    """Clean rows and, beside them, dirty copies of some: row_id and the raw columns, all text."""
    copies = _with_copies(events, settings)
    dirty = F.col("copy") > 0
    changed = {}
    for column, sql in _RAW.items():
        value = F.expr(sql).cast("string")
        # returns come with a sign, as a till writes them
        if column == "quantity":
            value = F.when(F.col("event_type") == "return", F.concat(F.lit("-"), value)).otherwise(value)
        changed[column] = _spoil(column, value, dirty)
    return copies.select(_row_id(), *(value.alias(column) for column, value in changed.items()))


def dirty_rows(events: DataFrame, settings: Simulation) -> DataFrame:
    """Which raw rows are dirty, and how: row_id, dirt. A conflicting copy stands there twice, with two contents."""
    copies = _with_copies(events.select("event_id"), settings).where(F.col("copy") > 0)
    return copies.select(_row_id(), pick(_KINDS, F.col("dirt")).alias("dirt"))


def _with_copies(events: DataFrame, settings: Simulation) -> DataFrame:
    """Add dirt (place in DIRT) and copy: 0 the clean row, 1 and 2 dirty copies."""
    draw, key = Draws(settings.seed), F.xxhash64("event_id")
    dirt = F.when(draw.happens(settings.dirt_share, "dirty", key), draw.integer(len(_KINDS), "kind_of_dirt", key))
    copies = (
        F.when(F.col("dirt").isNull(), F.array(F.lit(0)))
        .when(F.col("dirt") == _CONFLICTING, F.array(F.lit(0), F.lit(1), F.lit(2)))
        .otherwise(F.array(F.lit(0), F.lit(1)))
    )
    return events.withColumn("dirt", dirt).withColumn("copy", F.explode(copies))


def _row_id() -> Column:
    return F.concat("event_id", F.lit("-"), "copy").alias("row_id")


def _spoil(column: str, value: Column, dirty: Column) -> Column:
    """The column's value in a clean row, or as the row's kind of dirt has it."""
    if column == "event_id":  # a copy is an event of its own, save for a duplicate; two conflicting ones share an id
        value = F.when(dirty & (F.col("dirt") != _DUPLICATE), F.concat(value, F.lit("x"))).otherwise(value)
    if column == "city":
        other = (F.col("copy") == 2) & (F.col("dirt") == _CONFLICTING)
        value = F.when(other, F.lit("Elsewhere")).otherwise(value)
    for kind, changes in DIRT.items():
        if column in changes:
            hit = dirty & (F.col("dirt") == _KINDS.index(kind))
            value = F.when(hit, F.lit(changes[column])).otherwise(value)
    return value


def raw_items(items: DataFrame) -> DataFrame:
    """The contract's items with their tags as one text."""
    return items.select(
        "item_id", "title", "description", "category", "brand", F.col("price").cast("string").alias("price"),
        "currency", F.concat_ws("|", "tags").alias("tags"), F.col("in_stock").cast("string").alias("in_stock"),
    )  # fmt: skip


def raw_customers(customers: DataFrame) -> DataFrame:
    """The contract's customers with their attributes as columns."""
    return customers.select(
        "customer_id", F.col("signup_time").cast("string").alias("signup_time"), F.col("birth_year").cast("string"),
        "gender", "country", "region", "city", F.col("attributes")["newsletter"].alias("newsletter"),
    )  # fmt: skip


def raw_consents(consents: DataFrame) -> DataFrame:
    """The contract's consents as text."""
    return consents.select(*(F.col(name).cast("string").alias(name) for name in consents.columns))
