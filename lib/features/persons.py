"""What is known of persons: the measures of the ids and visits that are one, brought together.

Each job that asks is given what it asks for, and no more is shuffled: of event types that it does not name only how many events there
were and the first day; contexts as counts. Ids that are alone are not shuffled at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.features.days import VISIT, count_values, merge_types, name_visit
from lib.features.orders import add_up
from lib.tables.days import MONEY, TYPES

OTHER = "\x1fother"
"""The event type that all those which are not asked for are brought together under; no source's type has a control character."""


def held_types(days: DataFrame, totals: DataFrame, as_of: date) -> DataFrame:
    """event_type of every type that there is, some more than once."""
    return _measured(days, totals, as_of).select(F.explode("types.event_type").alias("event_type"))


def known_types(
    days: DataFrame, totals: DataFrame, customer_identities: DataFrame, as_of: date, wanted: Sequence[str]
) -> DataFrame:
    """customer_id, types of every person with an event; visits without a login are left out.

    `days` are those before the as-of date. They are read only where `totals` reach beyond it. Types that are not `wanted` are one
    entry, OTHER, with their number of events, units, amount and first day.
    """
    if _reach_beyond(totals, as_of):
        return _merge_days(days, customer_identities, wanted)
    return merge_persons(totals.withColumn("types", _pruned(wanted)), customer_identities)


def recent_types(
    days: DataFrame, customer_identities: DataFrame, as_of: date, window_days: int, wanted: Sequence[str]
) -> DataFrame | None:
    """The same of the last `window_days` days alone; None for 0: no window."""
    if not window_days:
        return None
    return _merge_days(days.where(F.col("day") >= F.date_sub(F.lit(as_of), window_days)), customer_identities, wanted)


def known_contexts(days: DataFrame, totals: DataFrame, customer_identities: DataFrame, as_of: date) -> DataFrame:
    """customer_id, dimension, value, events of every person with an event that knows any."""
    named = _of_persons(_measured(days, totals, as_of).select("customer_id", "contexts"), customer_identities)
    return count_values(named)


def known_persons(days: DataFrame, totals: DataFrame, customer_identities: DataFrame, as_of: date) -> DataFrame:
    """customer_id of every person with an event."""
    return _of_persons(_measured(days, totals, as_of).select("customer_id"), customer_identities).distinct()


def merge_persons(measures: DataFrame, customer_identities: DataFrame) -> DataFrame:
    """customer_id, types by person, of measures with a row per id. Only persons of several ids are merged, so that most rows stay."""
    measures = measures.select("customer_id", "types")
    others = _other_names(customer_identities)
    persons = others.select(F.col("person").alias("customer_id")).distinct()
    several = others.select("customer_id").unionByName(persons).distinct()
    alone = measures.where(~_is_visit()).join(several, on="customer_id", how="left_anti")
    shared = measures.join(several, on="customer_id", how="left_semi").join(others, on="customer_id", how="left")
    named = shared.withColumn("customer_id", F.coalesce("person", "customer_id")).drop("person")
    return alone.unionByName(merge_types(named))


def _merge_days(days: DataFrame, customer_identities: DataFrame, wanted: Sequence[str]) -> DataFrame:
    pruned = days.select("customer_id", _pruned(wanted).alias("types"))
    return merge_types(_of_persons(pruned, customer_identities))


def _of_persons(rows: DataFrame, customer_identities: DataFrame) -> DataFrame:
    """The rows under the person's name, without visits that are nobody's."""
    named = rows.join(_other_names(customer_identities), on="customer_id", how="left")
    known = named.where(~_is_visit() | F.col("person").isNotNull())
    return known.withColumn("customer_id", F.coalesce("person", "customer_id")).drop("person")


def _is_visit() -> Column:
    return F.col("customer_id").startswith(VISIT)


def _measured(days: DataFrame, totals: DataFrame, as_of: date) -> DataFrame:
    """Measures by id, several rows an id where they are days."""
    return days if _reach_beyond(totals, as_of) else totals


def _reach_beyond(totals: DataFrame, as_of: date) -> bool:
    last = totals.agg(F.max("last_day").alias("day")).head()
    return last is not None and last["day"] is not None and last["day"] >= as_of


def _other_names(customer_identities: DataFrame) -> DataFrame:
    """customer_id, person: the ids and visits in the days that are someone of another name."""
    of_type = F.col("id_type")
    name = F.when(of_type == "customer", F.col("source_id")).when(of_type == "session", name_visit("source_id"))
    named = customer_identities.select(name.alias("customer_id"), F.col("customer_id").alias("person"))
    return named.where("customer_id <> person").distinct()


def _pruned(wanted: Sequence[str]) -> Column:
    """`types` with those that are not wanted as one."""
    asked = F.filter("types", lambda entry: entry["event_type"].isin(list(wanted)))
    rest = F.filter("types", lambda entry: ~entry["event_type"].isin(list(wanted)))
    days = F.array_sort(F.flatten(rest["days"]))
    other = F.struct(
        F.lit(OTHER).alias("event_type"),
        add_up(rest["events"], "bigint").alias("events"),
        add_up(rest["units"], "double").alias("units"),
        add_up(rest["amount"], MONEY).alias("amount"),
        F.array().cast("array<string>").alias("baskets"),
        F.array().cast("array<string>").alias("items"),
        F.slice(days, 1, 1).alias("days"),
    )
    one = F.when(F.size(rest) > 0, F.array(other)).otherwise(F.array())
    return F.concat(asked, one.cast(TYPES))
