"""The rows of all batches of an ingest, judged beside what is stored of the same ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.events.batches import Batch
from lib.events.checks import FINDINGS
from lib.events.currency import as_charged
from lib.events.intake import CONTENT, IS_LATE, KEY, hash_of, held, judge, set_aside, with_identity
from lib.events.mapping import RAW, REASONS
from lib.events.merging import union_all
from lib.settings.checks import Checks
from lib.settings.sources import SET_BY_INGEST
from lib.tables import contract
from lib.tables.records import RECORDS

_IDENTITY = "_identity"


def judge_batches(
    batches: Sequence[Batch],
    mapped: Mapping[tuple[str, str], DataFrame],
    standing: Mapping[str, DataFrame],
    checks: Checks,
    stage: Callable[[DataFrame, str], DataFrame],
) -> list[DataFrame]:
    """Verdicts on the rows of events, and on those of sources without events. A row counts once: by its main kind.

    standing: events, quarantine and records without those of sources that are read anew under another mapping.
    """
    with_events = [batch for batch in batches if batch.main_kind == "events"]
    others = [batch for batch in batches if batch.main_kind != "events"]
    judged = []
    if with_events:
        newest = _newest_times(standing["events"]) if batches[0].number > 1 else {}
        rows = union_all([_events(batch, mapped, newest.get(batch.name), checks) for batch in with_events])
        held_events = held(standing["events"], F.col("event_id"), F.col(CONTENT), F.col("revision"))
        keep_raw = [batch.name for batch in with_events if "event_id" in batch.source.mappings["events"]]
        judged.append(_judged("events", rows, held_events, standing, batches, keep_raw, stage))
    if others:
        rows = union_all([_other(batch, mapped) for batch in others])
        kinds = sorted({batch.main_kind for batch in others})
        records = [(standing[RECORDS[kind].name], _record_identity(kind)) for kind in kinds]
        no_revision = F.lit(None).cast("bigint")
        held_records = union_all([held(rows, identity, F.col("record"), no_revision) for rows, identity in records])
        judged.append(_judged("others", rows, held_records, standing, batches, [], stage))
    return judged


def _judged(
    name: str,
    rows: DataFrame,
    held_rows: DataFrame,
    standing: Mapping[str, DataFrame],
    batches: Sequence[Batch],
    keep_raw: Sequence[str],
    stage: Callable[[DataFrame, str], DataFrame],
) -> DataFrame:
    stored = held_rows.unionByName(set_aside(standing["events_quarantine"]))
    if batches[0].number > 1:
        # computed once, for it is looked at twice: only the stored rows of these keys take part
        rows = stage(rows, f"mapped_{name}")
        stored = stored.join(rows.select(KEY).distinct(), on=KEY, how="left_semi")
    return stage(judge(rows, stored, keep_raw), f"judged_{name}")


def _newest_times(events: DataFrame) -> Mapping[str, int]:
    """Source → time of its newest event, in microseconds since 1970."""
    newest = events.groupBy("source").agg(F.max(F.unix_micros("event_time")).alias("micros"))
    return {row["source"]: row["micros"] for row in newest.collect() if row["micros"] is not None}  # one per source


def _events(batch: Batch, mapped: Mapping[tuple[str, str], DataFrame], newest: int | None, checks: Checks) -> DataFrame:
    """An event's content is what is mapped, as charged, so that a rate that was corrected since makes no conflict of a row seen before.

    Where the id is a hash of the row, equal ids are equal rows.
    """
    names = [name for name in contract("events").column_names if name not in SET_BY_INGEST]
    has_id = "event_id" in batch.source.mappings["events"]
    content = hash_of([as_charged(name) for name in names]) if has_id else F.xxhash64("event_id")
    late = F.lit(False)
    if newest is not None:
        oldest = F.timestamp_micros(F.lit(newest)) - F.expr(f"INTERVAL {checks.late_window}")
        late = F.coalesce(F.col("event_time") < oldest, late)
    return mapped[batch.name, "events"].transform(with_identity, F.col("event_id"), content).withColumn(IS_LATE, late)


def _other(batch: Batch, mapped: Mapping[tuple[str, str], DataFrame]) -> DataFrame:
    """Rows of other kinds have no id of their own: equal rows of one source are duplicates."""
    rows = mapped[batch.name, batch.main_kind].withColumn("record", F.xxhash64("source", RAW))
    known = with_identity(rows, _record_identity(batch.main_kind), F.col("record"))
    unknown = {"revision": F.lit(None).cast("bigint"), IS_LATE: F.lit(False)}
    return known.withColumns(unknown).select(
        KEY, CONTENT, "revision", IS_LATE, "source", "batch_id", RAW, REASONS, FINDINGS
    )


def _record_identity(kind: str) -> Column:
    return F.concat_ws("\n", *(F.col(column).cast("string") for column in RECORDS[kind].key))
