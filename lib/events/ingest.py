"""One ingest: the new rows of each source judged, and the changes of every table that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.events.batches import Batch, batch_rows, counts_of, tell_late
from lib.events.checks import broken_rules
from lib.events.currency import in_base_currency, tell_changed_rates
from lib.events.intake import (
    HELD,
    NEW,
    ORIGIN,
    SET_ASIDE,
    accepted_events,
    quarantine,
    quarantine_withdrawn,
    withdrawn,
)
from lib.events.judging import judge_batches
from lib.events.mapping import map_rows
from lib.events.merging import merge_rows, union_all
from lib.events.quality import assess
from lib.events.records import FROM_EVENTS, Events, changed_rows, new_records
from lib.settings import Source
from lib.settings.checks import Checks, Currency
from lib.tables import contract
from lib.tables.contract import GONE
from lib.tables.records import RECORDS

Stage = Callable[[DataFrame, str], DataFrame]
"""Writes rows, so that they are computed once, and gives them back."""

Mapped = Mapping[tuple[str, str], DataFrame]
"""Source and kind → its mapped rows with `source`, `batch_id`, `raw`, `reasons` and `findings`."""

BY_SOURCE = ("events", "events_quarantine", *(table.name for table in RECORDS.values()))
"""Tables from which everything of a source goes before it is read anew."""


@dataclass(frozen=True)
class Rules:
    """What rows are held to, and the time of the ingest."""

    checks: Checks
    currency: Currency
    ingested_at: datetime


@dataclass(frozen=True)
class Warehouse:
    """The tables before an ingest, and what it takes back of them."""

    tables: Mapping[str, DataFrame]
    anew: Sequence[str]
    """Sources that are read anew."""

    def standing(self) -> dict[str, DataFrame]:
        """The rows by source that stay."""
        stays = ~self._is_taken_back() if self.anew else F.lit(True)
        return {name: self.tables[name].where(stays) for name in BY_SOURCE}

    def taken_back(self, name: str) -> DataFrame:
        """The rows by source that go."""
        return self.tables[name].where(self._is_taken_back()) if self.anew else self.tables[name].limit(0)

    def change(self, name: str, put: DataFrame, *gone: DataFrame) -> DataFrame:
        """Rows to put into a table, and with GONE those to take out."""
        found_by = contract(name).found_by
        back = [self.taken_back(name)] if self.anew and name in BY_SOURCE else []
        marked = [rows.select(*found_by).distinct().withColumn(GONE, F.lit(True)) for rows in [*gone, *back]]
        return union_all([put.withColumn(GONE, F.lit(False)), *marked])

    def _is_taken_back(self) -> Column:
        return F.col("source").isin(list(self.anew))


def ingest(
    batches: Sequence[Batch],
    sources: Mapping[str, Source],
    tables: Mapping[str, DataFrame],
    rules: Rules,
    stage: Stage,
    note: Callable[[str], None],
) -> dict[str, DataFrame]:
    """The rows that go into each table, and with GONE those to take out.

    batches: at least one. sources: all of the settings. tables: as they are. Raises IngestStopped where a rule of severity stop
    is broken, before anything is written.
    """
    warehouse = Warehouse(tables, [batch.name for batch in batches if batch.anew])
    standing = warehouse.standing()
    mapped = dict(_map(batches, list(RECORDS), rules, None))
    fresh = _fresh_records(batches, mapped, standing, stage)
    rates = _rates(standing, fresh)
    if rules.currency.base and batches[0].number > 1 and (warehouse.anew or "currency_rates" in fresh):
        stored = standing["events"], standing["events_quarantine"]
        tell_changed_rates(tables["currency_rates"], rates, stored, rules.currency, note)
    mapped |= dict(_map(batches, ["events"], rules, rates))
    judged = judge_batches(batches, mapped, standing, rules.checks, stage)
    new_rows = [rows.where(F.col(ORIGIN) == NEW) for rows in judged]
    asked = (rules.checks, rules.currency, rules.ingested_at, note)
    quality = assess(new_rows, batches, standing["events"], tables["data_quality"], *asked)
    counts = counts_of(batches, judged, tables["events"])
    tell_late(batches, counts, rules.checks, note)
    # the columns of events, where no source has any
    verdicts = union_all([*judged, tables["events"].limit(0)])
    accepted = accepted_events(verdicts, rules.ingested_at)
    taken = withdrawn(verdicts, HELD)
    aside = [quarantine(verdicts, rules.ingested_at)]
    stays, moved = standing["events"], accepted
    withdraws = any(count.get("rows_withdrawn") for count in counts.values())
    if withdraws:  # else stored events need not be looked at
        aside.append(quarantine_withdrawn(verdicts, stays, rules.ingested_at))
        moved = union_all([stays.join(taken, on="event_id", how="left_semi"), accepted])
        stays = stays.join(taken, on="event_id", how="left_anti")
    everything = batches[0].number == 1 or any(batch.anew and batch.main_kind == "events" for batch in batches)
    events = Events(union_all([stays, accepted]), moved, everything)
    return {
        "events": warehouse.change("events", accepted, taken),
        "events_quarantine": warehouse.change("events_quarantine", union_all(aside), withdrawn(verdicts, SET_ASIDE)),
        **_changed_profiles(warehouse, batches, sources, standing, fresh, events),
        "data_quality": quality,
        "ingest_batches": batch_rows(batches, counts, rules.ingested_at),
    }


def _map(
    batches: Sequence[Batch], kinds: Sequence[str], rules: Rules, rates: DataFrame | None
) -> Iterator[tuple[tuple[str, str], DataFrame]]:
    """The batches' rows of these kinds, mapped and held to the rules."""
    held_to = (rules.checks, rules.currency, rules.ingested_at)
    for batch in batches:
        for kind in batch.source.mappings:
            if kind in kinds:
                rows = map_rows(batch.raw, batch.name, batch.source, kind)
                if rates is not None:
                    rows = in_base_currency(rows, rates, batch.source, rules.currency)
                judged = broken_rules(rows, kind, batch.source, *held_to)
                stamp = {"batch_id": F.lit(batch.batch_id), "source": F.lit(batch.name)}
                yield (batch.name, kind), judged.withColumns(stamp)


