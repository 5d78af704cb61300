"""What happens to each mapped row: accepted, duplicate or quarantined; and the counts of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from lib.events.mapping import RAW, REASONS
from lib.tables import contract

VERDICT = "verdict"
ACCEPTED, DUPLICATE, QUARANTINED = "accepted", "duplicate", "quarantined"
CONFLICT = "conflicting:event_id"


def judge(rows: DataFrame, key: str, content: Sequence[str | Column], stored: DataFrame | None) -> DataFrame:
    """Add `verdict`, and to `reasons` the conflict of rows that share an id and differ.

    Of valid rows with one key and one content the first is accepted, the rest are duplicates, as are all where `stored` has the
    row. Rows of one key with different contents are all quarantined: none can be told to be the right one.
    """
    hashed = rows.withColumn("_content", _content(content)).withColumn("_valid", F.size(REASONS) == 0)
    if stored is not None:
        held = stored.select(F.col(key), _content(content).alias("_held"))
        hashed = hashed.join(held, on=key, how="left")
    else:
        hashed = hashed.withColumn("_held", F.lit(None).cast("bigint"))
    same_key = Window.partitionBy(key, "_valid")
    first = F.row_number().over(same_key.orderBy(RAW)) == 1
    differ = (F.min("_content").over(same_key) != F.max("_content").over(same_key)) | (
        F.col("_held") != F.col("_content")
    )
    conflict = F.col("_valid") & F.coalesce(differ, F.lit(False))
    verdict = (
        F.when(~F.col("_valid") | conflict, QUARANTINED)
        .when(F.col("_held").isNotNull() | ~first, DUPLICATE)
        .otherwise(ACCEPTED)
    )
    judged = hashed.select("*", verdict.alias(VERDICT), conflict.alias("_conflict"))
    reasons = F.when(F.col("_conflict"), F.array_append(REASONS, CONFLICT)).otherwise(F.col(REASONS))
    # the row as it came is needed only where it goes to quarantine
    kept_raw = F.when(F.col(VERDICT) == QUARANTINED, F.col(RAW))
    return judged.withColumns({REASONS: reasons, RAW: kept_raw}).drop("_content", "_held", "_valid", "_conflict")


def _content(columns: Sequence[str | Column]) -> Column:
    return F.xxhash64(F.to_json(F.struct(*columns)))


def accepted_events(judged: DataFrame, ingested_at: datetime) -> DataFrame:
    """Rows of `events`."""
    stamped = judged.where(F.col(VERDICT) == ACCEPTED).withColumn("ingested_at", F.lit(ingested_at))
    return stamped.select(contract("events").column_names)


def quarantine(judged: DataFrame, ingested_at: datetime) -> DataFrame:
    """Rows of `events_quarantine`."""
    return judged.where(F.col(VERDICT) == QUARANTINED).select(
        "source", RAW, REASONS, "batch_id", F.lit(ingested_at).alias("quarantined_at")
    )


def count_verdicts(judged: DataFrame) -> DataFrame:
    """Rows per batch: batch_id, rows_read, rows_accepted, rows_duplicate, rows_quarantined."""
    counts: Mapping[str, Column] = {
        f"rows_{verdict}": F.count(F.when(F.col(VERDICT) == verdict, 1))
        for verdict in (ACCEPTED, DUPLICATE, QUARANTINED)
    }
    return judged.groupBy("batch_id").agg(
        F.count("*").alias("rows_read"), *(c.alias(name) for name, c in counts.items())
    )
