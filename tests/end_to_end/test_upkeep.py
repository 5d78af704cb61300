"""Tables kept up to date: whatever came in whatever order, they are as if made whole."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from jobs import summarise_days, total_customers
from lib.events.orders import with_baskets
from lib.features.days import summarise_days as summarise
from lib.features.days import total_days
from lib.runtime.execution import Execution
from lib.settings import load
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


@pytest.mark.parametrize("seed", [1, 2])
def test_random_batches_late_rows_replays_and_withdrawals_end_as_if_made_whole(spark, store, seed):
    chance, build = random.Random(seed), Build(spark)
    rows = [row for batch in ("b0", "b1", "b2") for row in events_of(batch, f"{seed}{batch}", 40)]
    chance.shuffle(rows)  # every batch holds late rows
    cuts = {name: rows[place::3] for place, name in enumerate(("b0", "b1", "b2"))}
    for name, part in cuts.items():
        store.write_batches("events", build("events", *({**row, "batch_id": name} for row in part)), [name], [])
        said = keep_up(store)
        assert ("made from all events" in said[0]) == (name == "b0")
        assert keep_up(store) == [], "nothing new, nothing done"
    version = store.version("customer_days")
    again = build("events", *({**row, "batch_id": "b1"} for row in cuts["b1"]))
    store.write_batches("events", again, ["b1"], [])  # a replay
    keep_up(store)
    store.write_batches(
        "events", build("events", {**cuts["b2"][0], "batch_id": "b2"}), ["b2"], []
    )  # all but one withdrawn
    assert "made from all" not in "".join(keep_up(store))
    assert store.version("customer_days") > version
    assert_as_if_made_whole(store)


def test_one_more_day_reads_and_writes_that_day_alone(spark, store):
    build = Build(spark)
    store.write_batches("events", build("events", *events_of("b0", "x")), ["b0"], [])
    keep_up(store)
    late = {**events_of("b1", "y", 1)[0], "customer_id": "ann", "event_time": datetime(2024, 5, 1, tzinfo=UTC)}
    store.write_batches("events", build("events", late), ["b1"], [])
    days, totals = keep_up(store)
    assert "1 rows in" in days and "1 rows in" in totals
    assert_as_if_made_whole(store)


def test_other_settings_and_a_lost_feed_make_them_anew(spark, store):
    build = Build(spark)
    store.write_batches("events", build("events", *events_of("b0", "x", 10)), ["b0"], [])
    keep_up(store)
    other = SETTINGS.model_copy(update={"context": SETTINGS.context.model_copy(update={"ignored_types": ["purchase"]})})
    assert all("made from all" in line for line in keep_up(store, other))
    assert store.read("customer_days").where("size(contexts) > 0").isEmpty()
    spark.sql(f"ALTER TABLE {store.identifier('events')} SET TBLPROPERTIES (delta.enableChangeDataFeed = false)")
    store.write_batches("events", build("events", *events_of("b1", "y", 10)), ["b1"], [])
    spark.sql(f"ALTER TABLE {store.identifier('events')} SET TBLPROPERTIES (delta.enableChangeDataFeed = true)")
    assert "made from all events" in keep_up(store, other)[0]
    assert store.read("customer_days").selectExpr("sum(types[0].events)").head()[0] == 20
