"""What each batch is like: a row of data_quality per check, beside what is usual for the source.

completeness  share of rows in which a column is null
validity      share of rows that break a rule; rows with a price, per currency
uniqueness    share of rows that came before, and of rows whose id has different contents
freshness     age of the newest accepted event at the ingest, in hours
volume        rows read
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any, NamedTuple, Protocol

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lib.events.checks import FINDINGS, rules_of
from lib.events.currency import has_price
from lib.events.intake import ACCEPTED, CONFLICT, DUPLICATE, VERDICT
from lib.events.mapping import REASONS
from lib.events.usual import earlier_values, is_unusual
from lib.settings import Source
from lib.settings.checks import FAMILIES, Checks, Currency
from lib.tables import contract

ROWS, AGE, REPEATED = "volume:rows", "age:event_time", "duplicate:row"
IN_CURRENCY = "currency:"

_TOLD = 5  # unusual figures that are told per batch; the table has all


class IngestStopped(ValueError):
    """Rows break a rule of severity stop, or amounts of several currencies would be added up."""


class Batch(Protocol):
    """What is asked of a batch."""

    @property
    def name(self) -> str:
        """The source's name."""

    @property
    def source(self) -> Source:
        """The source."""

    @property
    def batch_id(self) -> str:
        """The batch's id."""

    @property
    def main_kind(self) -> str:
        """The kind that its rows are counted as."""


class Check(NamedTuple):
    """One check and the dimension and severity of what it finds."""

    name: str
    dimension: str
    severity: str


class Count(NamedTuple):
    """Rows of one batch that one check found, those accepted among them, and their newest time in seconds since 1970."""

    rows: int
    accepted: int
    newest: int | None


Counts = Mapping[str, Mapping[str, Count]]
"""Batch → check → what was counted."""


def assess(
    judged: Sequence[DataFrame],
    batches: Sequence[Batch],
    stored: DataFrame,
    history: DataFrame,
    checks: Checks,
    currency: Currency,
    checked_at: datetime,
    note: Callable[[str], None],
) -> DataFrame:
    """Rows of data_quality for new batches; `note` is told what is unusual.

    judged: their rows with verdict, reasons and findings. stored: events that stay beside them. history: data_quality of earlier ones.
    Raises IngestStopped where a rule of severity stop is broken, or where amounts are in more than one currency and there is no base.
    """
    counts = _count(judged)
    earlier = earlier_values(
        history, [batch.name for batch in batches], [batch.batch_id for batch in batches], checks.usual_batches
    )
    rows = [
        _row(batch, check, counts[batch.batch_id], earlier[batch.name, check.name], checks, checked_at)
        for batch in batches
        for check in _checks_of(batch, counts[batch.batch_id], checks, currency, checked_at)
    ]
    if problems := [*_stops(rows), *_mixed(counts, stored, currency)]:
        raise IngestStopped("\n".join(problems))
    for batch in batches:
        _tell(batch, [row for row in rows if row["batch_id"] == batch.batch_id and row["unusual"]], note)
    return history.sparkSession.createDataFrame(rows, contract("data_quality").schema_ddl())


def _count(judged: Sequence[DataFrame]) -> Counts:
    """One pass over the rows. What comes to the driver is a row per batch and check."""
    counts: dict[str, dict[str, Count]] = defaultdict(dict)
    for rows in judged:
        events = "event_id" in rows.columns
        money = F.coalesce("original_currency", "currency", F.lit("none")) if events else F.lit(None)
        other = F.array_compact(
            F.array(
                F.lit(ROWS),
                F.when(F.col(VERDICT) == DUPLICATE, F.lit(REPEATED)),
                F.when(has_price(), F.concat(F.lit(IN_CURRENCY), money)) if events else F.lit(None),
            )
        )
        accepted = F.col(VERDICT) == ACCEPTED
        time = F.unix_seconds("event_time") if events else F.lit(None).cast("bigint")
        named = rows.select(
            "batch_id",
            accepted.alias("accepted"),
            F.when(accepted, time).alias("time"),
            F.explode(F.concat(REASONS, FINDINGS, other)).alias("check"),
        )
        found = named.groupBy("batch_id", "check").agg(
            F.count("*").alias("rows"), F.count_if("accepted").alias("accepted"), F.max("time").alias("newest")
        )
        for row in found.collect():  # a row per batch and check
            counts[row["batch_id"]][row["check"]] = Count(row["rows"], row["accepted"], row["newest"])
    return counts


