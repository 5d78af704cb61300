"""What customers did, as measures that add up: of a day from its events, of a customer from their days.

A row of measures holds, per event type, counts and sums, the sets of baskets and items, and the amount by day; and the events per
context. Merging rows adds counts and unites sets, so that days need their events once, and all that is known of customers follows
from the measures. The events of an anonymous visit are kept under a name of its own, until a login tells whose they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from functools import reduce
from itertools import pairwise
from operator import and_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.methods.clocks import local_time, name_season
from lib.methods.frames import pick
from lib.settings.customers import Context
from lib.tables.contract import CHANGE, GONE
from lib.tables.days import CONTEXTS, MONEY

VISIT = "session\x1f"
"""What an anonymous visit's name begins with. Ids hold no control characters, so no customer is named like it."""

WHEN, WHERE, ON_WHAT = ("hour", "weekday", "day_part", "season"), ("country", "region", "city"), ("device", "channel")

DAY_PARTS = ("night", "morning", "afternoon", "evening")
"""Six hours each, from midnight."""

SPANS = 20
"""Most spans of time that touched days are read by."""


def name_doer() -> Column:
    """The customer of an event; else its visit; null where neither is known."""
    return F.coalesce("customer_id", name_visit("session_id"))


def name_visit(session: str) -> Column:
    """The name that an anonymous visit's events are kept under."""
    return F.concat(F.lit(VISIT), F.col("source"), F.lit("\x1f"), F.col(session))


def with_day(events: DataFrame) -> DataFrame:
    """The events of customers and visits, under that name in `customer_id`, with their `day`."""
    named = events.withColumns({"customer_id": name_doer(), "day": F.to_date("event_time")})
    return named.where("customer_id IS NOT NULL")


def touched_days(changed: DataFrame) -> DataFrame:
    """customer_id, day: the rows of customer_days that changed events belong to."""
    return with_day(changed).select("customer_id", "day").distinct()


def events_of_days(events: DataFrame, touched: DataFrame) -> DataFrame:
    """All events of the touched days of customers; only files that may hold such days are read."""
    days = sorted(
        {row["day"] for row in touched.select("day").distinct().collect() if row["day"]}
    )  # few: days, not customers
    wanted = F.col("event_time").isNull()
    for first, last in _spans(days):
        wanted = wanted | F.col("event_time").between(F.lit(first), F.lit(last))
    keys = touched.select(F.col("customer_id").alias("_doer"), F.col("day").alias("_day"))
    ours = name_doer().eqNullSafe(F.col("_doer")) & F.to_date("event_time").eqNullSafe(F.col("_day"))
    return events.where(wanted).join(keys, on=ours, how="left_semi")


def _spans(days: Sequence[date]) -> list[tuple[datetime, datetime]]:
    """The days as at most SPANS spans of time, the widest gaps left out."""
    gaps = sorted(((after - before).days, after) for before, after in pairwise(days))
    starts = sorted(day for gap, day in gaps[-SPANS + 1 :] if gap > 1)
    firsts = [*days[:1], *starts]
    lasts = [*(max(day for day in days if day < start) for start in starts), *days[-1:]]
    return [
        (datetime.combine(first, time.min, UTC), datetime.combine(last, time.max, UTC))
        for first, last in zip(firsts, lasts, strict=True)
    ]


def replace_touched(touched: DataFrame, made: DataFrame, *key: str) -> DataFrame:
    """A row per touched key: as made anew, or with GONE."""
    same = [F.col(f"t.{name}").eqNullSafe(F.col(f"m.{name}")) for name in key]
    joined = touched.alias("t").join(made.alias("m"), on=reduce(and_, same), how="left")
    columns = [F.col(f"t.{name}") if name in key else F.col(f"m.{name}") for name in made.columns]
    return joined.select(*columns, F.col("m.types").isNull().alias(GONE))


def summarise_days(events: DataFrame, zones: Mapping[str, str], settings: Context) -> DataFrame:
    """Rows of customer_days. `events` have a basket_id; `zones`: source → the clock its hours and weekdays are told by.

    One shuffle, by customer: all groups are parts of a customer's rows. Cost: a sort of the events within it.
    """
    columns = _context_columns(zones, settings.properties)
    rows = with_day(events).withColumns({f"in_{name}": column.cast("string") for name, column in columns.items()})
    names = list(columns)
    counts = ~F.col("event_type").isin(settings.ignored_types)
    prefixed = [f"in_{name}" for name in names]
    mine = rows.repartition("customer_id")
    slots = mine.groupBy("customer_id", "day", "event_type", *prefixed).agg(
        F.count("*").alias("events"),
        F.sum(F.coalesce("quantity", F.lit(1.0))).alias("units"),
        F.sum("amount").cast(MONEY).alias("amount"),
        F.collect_set("basket_id").alias("baskets"),
        F.collect_set("item_id").alias("items"),
    )
    types = slots.groupBy("customer_id", "day", "event_type").agg(
        *_added_up(),
        F.collect_list(F.when(counts, F.struct("events", *prefixed))).alias("slots"),
    )
    dated = F.when(F.col("day").isNotNull(), F.array(F.struct("day", "amount")))
    measured = types.withColumn("days", F.coalesce(dated, F.array().cast(f"array<struct<day:date,amount:{MONEY}>>")))
    days = measured.groupBy("customer_id", "day").agg(_types(), F.flatten(F.collect_list("slots")).alias("slots"))
    return days.select("customer_id", "day", "types", _contexts(names).alias("contexts"))


