"""What is known of persons: the measures of the ids and visits that are one, brought together.

Each job that asks is given what it asks for, and no more is shuffled: of event types that it does not name only how many events there
were and the first day. Where no person has several ids or visits nothing is shuffled at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from lib.features.days import VISIT, count_values, name_visit
from lib.features.orders import add_up, of_types

Stage = Callable[[DataFrame, str], DataFrame]


@dataclass(frozen=True)
class Measures:
    """What the events before a date say of every id and visit, and whose these are."""

    rows: DataFrame
    """customer_id, types, contexts: those of customer_totals, or of customer_days where the totals reach beyond the date."""
    several: bool
    """Whether a person may have more than one of the rows."""
    moved: DataFrame
    """customer_id, person: the customers that became another."""
    visits: DataFrame
    """customer_id, person: the visits, as days name them, that are someone's."""


def read_measures(inputs: Mapping[str, DataFrame], as_of: date, stage: Stage) -> Measures:
    """From customer_days (those before the as-of date), customer_totals and customer_identities. Days are read only if need be."""
    days, totals, identities = (inputs[name] for name in ("customer_days", "customer_totals", "customer_identities"))
    beyond = _reach_beyond(totals, as_of)
    person = F.col("customer_id").alias("person")
    others = identities.where("id_type = 'customer' AND source_id <> customer_id")
    # staged, Spark knows how few they are: the wide rows of customers need no shuffle to be joined with them
    moved = stage(others.select(F.col("source_id").alias("customer_id"), person).distinct(), "moved")
    logins = identities.where("id_type = 'session' AND customer_id IS NOT NULL")
    visits = logins.select(name_visit("source_id").alias("customer_id"), person)
    several = beyond or not (moved.isEmpty() and visits.isEmpty())
    return Measures(days if beyond else totals, several, moved, visits)


def held_types(measures: Measures) -> DataFrame:
    """event_type of every type that there is, some more than once."""
    return measures.rows.select(F.explode("types.event_type").alias("event_type"))


def known_types(measures: Measures, wanted: Sequence[str]) -> DataFrame:
    """customer_id, events, first_event, types of every person with an event; visits without a login are left out.

    events bigint and first_event date (null: no day is known) are of all types. `types` holds those that are `wanted`, as customer_days
    does, and one type several times where the person has several ids: counts of its entries add up, sets unite.
    """
    named = _of_persons(measures, *measure_types(wanted))
    if not measures.several:
        return named.drop("id")
    parts = F.collect_list(F.struct("id", "types"))
    return named.groupBy("customer_id").agg(
        F.sum("events").alias("events"),
        F.min("first_event").alias("first_event"),
        # in the order of the ids: sums of floats depend on it
        F.flatten(F.sort_array(parts)["types"]).alias("types"),
    )


def recent_types(
    inputs: Mapping[str, DataFrame], measures: Measures, as_of: date, window_days: int, wanted: Sequence[str]
) -> DataFrame | None:
    """The same of the last `window_days` days alone; None for 0: no window."""
    if not window_days:
        return None
    days = inputs["customer_days"].where(F.col("day") >= F.date_sub(F.lit(as_of), window_days))
    return known_types(Measures(days, True, measures.moved, measures.visits), wanted)


def measure_types(wanted: Sequence[str]) -> list[Column]:
    """events, first_event and the wanted types of a row of customer_days or customer_totals."""
    return [
        add_up(F.col("types.events"), "bigint").alias("events"),
        F.array_min(F.transform("types", lambda entry: F.get(entry["days"], F.lit(0))["day"])).alias("first_event"),
        of_types(wanted).alias("types"),
    ]


def known_contexts(measures: Measures) -> DataFrame:
    """customer_id, dimension, value, events, total (of all values of the dimension) of every person with an event that knows any."""
    named = _of_persons(measures, F.col("contexts"))
    if not measures.several:
        dimensions = named.select("customer_id", F.inline("contexts")).withColumnRenamed("events", "total")
        return dimensions.select("customer_id", "dimension", F.inline("values"), "total")
    # sorted as the rows will be written, which is all the order that the window asks for
    counted = count_values(named).sortWithinPartitions("customer_id", "dimension", "value")
    return counted.withColumn("total", F.sum("events").over(Window.partitionBy("customer_id", "dimension")))


def _of_persons(measures: Measures, *columns: Column) -> DataFrame:
    """customer_id of the person, id, and the columns, of every row that is a person's."""
    rows = measures.rows.select("customer_id", F.col("customer_id").startswith(VISIT).alias("_is_visit"), *columns)
    customers, visits = (rows.where(which).drop("_is_visit") for which in ("NOT _is_visit", "_is_visit"))
    own = customers.join(measures.moved, on="customer_id", how="left")
    theirs = visits.join(measures.visits, on="customer_id", how="inner")
    named = own.unionByName(theirs) if measures.several else own
    renamed = named.withColumnRenamed("customer_id", "id")
    return renamed.withColumn("customer_id", F.coalesce("person", "id")).drop("person")


def _reach_beyond(totals: DataFrame, as_of: date) -> bool:
    last = totals.agg(F.max("last_day").alias("day")).head()
    return last is not None and last["day"] is not None and last["day"] >= as_of
