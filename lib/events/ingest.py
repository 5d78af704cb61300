"""One ingest: which batches are new, their rows judged, and the tables that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lib.events.checks import FINDINGS, broken_rules
from lib.events.currency import as_charged, in_base_currency
from lib.events.intake import accepted_events, count_verdicts, judge, quarantine
from lib.events.mapping import RAW, REASONS, map_rows
from lib.events.merging import known_customers, known_items, merge_rows, union_all
from lib.events.quality import assess
from lib.settings import Source
from lib.settings.checks import Checks, Currency
from lib.settings.sources import SET_BY_INGEST
from lib.tables import contract

Stage = Callable[[DataFrame, str], DataFrame]
"""Writes rows, so that they are computed once, and gives them back."""


@dataclass(frozen=True)
class Batch:
    """One version of one source's input under one mapping."""

    name: str
    source: Source
    batch_id: str
    mapping: str
    files: Sequence[Any]
    delta_version: int | None

    @property
    def main_kind(self) -> str:
        """The kind that the batch's counts are of: events where it maps them."""
        return next(iter(self.source.mappings))


def new_batches(batches: Sequence[Batch], recorded: DataFrame) -> list[Batch]:
    """The batches that `ingest_batches` does not hold. One row per batch there, so it may come to the driver."""
    done = {row["batch_id"] for row in recorded.select("batch_id").collect()}
    return [batch for batch in batches if batch.batch_id not in done]


def ingest(
    batches: Sequence[Batch],
    new: Sequence[Batch],
    raw: Mapping[str, DataFrame],
    inputs: Mapping[str, DataFrame],
    checks: Checks,
    currency: Currency,
    ingested_at: datetime,
    stage: Stage,
    note: Callable[[str], None],
) -> dict[str, DataFrame]:
    """Rows for every input table. `raw` holds every source: items and customers are made anew from all of them.

    Raises IngestStopped where a rule of severity stop is broken, before anything is written.
    """
    every = [(batch, kind) for batch in batches for kind in batch.source.mappings]
    read = {(batch.name, kind): map_rows(raw[batch.name], batch.name, batch.source, kind) for batch, kind in every}
    held_to = (checks, currency, ingested_at)
    mapped = {
        (batch.name, kind): broken_rules(read[batch.name, kind], kind, batch.source, *held_to)
        for batch, kind in every
        if kind != "events"
    }
    rates = _merged("currency_rates", batches, mapped, inputs["events"].sparkSession)
    for batch in batches:
        if batch.main_kind == "events":
            events = in_base_currency(read[batch.name, "events"], rates, batch.source, currency)
            mapped[batch.name, "events"] = broken_rules(events, "events", batch.source, *held_to)
    withdrawn = _withdrawn(new, inputs["ingest_batches"])
    stored = _still_standing(inputs["events"], new, withdrawn)
    judged = [stage(rows, name) for name, rows in _judge(new, mapped, stored).items()]
    quality = assess(judged, new, stored, inputs["data_quality"], checks, currency, ingested_at, note)
    with_events = [rows for rows in judged if "event_id" in rows.columns]
    events = union_all([accepted_events(rows, ingested_at) for rows in with_events] or [inputs["events"].limit(0)])
    outputs = {
        "events": events,
        "events_quarantine": union_all([quarantine(rows, ingested_at) for rows in judged]),
        "data_quality": quality,
        "ingest_batches": _batch_rows(
            new, withdrawn, union_all([count_verdicts(rows) for rows in judged]), ingested_at
        ),
    }
    known = union_all([stored, events])
    return outputs | {kind: stage(rows, kind) for kind, rows in _snapshots(batches, mapped, known).items()}


