"""customer_features, customer_context and customer_lifecycle: one day more against the rebuild of everything, at growing size.

`./spark-submit.sh --driver-memory 4g benchmark features [EVENTS …]`, by default 100000 and 1000000. For each size a simulated shop is
stored without its last day and refreshed; the last day is added and refreshed again; and the whole is refreshed in a new warehouse. The
times are those of the jobs that the three tables follow from, model fits apart; the tables of both ways are compared.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import all_jobs
from lib.runtime.console import say
from lib.runtime.pipeline import Pipeline
from lib.runtime.release import Releases
from lib.runtime.session import open_session
from lib.runtime.store import Store
from lib.settings import Settings, load
from lib.simulation.shop import simulate_inputs
from lib.tables import contract
from lib.tables.contract import GONE

COUNTED = ("summarise_days", "total_customers", "build_features", "describe_context", "track_lifecycle")
BESIDE = ("resolve_identities",)
TABLES = ("customer_features", "customer_context", "customer_lifecycle")
EVENTS_PER_CUSTOMER = 70
"""About what the simulated shop makes at its default pace; the sizes that are printed are counted."""


@dataclass
class Warehouse:
    """One warehouse of the benchmark."""

    spark: SparkSession
    settings: Settings

    @property
    def store(self) -> Store:
        return Store(self.spark, self.settings.warehouse.path)

    def add(self, inputs: dict[str, DataFrame], events: DataFrame, batch: str) -> int:
        """Store events as an ingest would have; the other inputs are those of the whole shop."""
        stamped = events.withColumns(
            {"batch_id": F.lit(batch), "source": F.lit("simulated"), "content": F.xxhash64("event_id")}
        )
        rows = self.store.change("events", stamped.withColumn(GONE, F.lit(False)))
        if batch == "b0":
            for name in ("items", "customers"):
                self.store.change(name, inputs[name].withColumn(GONE, F.lit(False)))
            self.store.create(contract("identities"))
        table = contract("ingest_batches")
        known = {
            "batch_id": batch, "number": int(batch[1:]) + 1, "source": "simulated", "mapping": "m", "maps_events": True, "anew": False,
            "rows_read": rows, "rows_accepted": rows, "rows_duplicate": 0, "rows_quarantined": 0, "rows_withdrawn": 0,
            "input": {"files": [], "delta_version": None}, "schema": "{}", "finished_at": datetime.now(UTC),
        }  # fmt: skip
        filled = self.spark.createDataFrame([known], table.schema_ddl())
        self.store.change("ingest_batches", filled.withColumn(GONE, F.lit(False)))
        return rows

    def refresh(self, as_of: date) -> dict[str, float]:
        """Refresh; job → seconds."""
        jobs = [job for job in all_jobs() if job.name in (*COUNTED, *BESIDE)]
        release = Pipeline(self.spark, self.settings, [job for job in all_jobs() if job.writes]).refresh(jobs, as_of)
        assert release is not None
        took = (F.col("ended_at").cast("double") - F.col("started_at").cast("double")).alias("seconds")
        rows = self.store.read("runs").where(F.col("refresh_id") == release.refresh_id).select("job", took).collect()
        return {row["job"]: row["seconds"] for row in rows}

    def table(self, name: str) -> DataFrame:
        current = Releases(self.store).current
        assert current is not None
        return self.store.read_refresh(name, current.tables[name])


def differences(left: DataFrame, right: DataFrame, key: Sequence[str]) -> int:
    """Rows that only one has, or whose values differ: doubles by more than 1e-9 of their size."""
    unequal = F.lit(False)
    for name, kind in left.dtypes:
        a, b = F.col(f"l.{name}"), F.col(f"r.{name}")
        same = F.abs(a - b) <= 1e-9 * F.greatest(F.abs(a), F.abs(b), F.lit(1.0)) if kind == "double" else a == b
        unequal = unequal | ~(F.coalesce(same, F.lit(False)) | (a.isNull() & b.isNull()))
    return left.alias("l").join(right.alias("r"), on=list(key), how="full").where(unequal).count()


def peak_memory_mb() -> float:
    """The most memory of the Spark process since the last call, in MB. Linux says it of the parent, which is the JVM."""
    parent = Path(f"/proc/{os.getppid()}")
    lines = (parent / "status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    (parent / "clear_refs").write_text("5")
    return peak / 1024


def run_size(spark: SparkSession, size: int, folder: str) -> None:
    base = load()
    simulation = base.simulation.model_copy(
        update={"customers": max(size // EVENTS_PER_CUSTOMER, 10), "dirt_share": 0.0}
    )
    value = base.value.model_copy(update={"min_repeaters": 2**31 - 1})  # no fits

    def warehouse(name: str) -> Warehouse:
        place = base.warehouse.model_copy(update={"path": f"{folder}/{size}/{name}"})
        told = {"warehouse": place, "simulation": simulation, "value": value}
        return Warehouse(spark, base.model_copy(update=told))

    inputs = simulate_inputs(spark, simulation)
    inputs["events"].write.parquet(f"{folder}/{size}/events")
    events = spark.read.parquet(f"{folder}/{size}/events")
    last = date.fromisoformat(simulation.start) + timedelta(days=simulation.days - 2)
    before, day = events.where(F.col("event_time") < F.lit(last)), events.where(F.to_date("event_time") == F.lit(last))
    until = events.where(F.col("event_time") < F.lit(last + timedelta(days=1)))

    growing, whole = warehouse("growing"), warehouse("whole")
    growing.add(inputs, before, "b0")
    growing.refresh(last)
    added = growing.add(inputs, day, "b1")
    peak_memory_mb()
    more = growing.refresh(last + timedelta(days=1))
    memory_more = peak_memory_mb()
    rows = whole.add(inputs, until, "b0")
    peak_memory_mb()
    full = whole.refresh(last + timedelta(days=1))
    memory_full = peak_memory_mb()

    say(f"{rows:,} events of {simulation.customers:,} customers, {added:,} on the last day")
    say(f"{'':24}{'one day more':>14}{'everything':>14}{'ratio':>8}")
    for job in COUNTED:
        say(f"{job:24}{more.get(job, 0.0):12.1f} s{full[job]:12.1f} s")
    totals = sum(more.get(job, 0.0) for job in COUNTED), sum(full[job] for job in COUNTED)
    say(f"{'together':24}{totals[0]:12.1f} s{totals[1]:12.1f} s{totals[0] / totals[1]:8.2f}")
    say(f"{'peak memory':24}{memory_more:11.0f} MB{memory_full:11.0f} MB")
    for table in TABLES:
        unequal = differences(
            growing.table(table).drop("previous_stage"), whole.table(table).drop("previous_stage"), contract(table).key
        )
        say(f"{table}: {whole.table(table).count():,} rows, {unequal} differ between the two ways")


def main() -> None:
    spark = open_session(load(), "benchmark features")
    sizes = [int(size.replace("_", "")) for size in sys.argv[1:]] or [100_000, 1_000_000]
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            run_size(spark, size, folder)


if __name__ == "__main__":
    main()