def _checks_of(
    batch: Batch, counted: Mapping[str, Count], checks: Checks, currency: Currency, checked_at: datetime
) -> list[Check]:
    """Every check that the batch was held to, also those that found nothing, and what else was counted."""
    kind = batch.main_kind
    mapped = batch.source.mappings[kind]
    found = [
        Check(rule.name, rule.dimension, rule.severity)
        for rule in rules_of(kind, batch.source, checks, currency, checked_at)
    ]
    names = [f"unreadable:{column}" for column in mapped] + ([CONFLICT] if kind == "events" else [])
    found += [Check(name, FAMILIES[name.partition(":")[0]], checks.severity(name)) for name in names]
    found += [Check(ROWS, "volume", "report"), Check(REPEATED, "uniqueness", "report")]
    found += [Check(AGE, "freshness", "report")] if "event_time" in mapped and kind == "events" else []
    others = sorted(set(counted) - {check.name for check in found})
    return found + [
        Check(name, "validity", "report" if name.startswith(IN_CURRENCY) else checks.severity(name)) for name in others
    ]


def _row(
    batch: Batch,
    check: Check,
    counted: Mapping[str, Count],
    earlier: Sequence[float],
    checks: Checks,
    checked_at: datetime,
) -> dict[str, Any]:
    nothing = Count(0, 0, None)
    read, found = counted.get(ROWS, nothing), counted.get(check.name, nothing)
    rows = read.accepted if check.name == AGE else found.rows
    share = rows / read.rows if read.rows else None
    value: float | None = share
    if check.name == ROWS:
        value = float(rows)
    elif check.name == AGE:
        value = None if read.newest is None else (checked_at.timestamp() - read.newest) / 3600
    return {
        "batch_id": batch.batch_id,
        "check": check.name,
        "source": batch.name,
        "dimension": check.dimension,
        "severity": check.severity,
        "rows": rows,
        "share": share,
        "value": value,
        "usual": median(earlier) if earlier else None,
        "unusual": is_unusual(value, earlier, check.dimension, checks),
        "checked_at": checked_at,
    }


def _stops(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"sources.{row['source']}: {row['rows']:,} rows break {row['check']}, which stops the ingest; correct them, leave them "
        f"out by sources.{row['source']}.where, or set the rule's severity to quarantine in [checks]"
        for row in rows
        if row["severity"] == "stop" and row["rows"]
    ]


def _mixed(counts: Counts, stored: DataFrame, currency: Currency) -> list[str]:
    """What to say where amounts of several currencies would stand side by side in events."""
    if currency.base:
        return []
    held = {
        name.removeprefix(IN_CURRENCY)
        for counted in counts.values()
        for name, count in counted.items()
        if name.startswith(IN_CURRENCY) and count.accepted
    }
    if held:
        before = stored.where(has_price()).select(F.coalesce("currency", F.lit("none")).alias("currency")).distinct()
        held |= {row["currency"] for row in before.collect()}  # few currencies
    if len(held) < 2:
        return []
    return [
        f"mixed:currency: amounts in {', '.join(sorted(held))} would be added up; set currency.base and give the rates by a source with "
        "currency_rates (rows without a rate go to quarantine), or reject the others by a rule in [checks.rules]"
    ]


def _tell(batch: Batch, unusual: Sequence[Mapping[str, Any]], note: Callable[[str], None]) -> None:
    if unusual:
        told = [f"{row['check']} {row['value']:.4g} (usually {row['usual']:.4g})" for row in unusual[:_TOLD]]
        more = f" and {len(unusual) - _TOLD} more in data_quality" if len(unusual) > _TOLD else ""
        note(f"{batch.name}: unusual are {', '.join(told)}{more}")
