"""Keeps the mapped rows behind items, customers, identities, consents and rates, and merges anew the ids that an ingest touches.

A row counts once, however often it comes: its record is a hash of the row as it came. Tallies of values would take less room, but could
not tell a row that comes again. What events say of an item or customer is not kept a second time: it is read from the stored events of
the touched ids, a scan of few columns. On a day those are few customers, but may be most items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from lib.events.intake import hash_of
from lib.events.mapping import RAW, REASONS
from lib.events.merging import known_customers, known_items, merge_rows, union_all
from lib.settings import Source
from lib.tables import contract
from lib.tables.contract import GONE
from lib.tables.records import RECORDS

FROM_EVENTS = {"items": "item_id", "customers": "customer_id"}
"""Tables that hold every id which events name, and the events' column of it."""


@dataclass(frozen=True)
class Events:
    """Events as they are after an ingest, and those that it added or took away."""

    standing: DataFrame
    moved: DataFrame
    everything: bool
    """Whether all ids are merged anew, for no less than all may have changed."""


def new_records(rows: Sequence[DataFrame], kind: str, standing: DataFrame) -> DataFrame:
    """Records of the valid rows that are not among the `standing` ones. rows: mapped, with `source`, `batch_id`, `raw`, `reasons`."""
    table = RECORDS[kind]
    hashed = union_all(rows).where(F.size(REASONS) == 0).withColumn("record", F.xxhash64("source", RAW))
    distinct = hashed.select(table.column_names).dropDuplicates(list(table.key))
    return distinct.join(standing.select(*table.key), on=list(table.key), how="left_anti")


def merged_records(kind: str, records: DataFrame, events: DataFrame, sources: Mapping[str, Source]) -> DataFrame:
    """Rows of the table of that kind, from its records and, for items and customers, from events."""
    lacking = [name for name, source in sources.items() if kind not in source.mappings]
    if kind == "items":
        return known_items(records.select(contract(kind).column_names), events, lacking)
    if kind == "customers":
        return known_customers(records.select(contract(kind).column_names), events, lacking)
    return merge_rows(records, contract(kind))


def changed_rows(
    kind: str,
    current: DataFrame,
    standing: DataFrame,
    fresh: DataFrame,
    back: DataFrame,
    events: Events,
    sources: Mapping[str, Source],
) -> DataFrame:
    """The rows by which a table changes, those to take out with GONE.

    current: the table. standing, fresh, back: its records that stay, that are new, and that are taken back.
    """
    key = list(contract(kind).key)
    records, seen = union_all([standing, fresh]), events.standing
    if not events.everything:
        ids = [fresh.select(*key), back.select(*key)]
        if kind in FROM_EVENTS:
            named = events.moved.select(F.col(FROM_EVENTS[kind]))
            ids.append(named.where(F.col(FROM_EVENTS[kind]).isNotNull()))
        touched = union_all(ids).distinct()
        records = records.join(touched, on=key, how="left_semi")
        current = current.join(touched, on=key, how="left_semi")
        seen = seen.join(touched, on=key, how="left_semi") if kind in FROM_EVENTS else seen
    return _difference(current, merged_records(kind, records, seen, sources), key)


def _difference(current: DataFrame, wanted: DataFrame, key: Sequence[str]) -> DataFrame:
    """What is in one of them and not in the other."""
    both = current.withColumn(GONE, F.lit(True)).unionByName(wanted.withColumn(GONE, F.lit(False)))
    same = Window.partitionBy(*key, "_row")
    found = both.withColumn("_row", hash_of(current.columns)).withColumn("_sides", F.count("*").over(same))
    return found.where(F.col("_sides") == 1).drop("_row", "_sides")
