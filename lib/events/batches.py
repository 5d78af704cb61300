"""What an ingest reads anew of one source, and its row in `ingest_batches`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.events.intake import count_verdicts
from lib.events.merging import union_all
from lib.settings import Source
from lib.settings.checks import Checks
from lib.tables import contract

Counts = Mapping[str, Mapping[str, int]]
"""Batch → what happened to its rows → how many."""


@dataclass(frozen=True)
class Batch:
    """What is new in one source, read under one mapping. `anew`: what it brought before is taken back, and all of it read again."""

    name: str
    source: Source
    batch_id: str
    number: int
    mapping: str
    anew: bool
    files: Sequence[Any]
    delta_version: int | None
    schema: str
    raw: DataFrame

    @property
    def main_kind(self) -> str:
        """The kind that the batch's counts are of: events where it maps them."""
        return next(iter(self.source.mappings))


def counts_of(batches: Sequence[Batch], judged: Sequence[DataFrame], events: DataFrame) -> Counts:
    """Counts of every batch. A batch that is read anew also withdraws all `events` of its source."""
    rows = union_all([count_verdicts(rows) for rows in judged]).collect()  # one per batch
    counts: dict[str, dict[str, int]] = {batch.batch_id: {} for batch in batches}
    for row in rows:
        counts[row["batch_id"]] = {name: value for name, value in row.asDict().items() if name != "batch_id"}
    sources = {batch.name: batch.batch_id for batch in batches if batch.anew}
    if sources:
        back = events.where(F.col("source").isin(list(sources))).groupBy("source").count()
        for row in back.collect():  # one per source
            of_batch = counts[sources[row["source"]]]
            of_batch["rows_withdrawn"] = of_batch.get("rows_withdrawn", 0) + row["count"]
    return counts


def tell_late(batches: Sequence[Batch], counts: Counts, checks: Checks, note: Callable[[str], None]) -> None:
    """Say how many events came too late."""
    for batch in batches:
        if late := counts[batch.batch_id].get("rows_late", 0):
            note(
                f"{batch.name}: {late:,} events are more than checks.late_window = {checks.late_window} older than the newest stored "
                "one: set aside as late:event_time"
            )


def batch_rows(batches: Sequence[Batch], counts: Counts, finished_at: datetime) -> DataFrame:
    """Rows of `ingest_batches`."""
    table = contract("ingest_batches")
    rows = [
        {
            "batch_id": batch.batch_id,
            "number": batch.number,
            "source": batch.name,
            "mapping": batch.mapping,
            "maps_events": batch.main_kind == "events",
            "anew": batch.anew,
            **{name: counts[batch.batch_id].get(name, 0) for name in table.column_names if name.startswith("rows_")},
            "input": {
                "files": [{"path": f.path, "size": f.size, "modified": f.modified} for f in batch.files],
                "delta_version": batch.delta_version,
            },
            "schema": batch.schema,
            "finished_at": finished_at,
        }
        for batch in batches
    ]
    return batches[0].raw.sparkSession.createDataFrame(rows, table.schema_ddl())
