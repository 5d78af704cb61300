"""Rows for tests, made from the contracts: a default for every required column, and the overrides that a test is about."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from lib.events.orders import with_baskets
from lib.features.days import summarise_days, total_days
from lib.features.persons import measure_types
from lib.recommend.blends import fused_blend, score_items
from lib.recommend.recommendations import recommend
from lib.settings import load
from lib.settings.recommend import Recommend
from lib.tables import Column, contract

ALL_MODELS = sorted(get_args(get_args(Recommend.model_fields["models"].annotation)[0]))
"""Every model that recommend.models may name."""

MOMENT = datetime(2024, 1, 15, 12, 0, tzinfo=UTC)
AS_OF = date(2024, 2, 1)

_DEFAULTS: dict[str, Any] = {
    "string": "x",
    "int": 1,
    "bigint": 1,
    "double": 1.0,
    "boolean": True,
    "date": AS_OF,
    "timestamp": MOMENT,
    "decimal(18,4)": Decimal("1.0000"),
    "decimal(19,10)": Decimal("1.0000000000"),
}


def default(column: Column) -> Any:
    """A valid value of the column: null where it may be."""
    if not column.required:
        return None
    if column.type.startswith("array<"):
        return ["x"] if column.type == "array<string>" else []
    if column.type.startswith("map<"):
        return {}
    if column.type.startswith("struct<"):
        return {"files": [], "delta_version": None}
    return _DEFAULTS[column.type]


class Build:
    """`build("events", {"item_id": "a"}, {"item_id": "b"})`: two valid events that differ in their item and id."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark

    def __call__(self, name: str, *rows: dict[str, Any]) -> DataFrame:
        table = contract(name)
        filled = [self._fill(table.columns, table.key, row, number) for number, row in enumerate(rows)]
        return self.spark.createDataFrame(filled, T.StructType.fromDDL(table.schema_ddl()))

    def frame(self, schema: str, *rows: tuple[Any, ...]) -> DataFrame:
        """Rows of any schema."""
        return self.spark.createDataFrame(list(rows), schema)

    def _fill(
        self, columns: tuple[Column, ...], key: tuple[str, ...], row: dict[str, Any], number: int
    ) -> dict[str, Any]:
        unknown = set(row) - {column.name for column in columns}
        assert not unknown, f"no such column: {unknown}"
        filled = {column.name: default(column) for column in columns}
        if "event_id" in filled:
            filled |= {"event_id": f"e{number}", "event_type": "purchase", "event_time": MOMENT}
        if "rows_read" in filled:
            filled |= {"rows_duplicate": 0, "rows_quarantined": 0, "rows_withdrawn": 0, "anew": False}
        if "stage" in filled:
            filled |= {"stage": "new"}
        if "component_size" in filled:
            filled |= {"method": "shared"}
        if "purchase_event_id" in filled:
            filled |= {"method": "unmatched", "quantity": 0.0}
        if "mean_absolute_error" in filled:
            filled |= {"measure": "spend"}
        if "audience" in filled:
            filled |= {"kind": "item"}
        if "feature" in filled and "blend" in filled:
            filled |= {"kind": "much"}
        if "relative_change" in filled:
            filled |= {"change": "new"}
        if "severity" in filled:
            filled |= {"dimension": "validity", "severity": "report"}
        for name in key:
            if isinstance(filled[name], str) and name.endswith("_id"):
                filled[name] = f"{name[0]}{number}"
        return filled | row


def stage_in(folder: Path):
    """What a job is given as run.stage: the rows written into the folder and read back."""

    def write_and_read(df: DataFrame, name: str) -> DataFrame:
        path = str(folder / name)
        df.write.mode("overwrite").parquet(path)
        return df.sparkSession.read.schema(df.schema).parquet(path)

    return write_and_read


def all_kept(events: DataFrame) -> DataFrame:
    """The events with `kept`, as where nothing was returned."""
    return events.withColumn("kept", F.lit(1.0))


def measure_events(events: DataFrame, **context: Any) -> DataFrame:
    """What customer_totals holds of these events."""
    wanted = load().context.model_copy(update=context)
    return total_days(summarise_days(with_baskets(events), {}, wanted))


def know_events(events: DataFrame, *types: str) -> DataFrame:
    """What is known of the customers of these events, each of whom has one id."""
    return measure_events(events).select("customer_id", *measure_types(types))


def without_highlights(profiles: DataFrame) -> DataFrame:
    """What `profile_segments` gives, with nothing to say of items, categories, contexts and stages."""
    table = contract("segment_profiles")
    named = ("top_items", "top_categories", "context", "lifecycle")
    return profiles.withColumns({name: F.lit(None).cast(table.column(name).type) for name in named})


def fused_pool(candidates, everyone, wanted, note):
    """What lists are chosen from, by the weights of the settings."""
    blend = fused_blend(wanted)
    scored = score_items(candidates, everyone.where("history > 0"), None, blend, wanted)
    return recommend(candidates, scored, everyone, blend, wanted, note)


class FakeRun:
    """What the runtime gives a job: the last release (table → rows), a stage, and notes."""

    def __init__(self, job, spark, stage, as_of, last) -> None:
        self.job, self.spark, self.stage, self.as_of, self.last, self.notes = job, spark, stage, as_of, last, []

    def base(self, table):
        assert table in self.job.reads_base
        return self.last.get(table)

    def note(self, text):
        self.notes.append(text)
