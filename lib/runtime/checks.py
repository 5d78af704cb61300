"""Checks on what was written, before it is published."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import functions as F

from lib.runtime.store import Store
from lib.tables import contract

Check = tuple[str, bool, str]
"""Name, whether it passed, and what was found."""


def check_table(store: Store, name: str, refresh_id: str) -> Check:
    """The key of a published table is unique among the refresh's rows. Rows themselves are checked by Delta's constraints."""
    key = contract(name).key
    groups = store.read_refresh(name, refresh_id).groupBy(*key).agg(F.count("*").alias("rows"))
    found = groups.agg(F.sum("rows").alias("rows"), F.count("*").alias("keys")).head()
    assert found is not None
    rows, keys = int(found["rows"] or 0), int(found["keys"])
    return f"{name}: {', '.join(key)} is unique", rows == keys, f"{rows} rows, {keys} keys"


def check_ingest(store: Store, versions: Mapping[str, int]) -> Check:
    """What the batches accepted, less what they withdrew, is what `events` holds."""
    batches = store.read("ingest_batches", versions.get("ingest_batches"))
    with_events = store.read("events", versions.get("events"))
    balance = (
        batches.where("maps_events").agg(F.sum(F.col("rows_accepted") - F.col("rows_withdrawn")).alias("rows")).head()
    )
    assert balance is not None
    accepted, held = int(balance["rows"] or 0), with_events.count()
    return "ingest: counts close", accepted == held, f"{accepted} accepted, {held} events"
