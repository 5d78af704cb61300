"""Validity rules: each is a name and a Column that is true for a row that breaks it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.events.currency import NO_RATE, has_price, is_known
from lib.events.mapping import CLOCK, REASONS, complaint, lenient
from lib.events.values import is_id
from lib.settings import SettingsError, Source
from lib.settings.checks import FAMILIES, Checks, Currency, Severity
from lib.tables import Table, contract

FINDINGS = "findings"
"""Column of the rules that a row breaks and may: those of severity `report`."""

_CONTROL = r"\p{Cc}"
_CONTROL_IN_TEXT = r"[\p{Cc}&&[^\t\n\r]]"
_REPLACED = "\ufffd"
_ODD = r"[\p{Cf}\p{Co}\p{Cn}]"  # format (zero width, direction), private use, unassigned


@dataclass(frozen=True, eq=False)
class Rule:
    """A rule by name, and what happens to a row for which `broken` is true. Null counts as kept."""

    name: str
    broken: Column
    severity: Severity
    dimension: str


Found = tuple[str, Column]
"""Name of a built-in rule and the Column that is true for a row that breaks it."""


def rules_of(kind: str, source: Source, checks: Checks, currency: Currency, ingested_at: datetime) -> list[Rule]:
    """Every rule that mapped rows of a kind are held to."""
    table, given = contract(kind), _given(kind, source)
    found = [*_completeness(table, given), *_strings(table, given, checks)]
    if kind == "events":
        found += [*_times(given, source, checks, ingested_at), *_numbers(given, checks), *_words(given, checks)]
        found += [*_money(given, currency), *_identity()]
    if kind == "currency_rates":
        found += [("not_positive:rate", F.col("rate") <= 0)]
    rules = [Rule(name, broken, checks.severity(name), FAMILIES[name.partition(":")[0]]) for name, broken in found]
    if kind == "events":
        rules += [Rule(name, F.expr(own.reject), own.severity, "validity") for name, own in checks.rules.items()]
    return rules


def broken_rules(
    rows: DataFrame, kind: str, source: Source, checks: Checks, currency: Currency, ingested_at: datetime
) -> DataFrame:
    """Add to `reasons` every rule that a mapped row breaks and may not, and as `findings` those that it may.

    Raises SettingsError with every rule of one's own that Spark can't analyse.
    """
    with lenient(rows.sparkSession):
        _require_sql(rows, kind, checks)
        rules = rules_of(kind, source, checks, currency, ingested_at)
        reasons = _names([rule for rule in rules if rule.severity != "report"])
        findings = _names([rule for rule in rules if rule.severity == "report"])
        judged = rows.withColumns({REASONS: F.array_union(F.col(REASONS), reasons), FINDINGS: findings})
        return judged.drop(CLOCK)


def _names(rules: Sequence[Rule]) -> Column:
    if not rules:
        return F.array().cast("array<string>")
    return F.array_compact(F.array(*(F.when(rule.broken, F.lit(rule.name)) for rule in rules)))


def _require_sql(rows: DataFrame, kind: str, checks: Checks) -> None:
    problems = []
    for name, own in checks.rules.items() if kind == "events" else ():
        try:
            rows.select(F.when(F.expr(own.reject), 1))
        except PySparkException as error:
            problems.append(f"checks.rules.{name}.reject = {own.reject!r}: {complaint(error, rows.columns)}")
    if problems:
        raise SettingsError(problems)


def _given(kind: str, source: Source) -> list[str]:
    """The columns that can hold something: what is mapped, and what ingest computes from it."""
    mapped = source.mappings[kind]
    computed = {"event_type"} if kind == "events" else set()
    if kind == "events" and "unit_price" in mapped:
        computed.add("amount")
    return [column for column in contract(kind).column_names if column in mapped or column in computed]


def _completeness(table: Table, given: Sequence[str]) -> Iterator[Found]:
    """What every row needs (the key, an event's type, and its time where the source knows times), and what it may lack."""
    needed = {"event_type", "event_time", *(column.name for column in table.columns if column.required)}
    for column in given:
        if column in needed:
            unreadable = F.array_contains(REASONS, f"unreadable:{column}")
            yield f"missing:{column}", F.col(column).isNull() & ~unreadable
        else:
            yield f"null:{column}", F.col(column).isNull()


def _strings(table: Table, given: Sequence[str], checks: Checks) -> Iterator[Found]:
    for column in given:
        value, kind = F.col(column), table.column(column).type
        if is_id(column):
            yield f"too_long:{column}", F.length(value) > checks.max_id_length
            yield f"control_character:{column}", value.rlike(_CONTROL)
            yield f"garbled:{column}", value.contains(_REPLACED)
            yield f"odd_character:{column}", value.rlike(_ODD)
        elif kind == "string":
            yield f"too_long:{column}", F.length(value) > checks.max_text_length
            yield f"garbled_text:{column}", value.contains(_REPLACED) | value.rlike(_CONTROL_IN_TEXT)
        elif kind in ("map<string,string>", "array<string>"):
            texts = F.map_values(value) if kind.startswith("map<") else value
            yield f"too_long:{column}", F.exists(texts, lambda text: F.length(text) > checks.max_text_length)


def _times(given: Sequence[str], source: Source, checks: Checks, ingested_at: datetime) -> Iterator[Found]:
    if "event_time" not in given:
        return
    time, clock = F.col("event_time"), F.col(CLOCK)
    epoch = F.timestamp_seconds(F.lit(0))
    earliest = datetime.fromisoformat(checks.earliest_time).replace(tzinfo=UTC)
    yield "future:event_time", time > F.lit(ingested_at) + F.expr(f"INTERVAL {checks.future_tolerance}")
    yield "too_early:event_time", time < F.lit(earliest)
    if source.time_zone == "UTC":
        yield "epoch:event_time", time == epoch
        return
    yield "epoch:event_time", (time == epoch) | (clock == epoch)
    yield "dst_gap:event_time", F.from_utc_timestamp(time, source.time_zone) != clock
    # the clock would show the same again at the offset that holds three hours later
    later = time + F.expr("INTERVAL 3 HOURS")
    offset = F.unix_micros(F.from_utc_timestamp(later, source.time_zone)) - F.unix_micros(later)
    again = F.timestamp_micros(F.unix_micros(clock) - offset)
    yield "dst_overlap:event_time", (again != time) & (F.from_utc_timestamp(again, source.time_zone) == clock)


def _numbers(given: Sequence[str], checks: Checks) -> Iterator[Found]:
    for column in ("quantity", "rating"):
        if column in given:
            # NaN passes every comparison with >= in Spark, so it is asked for by name
            yield f"not_a_number:{column}", F.isnan(column)
            yield f"infinite:{column}", F.abs(column) == float("inf")
    limits = {"quantity": checks.max_quantity, "unit_price": checks.max_amount, "amount": checks.max_amount}
    for column, limit in limits.items():
        if column in given:
            yield f"negative:{column}", F.col(column) < 0
            yield f"absurd:{column}", (F.col(column) > limit) & (F.col(column) < float("inf"))


def _words(given: Sequence[str], checks: Checks) -> Iterator[Found]:
    if "event_type" in given:
        yield "unknown:event_type", ~F.col("event_type").isin(checks.event_types)


def _money(given: Sequence[str], currency: Currency) -> Iterator[Found]:
    """A price has a known currency and, where all are converted to one, this one in the end."""
    if "currency" not in given:
        return
    known = is_known(currency)
    yield "unknown:currency", ~known
    yield "missing:currency", has_price() & F.col("currency").isNull()
    if currency.base:
        yield NO_RATE, has_price() & known & (F.col("currency") != currency.base)


def _identity() -> Iterator[Found]:
    known = F.coalesce("customer_id", "order_id", "session_id", "item_id")
    yield "about_nothing", known.isNull()