def _judge(
    new: Sequence[Batch], mapped: Mapping[tuple[str, str], DataFrame], stored: DataFrame
) -> dict[str, DataFrame]:
    """The verdicts on the rows of events, and on those of sources without events. A row counts once: by its main kind."""

    def stamped(batch: Batch) -> DataFrame:
        rows = mapped[batch.name, batch.main_kind]
        return rows.withColumns({"batch_id": F.lit(batch.batch_id), "source": F.lit(batch.name)})

    frames = [stamped(batch) for batch in new if batch.main_kind == "events"]
    others = [
        # rows of other kinds have no id of their own: equal rows of one source are duplicates
        stamped(batch).select(
            "source", "batch_id", RAW, REASONS, FINDINGS, F.sha2(F.concat_ws("\n", "source", RAW), 256).alias("row_id")
        )
        for batch in new
        if batch.main_kind != "events"
    ]
    verdicts = {}
    if frames:
        names = [name for name in contract("events").column_names if name not in SET_BY_INGEST and name != "event_id"]
        # as charged, so that a rate that was corrected since makes no conflict of a row seen before
        content = [as_charged(name) for name in names]
        verdicts["judged_events"] = judge(union_all(frames), "event_id", content, stored)
    if others:
        verdicts["judged_others"] = judge(union_all(others), "row_id", ["row_id"], None)
    return verdicts


def _withdrawn(new: Sequence[Batch], recorded: DataFrame) -> dict[str, int]:
    """Source → events that its batches under another mapping brought: they are taken back and made anew."""
    balance = (
        recorded.where("maps_events")
        .groupBy("source", "mapping")
        .agg(F.sum("rows_accepted").alias("accepted"), F.sum("rows_withdrawn").alias("withdrawn"))
    )
    rows = balance.collect()  # one row per source and mapping
    mappings = {batch.name: batch.mapping for batch in new}
    changed = {r["source"] for r in rows if r["source"] in mappings and r["mapping"] != mappings[r["source"]]}
    standing = {name: sum(r["accepted"] - r["withdrawn"] for r in rows if r["source"] == name) for name in changed}
    return {name: count for name, count in standing.items() if count}


def _still_standing(events: DataFrame, new: Sequence[Batch], withdrawn: Mapping[str, int]) -> DataFrame:
    """Stored events without those taken back, and without what an attempt that did not finish left behind."""
    return events.where(
        ~F.col("batch_id").isin([batch.batch_id for batch in new]) & ~F.col("source").isin(list(withdrawn))
    )


def _batch_rows(
    new: Sequence[Batch], withdrawn: Mapping[str, int], counts: DataFrame, finished_at: datetime
) -> DataFrame:
    known = [
        {
            "batch_id": batch.batch_id,
            "source": batch.name,
            "mapping": batch.mapping,
            "maps_events": batch.main_kind == "events",
            "rows_withdrawn": withdrawn.get(batch.name, 0),
            "input": {
                "files": [{"path": f.path, "size": f.size, "modified": f.modified} for f in batch.files],
                "delta_version": batch.delta_version,
            },
            "finished_at": finished_at,
        }
        for batch in new
    ]
    table = contract("ingest_batches")
    schema = ", ".join(f"`{name}` {table.column(name).type}" for name in known[0])
    rows = counts.sparkSession.createDataFrame(known, schema)
    counted = rows.join(counts, on="batch_id", how="left")  # a batch without a row has no counts
    return counted.na.fill(0).select(table.column_names)


def _snapshots(
    batches: Sequence[Batch], mapped: Mapping[tuple[str, str], DataFrame], events: DataFrame
) -> dict[str, DataFrame]:
    """Items, customers, identities, consents and rates, from the valid rows of every source."""

    def lacking(kind: str) -> list[str]:
        return [batch.name for batch in batches if kind not in batch.source.mappings]

    snapshots = {
        "items": known_items(_valid("items", batches, mapped), events, lacking("items")),
        "customers": known_customers(_valid("customers", batches, mapped), events, lacking("customers")),
    }
    for kind in ("identities", "consents", "currency_rates"):
        snapshots[kind] = _merged(kind, batches, mapped, events.sparkSession)
    return snapshots


def _merged(
    kind: str, batches: Sequence[Batch], mapped: Mapping[tuple[str, str], DataFrame], spark: SparkSession
) -> DataFrame:
    table, rows = contract(kind), _valid(kind, batches, mapped)
    return spark.createDataFrame([], table.schema_ddl()) if rows is None else merge_rows(rows, table)


def _valid(kind: str, batches: Sequence[Batch], mapped: Mapping[tuple[str, str], DataFrame]) -> DataFrame | None:
    """The valid rows of one kind of all sources; None where no source has the kind."""
    frames = [mapped[batch.name, kind] for batch in batches if kind in batch.source.mappings]
    columns = contract(kind).column_names
    return union_all([rows.where(F.size(REASONS) == 0).select(columns) for rows in frames]) if frames else None
