"""Raw rows onto the input contracts, by the SQL of the settings.

The mapping alone is analysed with ANSI mode off: an expression that can't be computed for a row then gives null instead of ending
the job. Casts and parsers keep that mode when they run, though the session has ANSI on again. Null from inputs that are
not null is `unreadable:<column>`, unless the expression itself speaks of null.

It is analysed in the source's time zone, too, which its casts and parsers keep likewise. A time without a zone of its own (text, date,
TIMESTAMP_NTZ) is so read from the source's clock; text with an offset and TIMESTAMP are instants already. A local time that
clocks skipped in spring is read as that much later, one that they showed twice in autumn as the first of both: Java's rule.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from lib.events.values import cast, is_id, value_of
from lib.settings import Source
from lib.settings.errors import SettingsError
from lib.settings.sources import MALFORMED, SET_BY_INGEST
from lib.tables import Table, contract

REASONS = "reasons"
RAW = "raw"

CLOCK = "clock_time"
"""What the source's clock showed at an event, as if it were UTC; null where the value names its own zone. Only for sources with a zone."""

# No place on earth is so far west: an instant that moves with this zone has none of its own.
_FAR_WEST = "-18:00"

# Expressions that say themselves when a value is absent: there a null is an answer, not a failure.
_SPEAKS_OF_NULL = re.compile(
    r"\[|\b(null|nullif|case|try_\w+|element_at|get|get_json_object|from_json|variant_get|map_\w+|regexp_\w+|max_by|min_by)\b",
    re.IGNORECASE,
)


@contextlib.contextmanager
def lenient(spark: SparkSession, time_zone: str = "UTC") -> Iterator[None]:
    """What is analysed here gives null where ANSI mode would raise, and reads times without a zone in `time_zone`."""
    wanted = {"spark.sql.ansi.enabled": "false", "spark.sql.session.timeZone": time_zone}
    before = {option: str(spark.conf.get(option)) for option in wanted}
    for option, value in wanted.items():
        spark.conf.set(option, value)
    try:
        yield
    finally:
        for option, value in before.items():
            spark.conf.set(option, value)


def map_rows(raw: DataFrame, name: str, source: Source, kind: str) -> DataFrame:
    """Rows of one kind: the contract's columns that a mapping may give, `raw` (JSON), `reasons` (unreadable columns).

    Raises SettingsError with every expression that the source's columns don't allow.
    """
    table = contract(kind)
    expressions = {column: _sql(mapped) for column, mapped in source.mappings[kind].items()}
    columns = sorted(column for column in raw.columns if column != MALFORMED)
    with lenient(raw.sparkSession, source.time_zone):
        types = _resolve(raw, name, source, kind, expressions)
        rows = raw.where(F.expr(source.where)) if source.where else raw
    knows_clock = kind == "events" and "event_time" in expressions and source.time_zone != "UTC"
    rows = _with_far_west(rows, expressions["event_time"], types["event_time"]) if knows_clock else rows
    with lenient(raw.sparkSession, source.time_zone):
        read = rows.select(
            # in UTC whatever the source's zone: ids follow from it
            F.to_json(
                F.struct(*(F.col(quoted(column)) for column in [*columns, *_malformed(raw)])), {"timeZone": "UTC"}
            ).alias(RAW),
            *(
                value_of(table, column, F.expr(sql), types[column], source.namespace).alias(column)
                for column, sql in expressions.items()
            ),
            _unreadable(raw, table, expressions, types).alias(REASONS),
            *([CLOCK] if knows_clock else []),
        )
        return read.transform(_settle_clock).transform(_complete, table, name, source)


def _with_far_west(rows: DataFrame, sql: str, given: str) -> DataFrame:
    """Add the event's time as a clock in the far west would mean it."""
    with lenient(rows.sparkSession, _FAR_WEST):
        return rows.withColumn(CLOCK, cast(F.expr(sql), given, "timestamp"))


def _settle_clock(rows: DataFrame) -> DataFrame:
    if CLOCK not in rows.columns:
        return rows
    showed = F.col(CLOCK) - F.expr("INTERVAL 18 HOURS")
    return rows.withColumn(CLOCK, F.when(F.col(CLOCK) != F.col("event_time"), showed))


def quoted(column: str) -> str:
    """A column's name as SQL takes it literally."""
    return f"`{column.replace('`', '``')}`"


def _sql(mapped: str | dict[str, str]) -> str:
    """One expression; a table of expressions becomes a map of those that are not null."""
    if isinstance(mapped, str):
        return mapped
    entries = ", ".join(f"'{key}', CAST({sql} AS string)" for key, sql in mapped.items())
    return f"map_filter(map({entries}), (k, v) -> v IS NOT null)"


def _malformed(raw: DataFrame) -> list[str]:
    return [MALFORMED] if MALFORMED in raw.columns else []


