"""What happens to each mapped row: accepted, duplicate or quarantined; to the stored rows that it proves wrong; and the counts of it.

The verdicts on a set of rows are the same in whichever order and batches they come, and stay so when some come again: what is stored
takes part as if it had come with them. Only lateness looks at the order: an event too much older than those stored is set aside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from lib.events.mapping import RAW, REASONS
from lib.tables import contract

VERDICT = "verdict"
ACCEPTED, DUPLICATE, QUARANTINED, WITHDRAWN = "accepted", "duplicate", "quarantined", "withdrawn"
CONFLICT, LATE = "conflicting:event_id", "late:event_time"

KEY, CONTENT, IS_LATE = "_key", "content", "_late"
ORIGIN, COMPETES, IS_EVENT = "_origin", "_competes", "_is_event"
NEW, HELD, SET_ASIDE = "new", "held", "set_aside"

_LOWEST = -(2**63)  # a row without a revision gives way to any with one


def judge(rows: DataFrame, stored: DataFrame, keep_raw: Sequence[str] = ()) -> DataFrame:
    """The rows with their `verdict`, and the stored rows that are withdrawn for them, with the `batch_id` that revealed it.

    rows: `_key`, `content`, `revision`, `_late`, `batch_id`, `raw`, `reasons`. stored: `_key`, `content`, `revision`, `source`, `_origin`
    (held in the table, or set aside in quarantine), `_competes` (it counts where its key's contents are compared).

    Of valid rows with one key those of the highest revision count; lower ones are duplicates, or withdrawn where stored. If they have
    one content, the first row is accepted unless it is stored, and the rest are duplicates. Of different contents each one is
    quarantined, a stored one too: none can be told to be the right one. A wrong or late row is a duplicate if it came before.
    `raw` is kept of rows that go to quarantine, and of accepted ones of the sources in `keep_raw`.
    """
    valid = F.size(REASONS) == 0
    fresh = rows.withColumns({ORIGIN: F.lit(NEW), COMPETES: valid & ~F.col(IS_LATE)})
    united = fresh.unionByName(stored, allowMissingColumns=True)
    new = F.col(ORIGIN) == NEW
    competing = united.withColumns({"_valid": F.coalesce(valid, F.lit(False)), "_new": new})
    alike = Window.partitionBy(KEY, CONTENT)
    in_order = Window.partitionBy(KEY, CONTENT, "_new", COMPETES).orderBy(RAW, "batch_id")
    compared = competing.withColumns(
        {
            "_place": F.row_number().over(in_order),
            "_seen": F.when(F.col(COMPETES), F.max(~F.col("_new") & F.col(COMPETES)).over(alike)).otherwise(
                F.max(~F.col("_new")).over(alike)
            ),
            **_highest_revision(),
        }
    )
    differ = F.col("_largest.content") != F.bitwise_not(F.col("_smallest.content"))
    superseded = F.coalesce("revision", F.lit(_LOWEST)) < F.col("_largest.revision")
    conflict = F.col(COMPETES) & ~superseded & differ
    verdict = (
        F.when(~F.col("_new"), F.when(F.col(COMPETES) & (superseded | (conflict & (F.col(ORIGIN) == HELD))), WITHDRAWN))
        .when(F.col("_seen") | (F.col("_valid") & (F.col("_place") > 1)), DUPLICATE)
        .when(~F.col(COMPETES), QUARANTINED)
        .when(superseded, DUPLICATE)
        .otherwise(F.when(conflict, QUARANTINED).otherwise(ACCEPTED))
    )
    judged = compared.withColumn(VERDICT, verdict).where(F.col(VERDICT).isNotNull())
    set_aside_now = F.col(VERDICT).isin(QUARANTINED, WITHDRAWN)
    told = F.when(set_aside_now & conflict, CONFLICT).when(set_aside_now & F.col("_valid"), LATE)
    needs_raw = (F.col(VERDICT) == QUARANTINED) | F.col("source").isin(list(keep_raw))
    return judged.withColumns(
        {
            REASONS: F.concat(F.coalesce(REASONS, F.array()), F.array_compact(F.array(told))),
            RAW: F.when(needs_raw, F.col(RAW)),
            "batch_id": F.coalesce("batch_id", "_revealed_by"),
            IS_EVENT: F.col("_valid"),
        }
    ).drop("_valid", "_new", "_place", "_seen", "_largest", "_smallest", "_revealed_by", IS_LATE, COMPETES)


def _highest_revision() -> Mapping[str, Column]:
    """Of a key's rows of the highest revision the largest and the smallest content, and the batch that one of them came with.

    The smallest is the largest of the bitwise complements, so that one window finds it without knowing the revision yet.
    """
    group = Window.partitionBy(KEY)
    revision = F.coalesce("revision", F.lit(_LOWEST)).alias("revision")
    content = F.col(CONTENT)

    def largest(value: Column) -> Column:
        return F.max(F.when(F.col(COMPETES), F.struct(revision, value.alias("content")))).over(group)

    return {
        "_largest": largest(content),
        "_smallest": largest(F.bitwise_not(content)),
        "_revealed_by": F.min(F.when(F.col("_new") & F.col(COMPETES), F.col("batch_id"))).over(group),
    }


def hash_of(columns: Sequence[str | Column]) -> Column:
    """Hash of the columns' content: null ones are left out, so that a column which is new to the contract changes nothing."""
    return F.xxhash64(F.to_json(F.struct(*columns), {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}))


def with_identity(rows: DataFrame, identity: Column, content: Column) -> DataFrame:
    """Add `_key` and `content`: of a valid row its identity, of any other the row as it came and what is wrong with it."""
    valid = F.size(REASONS) == 0
    wrong = F.xxhash64("source", RAW, F.array_join(REASONS, "\n"))
    hashed = rows.withColumn(CONTENT, F.when(valid, content).otherwise(wrong))
    return hashed.withColumn(KEY, F.when(valid, identity).otherwise(_key_of_wrong()))


def _key_of_wrong() -> Column:
    return F.concat_ws("\n", "source", CONTENT)


def held(rows: DataFrame, identity: Column, content: Column, revision: Column) -> DataFrame:
    """Stored events or records as `judge` takes them."""
    return rows.select(
        identity.alias(KEY),
        content.alias(CONTENT),
        revision.alias("revision"),
        "source",
        F.lit(HELD).alias(ORIGIN),
        F.lit(True).alias(COMPETES),
    )


def set_aside(quarantined: DataFrame) -> DataFrame:
    """Rows of `events_quarantine` as `judge` takes them: of valid ones those in conflict compete, late ones are only known."""
    return quarantined.select(
        F.coalesce("event_id", _key_of_wrong()).alias(KEY),
        CONTENT,
        "revision",
        "source",
        F.lit(SET_ASIDE).alias(ORIGIN),
        F.array_contains(REASONS, CONFLICT).alias(COMPETES),
    )


def accepted_events(judged: DataFrame, ingested_at: datetime) -> DataFrame:
    """Rows of `events`."""
    stamped = judged.where((F.col(VERDICT) == ACCEPTED) & F.col("event_id").isNotNull()).withColumn(
        "ingested_at", F.lit(ingested_at)
    )
    return stamped.select(contract("events").column_names)


def quarantine(judged: DataFrame, ingested_at: datetime) -> DataFrame:
    """Rows of `events_quarantine` for the new rows that are set aside."""
    of_event = F.when(F.col(IS_EVENT), F.col(KEY)).alias("event_id")
    return judged.where(F.col(VERDICT) == QUARANTINED).select(
        "source", RAW, REASONS, of_event, "revision", CONTENT, "batch_id", F.lit(ingested_at).alias("quarantined_at")
    )


def withdrawn(judged: DataFrame, origin: str) -> DataFrame:
    """The stored rows that are taken out: held ones by `event_id`, those set aside by `source` and `content`."""
    found = judged.where((F.col(VERDICT) == WITHDRAWN) & (F.col(ORIGIN) == origin))
    return found.select(F.col(KEY).alias("event_id"), "source", CONTENT, REASONS)


def quarantine_withdrawn(judged: DataFrame, events: DataFrame, ingested_at: datetime) -> DataFrame:
    """Rows of `events_quarantine` for stored events that turned out to be in conflict."""
    in_conflict = withdrawn(judged, HELD).where(F.array_contains(REASONS, CONFLICT)).select("event_id", REASONS)
    return events.join(in_conflict, on="event_id", how="inner").select(
        "source",
        RAW,
        REASONS,
        "event_id",
        "revision",
        CONTENT,
        "batch_id",
        F.lit(ingested_at).alias("quarantined_at"),
    )


def count_verdicts(judged: DataFrame) -> DataFrame:
    """Rows per batch: read, accepted, duplicate, quarantined, the late ones of those, and stored events withdrawn for them."""
    taken_out = (F.col(VERDICT) == WITHDRAWN) & (F.col(ORIGIN) == HELD)
    late = (F.col(VERDICT) == QUARANTINED) & F.array_contains(REASONS, LATE)
    return judged.groupBy("batch_id").agg(
        F.count_if(F.col(ORIGIN) == NEW).alias("rows_read"),
        *(F.count_if(F.col(VERDICT) == name).alias(f"rows_{name}") for name in (ACCEPTED, DUPLICATE, QUARANTINED)),
        F.count_if(late).alias("rows_late"),
        F.count_if(taken_out).alias("rows_withdrawn"),
    )
