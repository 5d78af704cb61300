"""Tables kept up to date: whatever came in whatever order, they are as if made whole."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pyspark.sql import functions as F

from jobs import summarise_days, total_customers
from lib.events.orders import with_baskets
from lib.features.days import summarise_days as summarise
from lib.features.days import total_days
from lib.runtime.execution import Execution
from lib.settings import load
from lib.tables.contract import GONE
from tests.builders import Build

SETTINGS = load()


def events_of(batch, seed, number=60):
    chance = random.Random(seed)
    return [
        {
            "event_id": f"{seed}-{place}", "batch_id": batch, "customer_id": chance.choice(["ann", "bob", "cid", "dee", "eve"]),
            "event_time": datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=chance.randrange(24 * 20)),
            "amount": Decimal(chance.randrange(1, 50)), "quantity": 1.0, "item_id": chance.choice("abc"),
            "channel": chance.choice(["web", "app"]),
        }
        for place in range(number)
    ]  # fmt: skip


def keep_up(store, settings=SETTINGS):
    """Run both jobs; the lines of those that had something to do."""
    lines = []
    for job in (summarise_days.JOB, total_customers.JOB):
        execution = Execution(store, settings, job)
        if execution.run_upkeep():
            lines.append(execution.line())
    return lines


def content(df):
    return sorted(df.collect(), key=lambda row: str(row[:2]))


def assert_as_if_made_whole(store):
    days = summarise(with_baskets(store.read("events")), {}, SETTINGS.context).cache()
    assert content(store.read("customer_days").select(days.columns)) == content(days)
    totals = total_days(days)
    assert content(store.read("customer_totals").select(totals.columns)) == content(totals)


def put(store, *rows, gone=(), again=False):
    """Rows into the stored events, and some out of them, as an ingest does."""
    build = Build(store.spark)
    come, go = (build("events", *part).withColumn(GONE, F.lit(mark)) for part, mark in ((rows, False), (gone, True)))
    store.change("events", come.unionByName(go), again)


def test_random_batches_late_rows_replays_and_withdrawals_end_as_if_made_whole(store):
    rows = [row for batch in ("b0", "b1") for row in events_of(batch, batch, 40)]
    random.Random(5).shuffle(rows)  # every batch holds late rows
    cuts = rows[::2], rows[1::2]
    put(store, *cuts[0])
    assert all("made from all" in line for line in keep_up(store))
    assert keep_up(store) == [], "nothing new, nothing done"
    put(store, *cuts[1])
    put(store, *cuts[0], again=True)  # a replay
    version = store.version("customer_days")
    said = keep_up(store)
    put(store, gone=cuts[0][1:])  # all but one withdrawn
    said += keep_up(store)
    assert "made from all" not in "".join(said)
    assert store.version("customer_days") > version
    assert_as_if_made_whole(store)


def test_one_more_day_reads_and_writes_that_day_alone(store):
    put(store, *events_of("b0", "x"))
    keep_up(store)
    late = {**events_of("b1", "y", 1)[0], "customer_id": "ann", "event_time": datetime(2024, 5, 1, tzinfo=UTC)}
    put(store, late)
    days, totals = keep_up(store)
    assert "1 rows in" in days and "1 rows in" in totals
    assert_as_if_made_whole(store)


def test_other_settings_and_a_lost_feed_make_them_anew(spark, store):
    put(store, *events_of("b0", "x", 10))
    keep_up(store)
    other = SETTINGS.model_copy(update={"context": SETTINGS.context.model_copy(update={"ignored_types": ["purchase"]})})
    assert all("made from all" in line for line in keep_up(store, other))
    assert store.read("customer_days").where("size(contexts) > 0").isEmpty()
    spark.sql(f"ALTER TABLE {store.identifier('events')} SET TBLPROPERTIES (delta.enableChangeDataFeed = false)")
    put(store, *events_of("b1", "y", 10))
    spark.sql(f"ALTER TABLE {store.identifier('events')} SET TBLPROPERTIES (delta.enableChangeDataFeed = true)")
    assert "made from all events" in keep_up(store, other)[0]
    assert store.read("customer_days").selectExpr("sum(types[0].events)").head()[0] == 20