def _resolve(raw: DataFrame, name: str, source: Source, kind: str, expressions: dict[str, str]) -> dict[str, str]:
    """Column → type of its expression over the raw columns."""
    table = contract(kind)
    types: dict[str, str] = {}
    wanted = [(f"{kind}.{column}", column, sql, table.column(column).type) for column, sql in expressions.items()]
    wanted += [("where", "where", source.where, "boolean")] if source.where else []
    problems = []
    for key, column, sql, target in wanted:
        try:
            types[column] = raw.select(F.expr(sql).alias("value")).schema["value"].dataType.simpleString()
            raw.select(F.expr(sql).cast(target))
        except PySparkException as error:
            problems.append(f"sources.{name}.{key} = {sql!r}: {complaint(error, raw.columns)}")
    if problems:
        raise SettingsError(problems)
    return types


def complaint(error: PySparkException, columns: Sequence[str]) -> str:
    """What Spark has against an expression, as a part of a line."""
    condition = error.getCondition() or ""
    if condition.startswith("UNRESOLVED_COLUMN"):
        parameters = error.getMessageParameters() or {}
        unknown = parameters.get("objectName", "a column")
        return f"the source has no column {unknown}; it has {', '.join(columns)}"
    text = " ".join(str(error).split(" SQLSTATE")[0].split(";")[0].splitlines()[0].split())
    return re.sub(r"^\[[\w.]+\] ", "", text)


def _unreadable(raw: DataFrame, table: Table, expressions: dict[str, str], types: dict[str, str]) -> Column:
    """The columns whose value was there and could not be computed, as an array of reasons."""
    reasons = [
        F.when(_failed(raw, table, column, sql, types[column]), F.lit(f"unreadable:{column}"))
        for column, sql in expressions.items()
    ]
    malformed = [F.when(F.col(name).isNotNull(), F.lit("malformed_row")) for name in _malformed(raw)]
    return F.array_compact(F.array(*malformed, *reasons))


def _failed(raw: DataFrame, table: Table, column: str, sql: str, given: str) -> Column:
    value = F.expr(sql)
    cast_failed = value.isNotNull() & cast(value, given, table.column(column).type).isNull()
    if is_id(column):  # a NaN id is an absent one, and text always casts
        cast_failed = F.lit(False)
    references = _references(raw.sparkSession, sql)
    if _SPEAKS_OF_NULL.search(sql) or not references:
        return cast_failed
    present = F.lit(True)
    for reference in references:
        present = present & F.expr(reference).isNotNull()
    return cast_failed | (value.isNull() & present)


def _references(spark: SparkSession, sql: str) -> list[str]:
    """The columns, and fields of columns, that an expression names."""
    session: Any = spark._jsparkSession
    leaves = session.sessionState().sqlParser().parseExpression(sql).collectLeaves().iterator()
    names: dict[str, None] = {}
    while leaves.hasNext():
        leaf = leaves.next()
        if leaf.getClass().getSimpleName() == "UnresolvedAttribute":
            parts = leaf.nameParts()
            names[".".join(quoted(parts.apply(i)) for i in range(parts.length()))] = None
    return list(names)


def _complete(rows: DataFrame, table: Table, name: str, source: Source) -> DataFrame:
    """The columns that the mapping leaves out: computed where they follow from others, else null."""
    computed = {"source": F.lit(name)} if table.name in ("events", "identities") else {}
    if table.name == "events":
        computed |= _event_defaults(rows, name, source)
    missing = {
        column.name: F.lit(None).cast(column.type)
        for column in table.columns
        if column.name not in rows.columns and column.name not in computed and column.name not in SET_BY_INGEST
    }
    completed = rows.withColumns(missing).withColumns(computed) if missing else rows.withColumns(computed)
    if table.name != "events":
        return completed
    overflowed = F.when(F.col("amount").isNull() & _priced(rows), F.array(F.lit("unreadable:amount"))).otherwise(
        F.array()
    )
    if "amount" in rows.columns:
        return completed
    return completed.withColumn(REASONS, F.array_union(REASONS, overflowed))


def _priced(rows: DataFrame) -> Column:
    """Whether a row has all that its amount follows from."""
    has_quantity = F.col("quantity").isNotNull() & ~F.isnan("quantity") if "quantity" in rows.columns else F.lit(True)
    return has_quantity & F.col("unit_price").isNotNull()


def _event_defaults(rows: DataFrame, name: str, source: Source) -> dict[str, Column]:
    computed = {}
    if "event_id" not in rows.columns:
        # null columns are not in the JSON, so a new column changes no id; sorted names, so their order doesn't either
        computed["event_id"] = F.sha2(F.concat_ws("\n", F.lit(name), F.col(RAW)), 256)
    if "event_type" not in rows.columns:
        computed["event_type"] = F.lit("rating" if "rating" in rows.columns else "purchase")
    if "amount" not in rows.columns and "unit_price" in rows.columns:
        quantity = F.coalesce(F.col("quantity"), F.lit(1.0)) if "quantity" in rows.columns else F.lit(1.0)
        exact = quantity.cast("decimal(18,6)") * F.col("unit_price")
        computed["amount"] = exact.cast("decimal(18,4)")
    return computed