def merge_types(rows: DataFrame) -> DataFrame:
    """customer_id, types: one row per customer_id of `rows`, counts added and sets united."""
    each = rows.repartition("customer_id").select("customer_id", F.inline("types"))
    types = each.groupBy("customer_id", "event_type").agg(
        *_added_up(),
        F.sort_array(F.flatten(F.collect_list("days"))).alias("days"),
    )
    return types.groupBy("customer_id").agg(_types())


def count_values(rows: DataFrame) -> DataFrame:
    """customer_id, dimension, value, events: the contexts of each customer_id of `rows`, added up."""
    mine = rows.repartition("customer_id")
    values = mine.select("customer_id", F.inline("contexts")).select("customer_id", "dimension", F.inline("values"))
    return values.groupBy("customer_id", "dimension", "value").agg(F.sum("events").alias("events"))


def total_days(days: DataFrame) -> DataFrame:
    """Rows of customer_totals from all days of their customers."""
    places = count_values(days).groupBy("customer_id", "dimension").agg(
        F.sum("events").alias("events"), _sorted_list("value", "events").alias("values")
    )  # fmt: skip
    contexts = places.groupBy("customer_id").agg(_sorted_list("dimension", "events", "values").alias("contexts"))
    last = days.repartition("customer_id").groupBy("customer_id").agg(F.max("day").alias("last_day"))
    joined = merge_types(days).join(contexts, on="customer_id", how="left").join(last, on="customer_id", how="left")
    return joined.withColumn("contexts", F.coalesce("contexts", F.array().cast(CONTEXTS)))


def touched_customers(changed: DataFrame) -> DataFrame:
    """customer_id, grown: the customers of changed days, and whether days came and none of theirs went or changed."""
    return changed.groupBy("customer_id").agg(F.bool_and(F.col(CHANGE) == "insert").alias("grown"))


def days_of_customers(touched: DataFrame, changed: DataFrame, totals: DataFrame, days: DataFrame) -> DataFrame:
    """What the totals of touched customers are made of: rows that add up, of `totals` and new days, or of all their `days`."""
    grown, others = (touched.where(which).select("customer_id") for which in ("grown", "NOT grown"))
    had = totals.withColumnRenamed("last_day", "day")
    parts = [had.join(grown, on="customer_id", how="left_semi"), changed.join(grown, on="customer_id", how="left_semi")]
    parts.append(days.join(others, on="customer_id", how="left_semi"))
    return reduce(DataFrame.unionByName, (part.select("customer_id", "day", "types", "contexts") for part in parts))


def _context_columns(zones: Mapping[str, str], properties: Sequence[str]) -> dict[str, Column]:
    local = local_time(zones)
    hour = F.hour(local)
    columns = {
        "hour": hour,
        "weekday": F.weekday(local) + 1,
        "day_part": pick(DAY_PARTS, F.floor(hour / 6)),
        "season": name_season(local),
    }
    columns |= {name: F.col(name) for name in (*WHERE, *ON_WHAT)}
    return columns | {name: F.try_element_at("properties", F.lit(name)) for name in properties}


def _contexts(names: Sequence[str]) -> Column:
    """Events per dimension and value, sorted, from `slots`: there are few of a day, so they are added up in place."""

    def of(name: str) -> Column:
        def count(value: Column) -> Column:
            same = F.filter("slots", lambda slot: slot[f"in_{name}"] == value)
            return F.struct(value.alias("value"), _add_up(same).alias("events"))

        held = F.array_compact(F.transform("slots", lambda slot: slot[f"in_{name}"]))
        values = F.transform(F.sort_array(F.array_distinct(held)), count)
        return F.struct(F.lit(name).alias("dimension"), _add_up(values).alias("events"), values.alias("values"))

    known = F.filter(F.array(*(of(name) for name in sorted(names))), lambda context: context["events"] > 0)
    return known.cast(CONTEXTS)


def _add_up(counted: Column) -> Column:
    return F.aggregate(counted, F.lit(0).cast("bigint"), lambda total, entry: total + entry["events"])


def _added_up() -> list[Column]:
    """What rows of one event type come to together."""
    return [
        F.sum("events").alias("events"),
        F.sum("units").alias("units"),
        F.sum("amount").cast(MONEY).alias("amount"),
        _union("baskets"),
        _union("items"),
    ]


def _union(column: str) -> Column:
    return F.sort_array(F.array_distinct(F.flatten(F.collect_list(column)))).alias(column)


def _types() -> Column:
    names = ("event_type", "events", "units", "amount", "baskets", "items", "days")
    return _sorted_list(*names).alias("types")


def _sorted_list(*names: str) -> Column:
    return F.sort_array(F.collect_list(F.struct(*names)))