def _fresh_records(
    batches: Sequence[Batch], mapped: Mapped, standing: Mapping[str, DataFrame], stage: Stage
) -> dict[str, DataFrame]:
    """Kind → the records that are new; for every kind that a batch maps."""
    fresh = {}
    for kind, table in RECORDS.items():
        rows = [mapped[batch.name, kind] for batch in batches if kind in batch.source.mappings]
        if rows:
            fresh[kind] = stage(new_records(rows, kind, standing[table.name]), table.name)
    return fresh


def _rates(standing: Mapping[str, DataFrame], fresh: Mapping[str, DataFrame]) -> DataFrame:
    kind = "currency_rates"
    records = [standing[RECORDS[kind].name], *([fresh[kind]] if kind in fresh else [])]
    return merge_rows(union_all(records), contract(kind))


def _changed_profiles(
    warehouse: Warehouse,
    batches: Sequence[Batch],
    sources: Mapping[str, Source],
    standing: Mapping[str, DataFrame],
    fresh: Mapping[str, DataFrame],
    events: Events,
) -> dict[str, DataFrame]:
    """Changes of items, customers, identities, consents and rates, and of the records behind them, wherever there may be any."""
    with_events = any(batch.main_kind == "events" for batch in batches)
    changes = {}
    for kind, table in RECORDS.items():
        new = fresh.get(kind, standing[table.name].limit(0))
        back = warehouse.taken_back(table.name)
        if kind in fresh or events.everything or warehouse.anew or (with_events and kind in FROM_EVENTS):
            tables = (warehouse.tables[kind], standing[table.name], new, back)
            changes[kind] = changed_rows(kind, *tables, events, sources)
        if kind in fresh or warehouse.anew:
            changes[table.name] = warehouse.change(table.name, new)
    return changes
