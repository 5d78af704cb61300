"""An ingest that ends between two of its tables is finished by the next run."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import functions as F

from lib.runtime.journal import Journal
from lib.runtime.store import Store


class Mortal(Store):
    """A store that dies of something when it comes to a table."""

    dies_at = ""
    dies_of: type[BaseException] = KeyboardInterrupt

    def change(self, name, df, again=False):
        if name == self.dies_at:
            raise self.dies_of
        return super().change(name, df, again)


@pytest.fixture
def outputs(build):
    """What an ingest of batch 2 wants: an event replaced, one withdrawn to quarantine, an item renamed."""
    events = build("events", {"event_id": "1", "batch_id": "2"}, {"event_id": "3", "batch_id": "2"})
    gone = build("events", {"event_id": "1"}, {"event_id": "2"})
    item = build("items", {"item_id": "cup", "title": "Cup"})
    return {
        "events": events.withColumn("_gone", F.lit(False)).union(gone.withColumn("_gone", F.lit(True))),
        "events_quarantine": build("events_quarantine", {"reasons": ["x"]}, {"reasons": ["x"]}),
        "items": item.withColumn("_gone", F.lit(False)).union(item.withColumn("_gone", F.lit(True))),
        "ingest_batches": build("ingest_batches", {"batch_id": "2", "rows_read": 2, "rows_accepted": 2}),
    }


@pytest.fixture
def before(store, build):
    """A warehouse with two events and an item."""
    store.change("events", build("events", {"event_id": "1"}, {"event_id": "2"}).withColumn("_gone", F.lit(False)))
    store.change("items", build("items", {"item_id": "cup", "title": "cup"}).withColumn("_gone", F.lit(False)))
    return store


def held(store):
    columns = {"events": ["event_id", "batch_id"], "events_quarantine": ["reasons"], "items": ["item_id", "title"],
               "ingest_batches": ["batch_id"]}  # fmt: skip
    return {name: sorted(map(tuple, store.read(name).select(found).collect())) for name, found in columns.items()}


AFTER = {
    "events": [("1", "2"), ("3", "2")], "events_quarantine": [(["x"],), (["x"],)], "items": [("cup", "Cup")],
    "ingest_batches": [("2",)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("table", "error"), [("events", KeyboardInterrupt), ("items", OSError), ("ingest_batches", KeyboardInterrupt)]
)
def test_what_was_begun_is_finished_once(spark, before, outputs, table, error):
    mortal = Mortal(spark, before.root)
    mortal.dies_at, mortal.dies_of = table, error
    with pytest.raises(error):
        Journal(mortal).carry_out(outputs)
    assert held(before) != AFTER
    assert Journal(before).finish()
    assert held(before) == AFTER
    assert not Journal(before).finish()
    assert not Path(before.root, "_journal").exists()


def test_half_a_journal_is_none(before, outputs):
    unfinished = held(before)
    outputs["items"].write.parquet(f"{before.root}/_journal/items")
    assert not Journal(before).finish()
    assert held(before) == unfinished


def test_events_that_the_table_refuses_leave_nothing_to_finish(before, build, outputs):
    bad = build("events", {"event_id": "9", "quantity": float("nan")})
    with pytest.raises(Exception, match="quantity_not_negative"):
        Journal(before).carry_out(outputs | {"events": bad})
    assert not Journal(before).finish()
    assert held(before)["events_quarantine"] == []
