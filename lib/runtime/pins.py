"""Which version of its inputs a refresh reads, and which of them changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import functions as F

from lib.runtime.clock import now
from lib.runtime.commits import commits
from lib.runtime.parallel import side_by_side
from lib.runtime.store import Store
from lib.tables import TABLES

UPKEEP = ("OPTIMIZE", "REORG", "VACUUM START", "VACUUM END")
"""Delta's operations that change no row."""

UNREAD = ("events_quarantine", "data_quality")
"""Input tables that no publishing job reads."""


@dataclass(frozen=True)
class Pin:
    """A table's newest version, and the newest that changed its rows."""

    version: int
    changed: int


def pin(store: Store, name: str) -> Pin:
    """The table as it is now. Compaction and the like leave `changed` as it was."""
    found = commits(store.spark, store.path(name))
    changed = newest = next(found)
    while changed.operation in UPKEEP and (older := next(found, None)):
        changed = older
    return Pin(newest.version, changed.version)


def pin_inputs(store: Store) -> dict[str, Pin]:
    """Input table → its pin. From here on nothing newer is read."""
    # what is recorded of releases before the as-of date follows from the base: its version, which moves with each release, says nothing
    inputs = [t.name for t in TABLES if not t.published and t.writing not in ("log", "appended")]
    pinned = [name for name in inputs if name not in UNREAD and store.exists(name)]
    return dict(zip(pinned, side_by_side(store.spark, lambda name: pin(store, name), pinned), strict=True))


def default_as_of(store: Store, pinned: Mapping[str, Pin]) -> date:
    """The day after the last event; without any, the day of the last ingest."""
    store.require("events", "run ./spark-submit.sh ingest_events first, or refresh for all")
    events = store.read("events", pinned["events"].version)
    last = events.agg(F.to_date(F.max("event_time")).alias("day")).head()
    if last is not None and last["day"] is not None:
        return date.fromisoformat(str(last["day"])) + timedelta(days=1)
    ingest = store.read("ingest_batches").agg(F.to_date(F.max("finished_at")).alias("day")).head()
    return ingest["day"] if ingest is not None and ingest["day"] is not None else now().date()
